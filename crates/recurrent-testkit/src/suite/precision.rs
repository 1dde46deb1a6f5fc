//! Single precision against double precision.

use recurrent_cells::Cell;
use recurrent_kernels::Compute;
use recurrent_topologies::Tape;

use super::run::{Gradients, Way, Weighting, gradients};
use super::{Seen, Subject, for_cases};
use crate::case::{Shape, shapes};

/// Outputs and gradients in f32 agree with those in f64 within the bound of oneDNN's tests of
/// recurrent networks, element by element and relative to the largest one:
/// ```text
/// 4 ceil(log2(K T)) 2^-23, twice that for gradients; K terms of a product, T steps of all layers
/// ```
/// As there, weights are of a size that keeps h from growing: within `1 / sqrt(units)`, PyTorch's
/// fresh ones. Larger ones make networks in which any rounding grows from step to step.
///
/// # Panics
/// With the smallest case that does not.
pub fn single_precision_is_close<C: Cell>(subject: &Subject<C>) -> Seen {
    for_cases(subject, 48, shapes(24, 6), |shape| {
        let (single, double) = (both::<C, f32>(subject, &shape), both::<C, f64>(subject, &shape));
        let layer = shape.options.directions.count() * shape.hidden_size;
        let steps = shape.lengths.iter().max().expect("a sequence") * shape.num_layers;
        let terms = (layer.max(shape.input_size) + shape.hidden_size) * steps;
        let forward = 4.0 * (terms as f64).log2().ceil() * f64::from(f32::EPSILON);
        for (block, (single, double)) in single.named().iter().zip(double.named()).enumerate() {
            let bound = if block == 0 { forward } else { 2.0 * forward };
            let largest = double.1.iter().fold(1.0, |largest: f64, x| largest.max(x.abs()));
            for (single, exact) in single.1.iter().zip(double.1) {
                let error = (f64::from(*single) - exact).abs() / largest;
                assert!(
                    error <= bound,
                    "{}: {single} for {exact}, {error:e} of the largest, {largest}; {bound:e} is \
                     allowed",
                    double.0
                );
            }
        }
        Ok(())
    })
}

fn both<C: Cell, T: recurrent_kernels::Real>(subject: &Subject<C>, shape: &Shape) -> Gradients<T> {
    let mut case = shape.build::<C, T>(subject.cell);
    let scale = 1.0 / (0.8 * (shape.hidden_size as f64).sqrt());
    for number in case.parameters.as_mut_slice() {
        *number = T::from_f64(f64::from((number.to_f64() * scale) as f32));
    }
    let weighting = Weighting::new(&mut case);
    gradients(&case, &weighting, &Compute::sequential(), Way::AtOnce, &mut Tape::new())
}
