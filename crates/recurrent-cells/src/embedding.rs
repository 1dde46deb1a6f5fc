//! An embedding: one learned column for each token.

use recurrent_kernels::{Columns, ColumnsMut, Real};

use crate::{Form, Layout, Parameters, Slot};

/// Where an embedding's table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// `embedding_size` x `vocabulary_size`: PyTorch's (vocabulary_size, embedding_size).
    pub weight: Slot,
}

impl Embedding {
    /// Adds `{name}.weight` to a layout.
    pub fn add(layout: &mut Layout, name: &str, vocabulary: usize, embedding: usize) -> Self {
        let name = format!("{name}.weight");
        Embedding { weight: layout.add(name, Form::Table, embedding, vocabulary) }
    }

    /// Writes the columns of `tokens`: `x_j = E[:, token_j]`.
    ///
    /// # Panics
    /// If a token is not in the table or `x` has another shape.
    #[track_caller]
    pub fn forward<T: Real>(
        &self,
        parameters: &Parameters<T>,
        tokens: &[u32],
        x: ColumnsMut<'_, T>,
    ) {
        gather(parameters.get(self.weight), tokens, x);
    }

    /// Undoes [`forward`](Self::forward): adds each column's gradient to its token's,
    /// `d_E[:, token_j] += d_x_j`, for j from first to last.
    ///
    /// # Panics
    /// If a token is not in the table or `d_x` has another shape.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        tokens: &[u32],
        d_x: Columns<'_, T>,
        gradients: &mut Parameters<T>,
    ) {
        let mut d_table = gradients.get_mut(self.weight);
        assert_fits(tokens, d_table.rows(), d_x.rows(), d_x.columns());
        for (j, &token) in tokens.iter().enumerate() {
            for (sum, &term) in d_table.column(token as usize).iter_mut().zip(d_x.column(j)) {
                *sum += term;
            }
        }
    }
}

/// Copies the columns of `table` that `tokens` name to `target`, one after the other.
///
/// # Panics
/// If a token is not in the table or the shapes do not fit.
#[track_caller]
pub fn gather<T: Real>(table: Columns<'_, T>, tokens: &[u32], mut target: ColumnsMut<'_, T>) {
    assert_fits(tokens, table.rows(), target.rows(), target.columns());
    for (j, &token) in tokens.iter().enumerate() {
        target.column(j).copy_from_slice(table.column(token as usize));
    }
}

#[track_caller]
fn assert_fits(tokens: &[u32], table_rows: usize, rows: usize, columns: usize) {
    assert!(
        tokens.len() == columns && table_rows == rows,
        "{} tokens of a table of {table_rows} rows do not fit a block of {rows} rows x {columns} \
         columns",
        tokens.len()
    );
}
