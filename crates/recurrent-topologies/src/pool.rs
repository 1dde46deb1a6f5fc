//! One vector for a whole sequence: what the steps of a sequence leave behind, in one column.

use recurrent_kernels::{Columns, ColumnsMut, Real};
use serde::{Deserialize, Serialize};

use crate::{Directions, Lengths};

/// How the steps of a sequence become one vector. Only its own steps count: nothing is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// h after the last step that each direction takes: forward after the sequence's last step, in
    /// reverse after its first. These are the last layer's rows of PyTorch's `h_n`.
    Last,
    /// The mean over steps.
    Mean,
    /// The largest number over steps, row by row; of equal ones the first. NaN counts as larger than
    /// all, so that it is not lost.
    Max,
}

impl Pool {
    /// All of them.
    pub const ALL: [Pool; 3] = [Pool::Last, Pool::Mean, Pool::Max];

    /// The name that configurations use.
    pub fn name(self) -> &'static str {
        match self {
            Pool::Last => "last",
            Pool::Mean => "mean",
            Pool::Max => "max",
        }
    }

    /// Pools `h` (rows x N, the output of a stack that reads in `directions`) into `pooled` (rows x
    /// batch, in the caller's order). `winners` is for [`backward`](Self::backward): of a maximum
    /// it becomes the step of each number of `pooled`, column after column.
    ///
    /// ```text
    /// last:  p = h_n      mean:  p = sum over t of h_t / length      max:  p_r = max over t of h_tr
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub(crate) fn forward<T: Real>(
        self,
        directions: Directions,
        lengths: &Lengths,
        h: Columns<'_, T>,
        mut pooled: ColumnsMut<'_, T>,
        winners: &mut Vec<usize>,
    ) {
        assert_shapes(directions, lengths, h, pooled.as_ref());
        winners.clear();
        if self == Pool::Max {
            winners.resize(pooled.rows() * pooled.columns(), 0);
        }
        for sequence in 0..lengths.batch() {
            let length = lengths.length(sequence);
            let column = |t: usize| h.column(lengths.column(sequence, t));
            let target = pooled.column(sequence);
            match self {
                Pool::Last => {
                    let size = target.len() / directions.count();
                    let place = lengths.place(sequence);
                    for (index, &direction) in directions.list().iter().enumerate() {
                        let rows = index * size..(index + 1) * size;
                        let last = h.column(lengths.final_column(direction, place));
                        target[rows.clone()].copy_from_slice(&last[rows]);
                    }
                }
                Pool::Mean => {
                    target.copy_from_slice(column(0));
                    for t in 1..length {
                        add(target, column(t), T::ONE);
                    }
                    let share: T = share(length);
                    target.iter_mut().for_each(|sum| *sum *= share);
                }
                Pool::Max => {
                    let size = target.len();
                    let winners = &mut winners[sequence * size..(sequence + 1) * size];
                    target.copy_from_slice(column(0));
                    for t in 1..length {
                        for ((best, winner), &x) in
                            target.iter_mut().zip(&mut *winners).zip(column(t))
                        {
                            if x > *best || (x.is_nan() && !best.is_nan()) {
                                (*best, *winner) = (x, t);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradient of h, `d_h`.
    ///
    /// ```text
    /// last:  d_h_n += d_p      mean:  d_h_t += d_p / length      max:  d_h_wr += d_p_r, w the winner
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit, or `winners` are not those of [`forward`](Self::forward).
    #[track_caller]
    pub(crate) fn backward<T: Real>(
        self,
        directions: Directions,
        lengths: &Lengths,
        winners: &[usize],
        d_pooled: Columns<'_, T>,
        mut d_h: ColumnsMut<'_, T>,
    ) {
        assert_shapes(directions, lengths, d_h.as_ref(), d_pooled);
        for sequence in 0..lengths.batch() {
            let length = lengths.length(sequence);
            let d_pooled = d_pooled.column(sequence);
            match self {
                Pool::Last => {
                    let size = d_pooled.len() / directions.count();
                    let place = lengths.place(sequence);
                    for (index, &direction) in directions.list().iter().enumerate() {
                        let rows = index * size..(index + 1) * size;
                        let last = d_h.column(lengths.final_column(direction, place));
                        add(&mut last[rows.clone()], &d_pooled[rows], T::ONE);
                    }
                }
                Pool::Mean => {
                    for t in 0..length {
                        add(d_h.column(lengths.column(sequence, t)), d_pooled, share(length));
                    }
                }
                Pool::Max => {
                    let size = d_pooled.len();
                    let winners = &winners[sequence * size..(sequence + 1) * size];
                    for (r, (&winner, &d)) in winners.iter().zip(d_pooled).enumerate() {
                        d_h.column(lengths.column(sequence, winner))[r] += d;
                    }
                }
            }
        }
    }
}

/// What a step of so many counts in a mean.
fn share<T: Real>(length: usize) -> T {
    T::from_f64(1.0 / length as f64)
}

/// `sums += factor terms`.
fn add<T: Real>(sums: &mut [T], terms: &[T], factor: T) {
    for (sum, &term) in sums.iter_mut().zip(terms) {
        *sum += factor * term;
    }
}

#[track_caller]
fn assert_shapes<T>(
    directions: Directions,
    lengths: &Lengths,
    h: Columns<'_, T>,
    pooled: Columns<'_, T>,
) {
    assert!(
        h.rows() == pooled.rows()
            && h.columns() == lengths.columns()
            && pooled.columns() == lengths.batch()
            && h.rows().is_multiple_of(directions.count()),
        "h of {} rows x {} columns cannot be pooled into {} rows x {} columns for a batch of {} \
         sequences with {} columns, read in {} directions",
        h.rows(),
        h.columns(),
        pooled.rows(),
        pooled.columns(),
        lengths.batch(),
        lengths.columns(),
        directions.count()
    );
}

#[cfg(test)]
mod tests {
    use recurrent_kernels::Matrix;

    use super::*;

    /// One sequence of these steps with one number each.
    fn maximum(steps: &[f32]) -> (f32, usize) {
        let (mut pooled, mut winners) = (Matrix::zeros(1, 1), Vec::new());
        let (lengths, h) = (Lengths::equal(1, steps.len()), Columns::new(steps, 1, steps.len()));
        let directions = Directions::Forward;
        Pool::Max.forward(directions, &lengths, h, pooled.as_mut(), &mut winners);
        (pooled.as_slice()[0], winners[0])
    }

    #[test]
    fn of_equal_numbers_the_first_is_the_largest() {
        assert_eq!(maximum(&[-2.0, -1.0, -3.0, -1.0]), (-1.0, 1));
        assert_eq!(maximum(&[0.0, -0.0]), (0.0, 0));
    }

    #[test]
    fn what_is_no_number_is_not_lost() {
        for steps in [[f32::NAN, 1.0, 2.0], [1.0, f32::NAN, 2.0], [1.0, f32::NAN, f32::NAN]] {
            let (largest, winner) = maximum(&steps);
            assert!(largest.is_nan() && winner == steps.iter().position(|x| x.is_nan()).unwrap());
        }
    }
}
