//! Drawn models that write, with drawn batches: what the tests of decoders run.

#![allow(dead_code)] // each test uses its part

use proptest::prelude::*;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Compute, Matrix, Real};
use recurrent_testkit::case::{fill, regularizations, suited};
use recurrent_testkit::gradient::added;
use recurrent_topologies::{
    AttentionKind, Condition, DecoderStream, EncoderDecoder, EncoderDecoderConfig,
    EncoderDecoderTape, InputConfig, Lengths, Noise, OneToMany, OneToManyConfig, OneToManyTape,
    Probe, Reading, Regularization, StackConfig, TokenEncoding,
};

pub(crate) fn encodings() -> impl Strategy<Value = TokenEncoding> {
    prop_oneof![Just(TokenEncoding::OneHot), (1usize..4).prop_map(TokenEncoding::Embedding)]
}

pub(crate) fn stacks(dropout: f64) -> impl Strategy<Value = StackConfig> {
    let regularizations = match dropout > 0.0 {
        true => regularizations().boxed(),
        false => Just(Regularization::NONE).boxed(),
    };
    (prop::sample::select(&CellKind::NAMED[..]), 1usize..5, 1usize..=2, regularizations).prop_map(
        move |(cell, hidden_size, num_layers, mut regularization)| {
            if !cell.is_lstm() {
                regularization.zoneout_cell = 0.0;
            }
            let hidden_size = hidden_size.max(least_hidden_size(cell));
            let bidirectional = false;
            StackConfig { cell, hidden_size, num_layers, bidirectional, dropout, regularization }
        },
    )
}

/// Of one number nothing is left when it is normalised, and two become -1 and 1 with a bend between
/// them that is too sharp for differences.
fn least_hidden_size(cell: CellKind) -> usize {
    if cell == CellKind::LayerNormLstm { 4 } else { 1 }
}

fn suit(stack: &mut StackConfig, input: &InputConfig) {
    stack.regularization = suited(stack.regularization, input);
}

pub(crate) fn one_to_many(dropout: f64) -> impl Strategy<Value = OneToManyConfig> {
    let conditions = prop::sample::select(&Condition::ALL[..]);
    (1usize..4, conditions, 2usize..8, encodings(), stacks(dropout)).prop_map(
        |(condition_size, condition, vocabulary_size, encoding, mut stack)| {
            suit(&mut stack, &InputConfig::Tokens { vocabulary_size, encoding });
            OneToManyConfig { condition_size, condition, vocabulary_size, encoding, stack }
        },
    )
}

pub(crate) fn encoder_decoders(dropout: f64) -> impl Strategy<Value = EncoderDecoderConfig> {
    let source = prop_oneof![
        (2usize..8, encodings()).prop_map(|(vocabulary_size, encoding)| InputConfig::Tokens {
            vocabulary_size,
            encoding,
        }),
        (1usize..4).prop_map(|size| InputConfig::Vectors { size }),
    ];
    let attention = prop::sample::select(vec![
        None,
        Some(AttentionKind::Dot),
        Some(AttentionKind::General),
        Some(AttentionKind::Additive),
    ]);
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let parts = (stacks(dropout), stacks(dropout), 2usize..8, encodings());
    (source, parts, attention, switches).prop_map(
        |(source, (encoder, decoder, target_vocabulary_size, target_encoding), attention, on)| {
            let (same, bidirectional, input_feeding, reverse_source) = on;
            let encoder = StackConfig { bidirectional, ..if same { decoder } else { encoder } };
            let mut encoder = encoder;
            let mut decoder = decoder;
            suit(&mut encoder, &source);
            let (vocabulary_size, encoding) = (target_vocabulary_size, target_encoding);
            suit(&mut decoder, &InputConfig::Tokens { vocabulary_size, encoding });
            if attention == Some(AttentionKind::Dot) {
                encoder.hidden_size = encoder.hidden_size.max(least_hidden_size(decoder.cell));
                decoder.hidden_size = encoder.output_size();
            }
            EncoderDecoderConfig {
                source,
                encoder,
                target_vocabulary_size,
                target_encoding,
                decoder,
                attention,
                input_feeding: input_feeding && attention.is_some(),
                reverse_source,
            }
        },
    )
}

pub(crate) fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..6, 1..5)
}

/// Pairs of lengths: of a source and of its target.
pub(crate) fn pairs(most: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((1usize..6, 1usize..6), 1..=most)
}

fn drawn_tokens(generator: &mut Generator, lengths: &[usize], size: usize) -> Vec<Vec<u32>> {
    let draw = |length: &usize| {
        (0..*length).map(|_| generator.below(size as u64) as u32).collect::<Vec<_>>()
    };
    lengths.iter().map(draw).collect()
}

/// Fills parameters with numbers that are exact in f32, so that both types have the same case.
fn drawn<T: Real>(generator: &mut Generator, parameters: &mut Parameters<T>) {
    parameters.visit_mut(|_, data| fill(generator, data, 0.8));
}

/// What a batch gave: for each sequence and step the logits, and the attention weights if any.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) logits: Vec<Vec<Vec<u64>>>,
    pub(crate) weights: Vec<Vec<Vec<u64>>>,
}

