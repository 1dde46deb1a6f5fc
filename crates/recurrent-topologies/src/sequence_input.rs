//! What a model reads: vectors as they are, or tokens, one-hot or embedded, with the shortcut that
//! both allow.
//!
//! The product of `weight_ih` with a token's vector depends on the token alone. Where the
//! vocabulary is smaller than the batch, all products are made once, `table = weight_ih E`, and a
//! column of gates is a column of the table; for one-hot tokens `weight_ih` is the table already.
//! The bits are those of the long way, since every column of a product stands alone.

use recurrent_cells::{CellSlots, Embedding, Layout, Parameters};
use recurrent_kernels::{Accum, Columns, ColumnsMut, Compute, Matrix, Operand, Packed, Real, gemm};

use crate::{
    Input, InputConfig, InputGradient, InputSlots, Lengths, Noise, Regularization, TokenEncoding,
};

/// Turns what is read into the first layer's input.
#[derive(Clone, Debug)]
pub struct SequenceInput {
    embedding: Option<Embedding>,
    config: InputConfig,
    regularization: Regularization,
}

/// A batch to read, in the order of columns ([`Lengths::arrange`](crate::Lengths::arrange)).
#[derive(Clone, Copy)]
pub enum Reading<'a, T> {
    /// A token a column.
    Tokens(&'a [u32]),
    /// The columns themselves.
    Vectors(Columns<'a, T>),
}

impl<T: Real> Reading<'_, T> {
    /// How many columns there are.
    pub fn columns(&self) -> usize {
        match self {
            Reading::Tokens(tokens) => tokens.len(),
            Reading::Vectors(x) => x.columns(),
        }
    }
}

/// What a [`SequenceInput`] leaves for backward.
pub struct SequenceInputTape<T> {
    /// `weight_ih E`: `weight_ih` rows x vocabulary, for each direction; without columns where it was
    /// not used.
    tables: [Matrix<T>; 2],
    /// The tokens' embeddings, where there is no table: `embedding_size` x N.
    x: Matrix<T>,
    packed: Packed<T>,
    d_tables: [Matrix<T>; 2],
    d_x: Matrix<T>,
}

impl<T: Real> Default for SequenceInputTape<T> {
    fn default() -> Self {
        let empty = || Matrix::zeros(0, 0);
        let packed = Packed::new();
        let tables = || [empty(), empty()];
        let (x, d_x) = (empty(), empty());
        SequenceInputTape { tables: tables(), x, packed, d_tables: tables(), d_x }
    }
}

impl SequenceInput {
    /// Adds what the input needs to a layout: `{prefix}embedding.weight`, or nothing for one-hot
    /// tokens and for vectors. Of `regularization` it drops words; what is dropped from vectors is the
    /// stack's matter.
    pub fn add(
        layout: &mut Layout,
        prefix: &str,
        config: InputConfig,
        regularization: Regularization,
    ) -> Self {
        let embedding = match config {
            InputConfig::Tokens { vocabulary_size, encoding: TokenEncoding::Embedding(size) } => {
                let name = format!("{prefix}embedding");
                Some(Embedding::add(layout, &name, vocabulary_size, size))
            }
            _ => None,
        };
        SequenceInput { embedding, config, regularization }
    }

    /// What is read.
    pub fn config(&self) -> &InputConfig {
        &self.config
    }

    /// The embedding, if tokens are embedded.
    pub fn embedding(&self) -> Option<&Embedding> {
        self.embedding.as_ref()
    }

