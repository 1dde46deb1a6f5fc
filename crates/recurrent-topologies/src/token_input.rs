//! Tokens as input: one-hot or embedded, and the shortcut that both allow.
//!
//! The product of `weight_ih` with a token's vector depends on the token alone. Where the
//! vocabulary is smaller than the batch, all products are made once, `table = weight_ih E`, and a
//! column of gates is a column of the table; for one-hot tokens `weight_ih` is the table already.
//! The bits are those of the long way, since every column of a product stands alone.

use recurrent_cells::{CellSlots, Embedding, Layout, Parameters};
use recurrent_kernels::{Accum, Compute, Matrix, Operand, Packed, Real, gemm};

use crate::{Input, InputGradient, InputSlots, TokenEncoding};

/// Turns tokens into the first layer's input.
#[derive(Clone, Debug)]
pub struct TokenInput {
    embedding: Option<Embedding>,
    vocabulary_size: usize,
}

/// What a [`TokenInput`] leaves for backward.
pub struct TokenInputTape<T> {
    /// `weight_ih E`: `weight_ih` rows x vocabulary, for each direction; without columns where it was
    /// not used.
    tables: [Matrix<T>; 2],
    /// The tokens' embeddings, where there is no table: `embedding_size` x N.
    x: Matrix<T>,
    packed: Packed<T>,
    d_tables: [Matrix<T>; 2],
    d_x: Matrix<T>,
}

impl<T: Real> Default for TokenInputTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        let packed = Packed::new();
        let tables = || [empty(), empty()];
        let (x, d_x) = (empty(), empty());
        TokenInputTape { tables: tables(), x, packed, d_tables: tables(), d_x }
    }
}

impl TokenInput {
    /// Adds what the encoding needs to a layout: `embedding.weight`, or nothing for one-hot.
    pub fn add(layout: &mut Layout, encoding: TokenEncoding, vocabulary_size: usize) -> Self {
        let embedding = match encoding {
            TokenEncoding::OneHot => None,
            TokenEncoding::Embedding(size) => {
                Some(Embedding::add(layout, "embedding", vocabulary_size, size))
            }
        };
        TokenInput { embedding, vocabulary_size }
    }

    /// The embedding, if tokens are embedded.
    pub fn embedding(&self) -> Option<&Embedding> {
        self.embedding.as_ref()
    }

    /// The input of a stack whose first layer has `slots`, for tokens in the order of columns.
    pub fn forward<'a, T: Real>(
        &self,
        compute: &Compute,
        slots: &InputSlots,
        parameters: &'a Parameters<T>,
        tokens: &'a [u32],
        tape: &'a mut TokenInputTape<T>,
    ) -> Input<'a, T> {
        let Some(embedding) = &self.embedding else {
            let weight_ih = |slots: &CellSlots| parameters.get(slots.weight_ih);
            let (table, reverse) = (weight_ih(&slots.first), slots.reverse.as_ref().map(weight_ih));
            return Input::Table { table, reverse, tokens };
        };
        let vectors = parameters.get(embedding.weight);
        let TokenInputTape { tables, x, packed, .. } = tape;
        if self.vocabulary_size >= tokens.len() {
            tables[0].resize(0, 0);
            x.resize(embedding.weight.rows(), tokens.len());
            embedding.forward(parameters, tokens, x.as_mut());
            return Input::Columns(x.as_ref());
        }
        for (slots, table) in slots.iter().zip(&mut *tables) {
            let weight_ih = parameters.get(slots.weight_ih);
            table.resize(weight_ih.rows(), self.vocabulary_size);
            packed.pack(compute.level(), weight_ih, std::slice::from_ref(&(0..weight_ih.rows())));
            compute.product(table.as_mut(), Accum::Replace, packed, vectors);
        }
        let reverse = slots.reverse.map(|_| tables[1].as_ref());
        Input::Table { table: tables[0].as_ref(), reverse, tokens }
    }

    /// Where the stack's backward pass is to put the gradient of what [`forward`](Self::forward)
    /// gave; [`backward`](Self::backward) takes it from there.
    pub fn gradient<'a, T: Real>(
        &self,
        slots: &InputSlots,
        tokens: &'a [u32],
        tape: &'a mut TokenInputTape<T>,
        gradients: &Parameters<T>,
    ) -> InputGradient<'a, T> {
        let TokenInputTape { tables, x, d_tables, d_x, .. } = tape;
        if self.embedding.is_some() && tables[0].columns() == 0 {
            d_x.resize(x.rows(), x.columns());
            return InputGradient::Columns { x: x.as_ref(), d_x: Some(d_x.as_mut()) };
        }
        for (slots, d_table) in slots.iter().zip(&mut *d_tables) {
            d_table.resize(gradients.get(slots.weight_ih).rows(), self.vocabulary_size);
            d_table.as_mut_slice().fill(T::ZERO);
        }
        let [d_table, d_reverse] = d_tables;
        let d_reverse = slots.reverse.map(|_| d_reverse.as_mut());
        InputGradient::Table { tokens, d_table: d_table.as_mut(), d_reverse }
    }

    /// Carries the gradient on to the parameters.
    ///
    /// ```text
    /// one-hot:  d_weight_ih += d_table
    /// table:    d_weight_ih += d_table E^T      d_E += weight_ih^T d_table
    /// columns:  d_E[:, token_j] += d_x_j        (d_weight_ih is the stack's)
    /// ```
    pub fn backward<T: Real>(
        &self,
        compute: &Compute,
        slots: &InputSlots,
        parameters: &Parameters<T>,
        tokens: &[u32],
        tape: &TokenInputTape<T>,
        gradients: &mut Parameters<T>,
    ) {
        if let Some(embedding) = &self.embedding
            && tape.tables[0].columns() == 0
        {
            embedding.backward(tokens, tape.d_x.as_ref(), gradients);
            return;
        }
        for (slots, d_table) in slots.iter().zip(&tape.d_tables) {
            let d_table = d_table.as_ref();
            let mut d_weight_ih = gradients.get_mut(slots.weight_ih);
            let Some(embedding) = &self.embedding else {
                d_weight_ih.add(d_table);
                continue;
            };
            let vectors = Operand::Transposed(parameters.get(embedding.weight));
            gemm(compute, d_weight_ih, Accum::Add, Operand::Plain(d_table), vectors);
            let d_embedding = gradients.get_mut(embedding.weight);
            let weight_ih = Operand::Transposed(parameters.get(slots.weight_ih));
            gemm(compute, d_embedding, Accum::Add, weight_ih, Operand::Plain(d_table));
        }
    }
}