pub(crate) fn bits<T: Real>(numbers: &[T]) -> Vec<u64> {
    numbers.iter().map(|x| x.to_f64().to_bits()).collect()
}

fn by_sequence<R>(lengths: &Lengths, mut f: impl FnMut(usize, usize) -> R) -> Vec<Vec<R>> {
    (0..lengths.batch())
        .map(|sequence| (0..lengths.length(sequence)).map(|t| f(sequence, t)).collect())
        .collect()
}

/// A one-to-many model and a batch.
#[derive(Clone)]
pub(crate) struct Writing<T> {
    pub(crate) model: OneToMany,
    pub(crate) parameters: Parameters<T>,
    pub(crate) conditions: Vec<Vec<T>>,
    pub(crate) tokens: Vec<Vec<u32>>,
    pub(crate) seed: u64,
    pub(crate) noise: Option<Noise>,
}

impl<T: Real> Writing<T> {
    pub(crate) fn draw(config: &OneToManyConfig, lengths: &[usize], seed: u64) -> Self {
        let model = config.build().unwrap();
        let generator = &mut Generator::new(seed, 0);
        let mut parameters = Parameters::zeros(model.layout().clone());
        drawn(generator, &mut parameters);
        let tokens = drawn_tokens(generator, lengths, config.vocabulary_size);
        let conditions = lengths
            .iter()
            .map(|_| {
                let mut condition = vec![T::ZERO; config.condition_size];
                fill(generator, &mut condition, 1.0);
                condition
            })
            .collect();
        Writing { model, parameters, conditions, tokens, seed, noise: None }
    }

    pub(crate) fn lengths(&self) -> Lengths {
        Lengths::new(&self.tokens.iter().map(Vec::len).collect::<Vec<_>>())
    }

    pub(crate) fn condition(&self) -> Matrix<T> {
        let rows = self.model.config().condition_size;
        Matrix::from_columns(self.conditions.concat(), rows, self.conditions.len())
    }

    pub(crate) fn said(&self, compute: &Compute) -> Said {
        let (lengths, condition) = (self.lengths(), self.condition());
        let tokens = lengths.arrange(&self.tokens);
        let mut tape = OneToManyTape::default();
        let recorded = self.model.forward(
            compute,
            &self.parameters,
            condition.as_ref(),
            &tokens,
            &lengths,
            self.noise,
            &mut tape,
        );
        let logits = by_sequence(&lengths, |sequence, t| {
            bits(recorded.logits().column(lengths.column(sequence, t)))
        });
        Said { logits, weights: Vec::new() }
    }

    /// A weighted sum of the logits, and its gradients by parameters and by condition, which were
    /// added to `start`.
    pub(crate) fn gradients(&self, compute: &Compute, start: T) -> (f64, Parameters<T>, Matrix<T>) {
        let (lengths, condition) = (self.lengths(), self.condition());
        let tokens = lengths.arrange(&self.tokens);
        let mut tape = OneToManyTape::default();
        let mut recorded = self.model.forward(
            compute,
            &self.parameters,
            condition.as_ref(),
            &tokens,
            &lengths,
            self.noise,
            &mut tape,
        );
        let loss = weigh(self.seed, recorded.logits_mut());
        let mut d_condition = Matrix::from_fn(condition.rows(), condition.columns(), |_, _| start);
        let gradients = added(start, &self.parameters, |gradients| {
            let wanted = Some(d_condition.as_mut());
            self.model.backward(recorded, compute, &self.parameters, wanted, gradients, &());
        });
        d_condition.as_mut_slice().iter_mut().for_each(|d| *d -= start);
        (loss, gradients, d_condition)
    }

    pub(crate) fn stream(&self, compute: &Compute) -> DecoderStream<T> {
        self.model.stream(compute, self.parameters.clone(), self.condition().as_ref())
    }

    /// The same model on sequences `order[0]`, `order[1]`, ...
    pub(crate) fn select(&self, order: &[usize]) -> Self {
        let conditions = order.iter().map(|&j| self.conditions[j].clone()).collect();
        let tokens = order.iter().map(|&j| self.tokens[j].clone()).collect();
        Writing { conditions, tokens, ..self.clone() }
    }
}

/// An encoder-decoder and a batch.
#[derive(Clone)]
pub(crate) struct Translating<T> {
    pub(crate) model: EncoderDecoder,
    pub(crate) parameters: Parameters<T>,
    pub(crate) source_tokens: Vec<Vec<u32>>,
    pub(crate) source_vectors: Vec<Vec<Vec<T>>>,
    pub(crate) tokens: Vec<Vec<u32>>,
    pub(crate) seed: u64,
    pub(crate) noise: Option<Noise>,
}