    /// The input of a stack whose first layer has `slots`. Lengths and noise are those that the stack
    /// is run with.
    ///
    /// # Panics
    /// If tokens are given where vectors are read or the other way round, if a token is outside the
    /// vocabulary, or vectors have another size.
    #[track_caller]
    pub fn forward<'a, T: Real>(
        &self,
        compute: &Compute,
        slots: &InputSlots,
        parameters: &'a Parameters<T>,
        reading: Reading<'a, T>,
        (lengths, noise): (&Lengths, Option<Noise>),
        tape: &'a mut SequenceInputTape<T>,
    ) -> Input<'a, T> {
        self.check(reading);
        let (tokens, vocabulary_size) = match (reading, self.config) {
            (Reading::Tokens(tokens), InputConfig::Tokens { vocabulary_size, .. }) => {
                (tokens, vocabulary_size)
            }
            (Reading::Vectors(x), _) => return Input::Columns(x),
            (Reading::Tokens(_), InputConfig::Vectors { .. }) => unreachable!("checked above"),
        };
        let Some(embedding) = &self.embedding else {
            let weight_ih = |slots: &CellSlots| parameters.get(slots.weight_ih);
            let (table, reverse) = (weight_ih(&slots.first), slots.reverse.as_ref().map(weight_ih));
            return Input::Table { table, reverse, tokens };
        };
        let vectors = parameters.get(embedding.weight);
        let SequenceInputTape { tables, x, packed, .. } = tape;
        // A table has no place for what is dropped here and there.
        let is_changed = noise.is_some() && self.regularization.changes_vectors();
        if vocabulary_size >= tokens.len() || is_changed {
            tables[0].resize(0, 0);
            x.resize(embedding.weight.rows(), tokens.len());
            embedding.forward(parameters, tokens, x.as_mut());
            self.regularization.drop_words(lengths, noise, tokens, x.as_mut());
            return Input::Columns(x.as_ref());
        }
        for (slots, table) in slots.iter().zip(&mut *tables) {
            let weight_ih = parameters.get(slots.weight_ih);
            table.resize(weight_ih.rows(), vocabulary_size);
            packed.pack(compute, weight_ih, std::slice::from_ref(&(0..weight_ih.rows())));
            compute.product(table.as_mut(), Accum::Replace, packed, vectors);
        }
        let reverse = slots.reverse.map(|_| tables[1].as_ref());
        Input::Table { table: tables[0].as_ref(), reverse, tokens }
    }

    /// Where the stack's backward pass is to put the gradient of what [`forward`](Self::forward)
    /// gave; [`backward`](Self::backward) takes it from there.
    /// Vectors take none: nothing learns from it.
    pub fn gradient<'a, T: Real>(
        &self,
        slots: &InputSlots,
        reading: Reading<'a, T>,
        tape: &'a mut SequenceInputTape<T>,
        gradients: &Parameters<T>,
    ) -> InputGradient<'a, T> {
        let tokens = match reading {
            Reading::Tokens(tokens) => tokens,
            Reading::Vectors(x) => return InputGradient::Columns { x, d_x: None },
        };
        let SequenceInputTape { tables, x, d_tables, d_x, .. } = tape;
        if self.embedding.is_some() && tables[0].columns() == 0 {
            d_x.resize(x.rows(), x.columns());
            return InputGradient::Columns { x: x.as_ref(), d_x: Some(d_x.as_mut()) };
        }
        for (slots, d_table) in slots.iter().zip(&mut *d_tables) {
            let weight_ih = gradients.get(slots.weight_ih);
            // A table has a column for every token, and so has the weight of one-hot ones.
            let tokens = self.embedding.map_or(weight_ih.columns(), |e| e.weight.columns());
            d_table.reset(weight_ih.rows(), tokens);
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
    /// Words that forward dropped get nothing.
    pub fn backward<T: Real>(
        &self,
        compute: &Compute,
        slots: &InputSlots,
        parameters: &Parameters<T>,
        reading: Reading<'_, T>,
        (lengths, noise): (&Lengths, Option<Noise>),
        tape: &mut SequenceInputTape<T>,
        gradients: &mut Parameters<T>,
    ) {
        let Reading::Tokens(tokens) = reading else { return };
        if let Some(embedding) = &self.embedding
            && tape.tables[0].columns() == 0
        {
            self.regularization.drop_words(lengths, noise, tokens, tape.d_x.as_mut());
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

    /// Writes the vectors of `tokens` as columns, for a stack that reads more than these. Words are
    /// dropped as in [`forward`](Self::forward) if `masks` are given.
    pub(crate) fn write<T: Real>(
        &self,
        parameters: &Parameters<T>,
        tokens: &[u32],
        masks: Option<(&Lengths, Noise)>,
        mut x: ColumnsMut<'_, T>,
    ) {
        match &self.embedding {
            Some(embedding) => {
                embedding.forward(parameters, tokens, x.reborrow());
                if let Some((lengths, noise)) = masks {
                    self.regularization.drop_words(lengths, Some(noise), tokens, x);
                }
            }
            None => {
                x.fill(T::ZERO);
                for (j, &token) in tokens.iter().enumerate() {
                    x.column(j)[token as usize] = T::ONE;
                }
            }
        }
    }

    /// Undoes [`write`](Self::write): adds to the gradient of the embedding, and drops from `d_x`
    /// what forward dropped.
    pub(crate) fn write_backward<T: Real>(
        &self,
        tokens: &[u32],
        masks: Option<(&Lengths, Noise)>,
        mut d_x: ColumnsMut<'_, T>,
        gradients: &mut Parameters<T>,
    ) {
        if let Some(embedding) = &self.embedding {
            if let Some((lengths, noise)) = masks {
                self.regularization.drop_words(lengths, Some(noise), tokens, d_x.reborrow());
            }
            embedding.backward(tokens, d_x.as_ref(), gradients);
        }
    }

    #[track_caller]
    pub(crate) fn check<T: Real>(&self, reading: Reading<'_, T>) {
        match (self.config, reading) {
            (InputConfig::Tokens { vocabulary_size, .. }, Reading::Tokens(tokens)) => {
                let size = vocabulary_size;
                if let Some(at) = tokens.iter().position(|&token| token as usize >= size) {
                    let token = tokens[at];
                    panic!("token {token} at column {at} is outside a vocabulary of {size}");
                }
            }
            (InputConfig::Vectors { size }, Reading::Vectors(x)) => {
                let rows = x.rows();
                assert!(rows == size, "vectors of {rows} numbers; {size} are read at a step");
            }
            (InputConfig::Tokens { .. }, Reading::Vectors(_)) => {
                panic!("vectors were given to a model that reads tokens")
            }
            (InputConfig::Vectors { .. }, Reading::Tokens(_)) => {
                panic!("tokens were given to a model that reads vectors")
            }
        }
    }
}
