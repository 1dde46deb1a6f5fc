//! A case forward, and forward and back.

use recurrent_cells::{Cell, Parameters};
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_topologies::{Input, InputGradient, Noise, State, Tape};

use crate::case::{Case, fill, flat};

/// Output at every step and final state.
pub(super) fn run<C: Cell, T: Real>(
    case: &Case<C, T>,
    compute: &Compute,
    noise: Option<Noise>,
    tape: &mut Tape<T>,
) -> (Vec<T>, Vec<T>) {
    let Case { stack, parameters, lengths, x, initial, .. } = case;
    let input = Input::Columns(x.as_ref());
    let recorded = stack.run(compute, parameters, input, initial, lengths, noise, tape);
    let mut state = initial.clone();
    recorded.final_state(&mut state);
    (recorded.output().as_slice().to_vec(), flat(&state))
}

/// A loss that depends on every output and on the final state: their products with these numbers.
pub(super) struct Weighting<T> {
    pub(super) output: Matrix<T>,
    pub(super) state: State<T>,
}

impl<T: Real> Weighting<T> {
    pub(super) fn new<C: Cell>(case: &mut Case<C, T>) -> Self {
        let mut output = Matrix::zeros(case.stack.output_size(), case.lengths.columns());
        fill(&mut case.generator, output.as_mut_slice(), 1.0);
        let mut state = case.initial.clone();
        state.visit_mut(|_, data| fill(&mut case.generator, data, 1.0));
        Weighting { output, state }
    }
}

/// How backward is run.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// The whole batch at once.
    AtOnce,
    /// One step after the other.
    StepByStep,
}

/// Everything that backward gives: gradients of parameters (with the gaps between them), of the
/// input and of the initial state. Also what forward gave.
pub(super) struct Gradients<T> {
    pub(super) output: Vec<T>,
    pub(super) parameters: Vec<T>,
    pub(super) x: Vec<T>,
    pub(super) initial: Vec<T>,
}

impl<T: Real> Gradients<T> {
    /// Each with its name.
    pub(super) fn named(&self) -> [(&'static str, &[T]); 4] {
        [
            ("output", &self.output),
            ("gradient of the parameters", &self.parameters),
            ("gradient of x", &self.x),
            ("gradient of the initial state", &self.initial),
        ]
    }
}

/// What is left to chance where gradients are checked: in every fourth case nothing, as in
/// evaluation.
pub(super) fn noise<C, T>(case: &Case<C, T>) -> Option<Noise> {
    let noise = Noise { seed: 5, first_step: 1 << 30 };
    (!case.generator.state().seed.is_multiple_of(4)).then_some(noise)
}

/// Forward and back.
pub(super) fn gradients<C: Cell, T: Real>(
    case: &Case<C, T>,
    weighting: &Weighting<T>,
    compute: &Compute,
    way: Way,
    tape: &mut Tape<T>,
) -> Gradients<T> {
    let gradients = &mut case.parameters.zeros_like();
    let found = add_gradients(case, weighting, compute, way, tape, gradients);
    Gradients { parameters: gradients.as_slice().to_vec(), ..found }
}

/// As [`gradients`]; those of the parameters are added to `gradients`.
pub(super) fn add_gradients<C: Cell, T: Real>(
    case: &Case<C, T>,
    weighting: &Weighting<T>,
    compute: &Compute,
    way: Way,
    tape: &mut Tape<T>,
    gradients: &mut Parameters<T>,
) -> Gradients<T> {
    let Case { stack, parameters, lengths, x, initial, .. } = case;
    let columns = |t: usize| lengths.offsets()[t]..lengths.offsets()[t + 1];
    let recorded = match way {
        Way::AtOnce => {
            let input = Input::Columns(x.as_ref());
            stack.run(compute, parameters, input, initial, lengths, noise(case), tape)
        }
        Way::StepByStep => {
            let mut taping = stack.begin(compute, parameters, initial, lengths, noise(case), tape);
            for t in 0..lengths.steps() {
                taping.advance(Input::Columns(x.as_ref().columns_range(columns(t))));
            }
            taping.finish()
        }
    };
    let output = recorded.output().as_slice().to_vec();
    let mut turned = recorded.turn();
    turned.output_and_gradient().1.copy_from(weighting.output.as_ref());
    turned.add_final_state_gradient(&weighting.state);
    // Backward writes the gradient of x, whatever is there.
    let mut d_x = Matrix::from_fn(x.rows(), x.columns(), |_, _| T::from_f64(9.0));
    let reversed = match way {
        Way::AtOnce => {
            let input = InputGradient::Columns { x: x.as_ref(), d_x: Some(d_x.as_mut()) };
            stack.run_backward(turned, compute, parameters, input, gradients, &())
        }
        Way::StepByStep => {
            let mut retreating = stack.begin_backward(turned, compute, parameters);
            for t in (0..lengths.steps()).rev() {
                let d_x = d_x.as_mut().columns_range(columns(t));
                assert_eq!(retreating.retreat(Some(d_x), &()), t);
            }
            let input = InputGradient::Columns { x: x.as_ref(), d_x: None };
            retreating.finish(parameters, input, gradients)
        }
    };
    let initial = flat(&reversed.initial_state_gradient());
    Gradients { output, parameters: Vec::new(), x: d_x.as_slice().to_vec(), initial }
}