impl<T: Real> Translating<T> {
    pub(crate) fn draw(config: &EncoderDecoderConfig, pairs: &[(usize, usize)], seed: u64) -> Self {
        let model = config.build().unwrap();
        let generator = &mut Generator::new(seed, 0);
        let mut parameters = Parameters::zeros(model.layout().clone());
        drawn(generator, &mut parameters);
        let (sources, targets): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        let tokens = drawn_tokens(generator, &targets, config.target_vocabulary_size);
        let (mut source_tokens, mut source_vectors) = (Vec::new(), Vec::new());
        match config.source {
            InputConfig::Tokens { vocabulary_size, .. } => {
                source_tokens = drawn_tokens(generator, &sources, vocabulary_size);
            }
            InputConfig::Vectors { size } => {
                for &length in &sources {
                    let mut numbers = vec![T::ZERO; size * length];
                    fill(generator, &mut numbers, 1.0);
                    source_vectors.push(numbers.chunks(size).map(<[T]>::to_vec).collect());
                }
            }
        }
        let noise = None;
        Translating { model, parameters, source_tokens, source_vectors, tokens, seed, noise }
    }

    pub(crate) fn target_lengths(&self) -> Lengths {
        Lengths::new(&self.tokens.iter().map(Vec::len).collect::<Vec<_>>())
    }

    pub(crate) fn source_lengths(&self) -> Lengths {
        let lengths: Vec<usize> = match self.source_vectors.is_empty() {
            true => self.source_tokens.iter().map(Vec::len).collect(),
            false => self.source_vectors.iter().map(Vec::len).collect(),
        };
        Lengths::new(&lengths)
    }

    /// Calls `f` with the arranged sources.
    pub(crate) fn with_sources<R>(&self, f: impl FnOnce((Reading<'_, T>, &Lengths)) -> R) -> R {
        let lengths = self.source_lengths();
        if self.source_vectors.is_empty() {
            let tokens = lengths.arrange(&self.source_tokens);
            return f((Reading::Tokens(&tokens), &lengths));
        }
        let rows = self.source_vectors[0][0].len();
        let mut x = Matrix::zeros(rows, lengths.columns());
        for (sequence, steps) in self.source_vectors.iter().enumerate() {
            for (t, vector) in steps.iter().enumerate() {
                x.as_mut().column(lengths.column(sequence, t)).copy_from_slice(vector);
            }
        }
        f((Reading::Vectors(x.as_ref()), &lengths))
    }

    pub(crate) fn said(&self, compute: &Compute) -> Said {
        self.with_sources(|sources| {
            let lengths = self.target_lengths();
            let tokens = lengths.arrange(&self.tokens);
            let mut tape = EncoderDecoderTape::default();
            let recorded = self.model.forward(
                compute,
                &self.parameters,
                sources,
                (&tokens, &lengths),
                self.noise,
                &mut tape,
            );
            let logits = by_sequence(&lengths, |sequence, t| {
                bits(recorded.logits().column(lengths.column(sequence, t)))
            });
            let weights = match self.model.config().attention {
                None => Vec::new(),
                Some(_) => by_sequence(&lengths, |sequence, t| {
                    bits(recorded.attention_weights(sequence, t))
                }),
            };
            Said { logits, weights }
        })
    }

    /// A weighted sum of the logits, and its gradient, which was added to `start`.
    pub(crate) fn gradients(&self, compute: &Compute, start: T) -> (f64, Parameters<T>) {
        self.probed_gradients(compute, start, &())
    }

    /// The same, with a look at it.
    pub(crate) fn probed_gradients(
        &self,
        compute: &Compute,
        start: T,
        probe: &impl Probe<T>,
    ) -> (f64, Parameters<T>) {
        self.with_sources(|sources| {
            let lengths = self.target_lengths();
            let tokens = lengths.arrange(&self.tokens);
            let mut tape = EncoderDecoderTape::default();
            let mut recorded = self.model.forward(
                compute,
                &self.parameters,
                sources,
                (&tokens, &lengths),
                self.noise,
                &mut tape,
            );
            let loss = weigh(self.seed, recorded.logits_mut());
            let gradients = added(start, &self.parameters, |gradients| {
                self.model.backward(recorded, compute, &self.parameters, gradients, probe);
            });
            (loss, gradients)
        })
    }

    pub(crate) fn stream(&self, compute: &Compute) -> DecoderStream<T> {
        self.with_sources(|sources| self.model.stream(compute, self.parameters.clone(), sources))
    }

    /// The same model on sequences `order[0]`, `order[1]`, ...
    pub(crate) fn select(&self, order: &[usize]) -> Self {
        fn pick<V: Clone>(from: &[V], order: &[usize]) -> Vec<V> {
            order.iter().filter_map(|&j| from.get(j).cloned()).collect()
        }
        Translating {
            source_tokens: pick(&self.source_tokens, order),
            source_vectors: pick(&self.source_vectors, order),
            tokens: pick(&self.tokens, order),
            ..self.clone()
        }
    }
}

/// The sum of all logits, each with a drawn factor, which takes its place: it is the gradient.
fn weigh<T: Real>(seed: u64, logits: recurrent_kernels::ColumnsMut<'_, T>) -> f64 {
    let generator = &mut Generator::new(seed, 7);
    let mut loss = 0.0;
    for logit in logits.into_slice() {
        let factor: f64 = generator.uniform_between(-1.0, 1.0);
        loss += factor * logit.to_f64();
        *logit = T::from_f64(factor);
    }
    loss
}
