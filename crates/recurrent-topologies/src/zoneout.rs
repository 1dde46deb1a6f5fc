//! Zoneout: some numbers of the state stay what they were a step before.
//!
//! Krueger et al. 2017, "Zoneout: Regularizing RNNs by randomly preserving hidden activations". With
//! a mask m of zeros and ones, drawn for every step:
//!
//! ```text
//! c = m_c c[t-1] + (1 - m_c) c~          c~, h~: what the cell gives from h[t-1] and c[t-1]
//! h = m_h h[t-1] + (1 - m_h) h~
//! ```
//! In evaluation m is its expectation, the share. h~ comes from c~, not from c, as in the paper; so the
//! tape of a layer holds c~ as well.

use recurrent_cells::StateRef;
use recurrent_kernels::random::Dropout;
use recurrent_kernels::{ColumnsMut, Real};

use crate::{Noise, Regularization};

/// The first of the sites of masks: two for each direction of each layer.
const SITES: u32 = 1 << 29;

/// Zoneout of one direction of a layer, in one pass.
#[derive(Clone, Copy)]
pub(crate) struct Zoneout {
    /// The shares of h and c that stay.
    h: f64,
    c: f64,
    /// None: in evaluation.
    noise: Option<Noise>,
    site: u32,
}

impl Zoneout {
    /// Zoneout of the stack's cell of this index, if there is any.
    pub(crate) fn new(
        regularization: &Regularization,
        noise: Option<Noise>,
        index: usize,
    ) -> Option<Zoneout> {
        let &Regularization { zoneout: h, zoneout_cell: c, .. } = regularization;
        let site = SITES + 2 * index as u32;
        (h > 0.0 || c > 0.0).then_some(Zoneout { h, c, noise, site })
    }

    /// h and c of some columns at step `t`, from what the cell gave; of c that goes to `candidate`.
    /// `sequences` are the caller's.
    pub(crate) fn forward<T: Real>(
        &self,
        t: usize,
        sequences: &[usize],
        previous: StateRef<'_, T>,
        (mut h, mut c): (ColumnsMut<'_, T>, ColumnsMut<'_, T>),
        mut candidate: ColumnsMut<'_, T>,
    ) {
        candidate.copy_from(c.as_ref());
        for (j, &sequence) in sequences.iter().enumerate() {
            self.forward_column((t, sequence), j, previous, (h.column(j), c.column(j)));
        }
    }

    /// Column `j` of a step, at its address.
    fn forward_column<T: Real>(
        &self,
        (t, sequence): (usize, usize),
        j: usize,
        previous: StateRef<'_, T>,
        (h, c): (&mut [T], &mut [T]),
    ) {
        let (h_previous, c_previous) = (previous.h.column(j), previous.c.column(j));
        self.for_kept((self.h, 0), t, sequence, h.len(), |r, m: T| {
            h[r] = m.mul_add(h_previous[r], (T::ONE - m) * h[r]);
        });
        self.for_kept((self.c, 1), t, sequence, c.len(), |r, m: T| {
            c[r] = m.mul_add(c_previous[r], (T::ONE - m) * c[r]);
        });
    }

    /// As [`forward`](Self::forward) in evaluation, for all columns of a step.
    pub(crate) fn expect<T: Real>(
        &self,
        previous: StateRef<'_, T>,
        mut h: ColumnsMut<'_, T>,
        mut c: ColumnsMut<'_, T>,
    ) {
        debug_assert!(self.noise.is_none());
        for j in 0..h.columns() {
            self.forward_column((0, 0), j, previous, (h.column(j), c.column(j)));
        }
    }

    /// Undoes [`forward`](Self::forward): the gradients of h and c become those of h~ and c~, and what
    /// passed by the cell is added to `d_h_previous` and `d_c_previous`.
    pub(crate) fn backward<T: Real>(
        &self,
        t: usize,
        sequences: &[usize],
        (mut d_h, mut d_c): (ColumnsMut<'_, T>, ColumnsMut<'_, T>),
        (mut d_h_previous, mut d_c_previous): (ColumnsMut<'_, T>, ColumnsMut<'_, T>),
    ) {
        for (j, &sequence) in sequences.iter().enumerate() {
            let (d, d_previous) = (d_h.column(j), d_h_previous.column(j));
            self.for_kept((self.h, 0), t, sequence, d.len(), |r, m: T| {
                d_previous[r] = m.mul_add(d[r], d_previous[r]);
                d[r] *= T::ONE - m;
            });
            let (d, d_previous) = (d_c.column(j), d_c_previous.column(j));
            self.for_kept((self.c, 1), t, sequence, d.len(), |r, m: T| {
                d_previous[r] = m.mul_add(d[r], d_previous[r]);
                d[r] *= T::ONE - m;
            });
        }
    }

    /// Calls `f` with every row and its m; not at all if none stays.
    #[inline(always)]
    fn for_kept<T: Real>(
        &self,
        (share, block): (f64, u32),
        t: usize,
        sequence: usize,
        rows: usize,
        mut f: impl FnMut(usize, T),
    ) {
        if share == 0.0 {
            return;
        }
        let Some(noise) = self.noise else {
            let share = T::from_f64(share);
            (0..rows).for_each(|row| f(row, share));
            return;
        };
        let (masks, step) = (Dropout::new(share, noise.seed), noise.first_step + t as u64);
        masks.for_rows(self.site + block, step, sequence as u64, rows, |row, is_kept| {
            f(row, if is_kept { T::ONE } else { T::ZERO });
        });
    }
}
