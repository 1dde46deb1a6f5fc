//! Encoder-decoder: a sequence in, another sequence out. The encoder reads the whole source, many to
//! one; the decoder writes the target from what the encoder knows at the end, one to many, and with
//! attention from every step of it. They share no parameter.

use std::sync::Arc;

use recurrent_cells::initialize::{Initialization, InitializationError};
use recurrent_cells::{AnyCell, Layout, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{Columns, ColumnsMut, Compute, Matrix, Real};
use serde::{Deserialize, Serialize};

use crate::attention::{AttentionKind, Encoded, encoded_column};
use crate::bridge::{self, BridgeTape};
use crate::config::countable;
use crate::decoder::{
    Decoder, DecoderBatch, DecoderConfig, DecoderGradients, DecoderRecorded, DecoderTape,
};
use crate::probe::Above;
use crate::reader::{Reader, ReaderConfig, ReaderRecorded, ReaderTape};
use crate::{
    Bridge, ConfigError, DecoderStream, InputConfig, Lengths, Noise, Probe, Reading, Stack,
    StackConfig, State, TokenEncoding,
};

/// What an [`EncoderDecoder`] is made of. Every field counts; none has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderDecoderConfig {
    /// What the encoder reads.
    pub source: InputConfig,
    /// The encoder's layers. They may read both ways.
    pub encoder: StackConfig,
    /// How many different tokens the decoder writes, the start and the end token included; at
    /// least 1. Which ones these are is the caller's business.
    pub target_vocabulary_size: usize,
    /// How the decoder reads what it has written.
    pub target_encoding: TokenEncoding,
    /// The decoder's layers; they cannot read both ways, for what comes later is not written yet.
    pub decoder: StackConfig,
    /// How the decoder looks at the source, if it does.
    pub attention: Option<AttentionKind>,
    /// What attention found at a step enters the next one; needs attention.
    pub input_feeding: bool,
    /// The encoder reads each source from its end (Sutskever, Vinyals and Le 2014). The model does
    /// the reversing; sources are given, and attention weights come back, in their own order.
    pub reverse_source: bool,
}

impl EncoderDecoderConfig {
    /// Checks every field and lays out the model.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of range, or what does not go together.
    pub fn build(&self) -> Result<EncoderDecoder, ConfigError> {
        let EncoderDecoderConfig { source, encoder, decoder, .. } = self;
        let reader = ReaderConfig::new(*source, *encoder);
        reader.check()?;
        let (vocabulary_size, encoding) = (self.target_vocabulary_size, self.target_encoding);
        let target = InputConfig::Tokens { vocabulary_size, encoding };
        target.check()?;
        decoder.check_reading(&target)?;
        decoder.check_writes()?;
        let (encoder_size, decoder_size) = (encoder.output_size(), decoder.hidden_size);
        if self.attention == Some(AttentionKind::Dot) && encoder_size != decoder_size {
            return Err(ConfigError::DotAttention { encoder_size, decoder_size });
        }
        if self.input_feeding && self.attention.is_none() {
            return Err(ConfigError::InputFeeding);
        }
        let config = DecoderConfig {
            vocabulary_size,
            encoding,
            stack: decoder,
            condition_size: 0,
            attention: self.attention.map(|kind| (kind, encoder_size)),
            input_feeding: self.input_feeding,
        };
        let from = encoder_size as f64 * encoder.num_layers as f64;
        let bridge = bridge::count(from, decoder);
        countable(reader.count() + config.count() + bridge)?;

        let mut layout = Layout::new();
        let reader = reader.add(&mut layout, "encoder.");
        let bridge = Bridge::between(&mut layout, "bridge.", encoder, decoder);
        let decoder = config.add(&mut layout, "decoder.");
        Ok(EncoderDecoder {
            config: self.clone(),
            layout: Arc::new(layout),
            encoder: reader,
            bridge,
            decoder,
        })
    }
}

/// An encoder, a bridge, and a decoder.
#[derive(Clone, Debug)]
pub struct EncoderDecoder {
    config: EncoderDecoderConfig,
    layout: Arc<Layout>,
    encoder: Reader,
    bridge: Bridge,
    decoder: Decoder,
}

/// The buffers of an [`EncoderDecoder`], reused from batch to batch.
pub struct EncoderDecoderTape<T> {
    encoder: EncoderTape<T>,
    bridge: BridgeTape<T>,
    decoder: DecoderTape<T>,
}

struct EncoderTape<T> {
    reader: ReaderTape<T>,
    source: MirroredSource<T>,
}

/// The sources read from their ends; unused where they are not.
struct MirroredSource<T> {
    tokens: Vec<u32>,
    vectors: Matrix<T>,
}

impl<T: Real> Default for EncoderTape<T> {
    fn default() -> Self {
        let source = MirroredSource { tokens: Vec::new(), vectors: Matrix::zeros(0, 0) };
        EncoderTape { reader: ReaderTape::default(), source }
    }
}

impl<T: Real> Default for EncoderDecoderTape<T> {
    fn default() -> Self {
        EncoderDecoderTape {
            encoder: EncoderTape::default(),
            bridge: BridgeTape::default(),
            decoder: DecoderTape::default(),
        }
    }
}

impl<T: Real> MirroredSource<T> {
    /// The same batch with each sequence from its last step to its first.
    fn mirror<'a>(&'a mut self, reading: Reading<'_, T>, lengths: &Lengths) -> Reading<'a, T> {
        let mut columns = vec![0; lengths.columns()];
        for sequence in 0..lengths.batch() {
            for at in 0..lengths.length(sequence) {
                let column = lengths.column(sequence, at);
                columns[column] = encoded_column(lengths, true, sequence, at);
            }
        }
        match reading {
            Reading::Tokens(tokens) => {
                self.tokens.clear();
                self.tokens.extend(columns.iter().map(|&column| tokens[column]));
                Reading::Tokens(&self.tokens)
            }
            Reading::Vectors(x) => {
                self.vectors.resize(x.rows(), columns.len());
                for (j, &column) in columns.iter().enumerate() {
                    self.vectors.as_mut().column(j).copy_from_slice(x.column(column));
                }
                Reading::Vectors(self.vectors.as_ref())
            }
        }
    }
}

/// A forward pass of an [`EncoderDecoder`] that has not been undone yet.
#[must_use = "drop it if no gradient is wanted"]
pub struct EncoderDecoderRecorded<'t, T> {
    encoding: ReaderRecorded<'t, T>,
    bridge: &'t mut BridgeTape<T>,
    decoder: DecoderRecorded<'t, T>,
    attends: bool,
}

impl<T: Real> EncoderDecoderRecorded<'_, T> {
    /// What is said after every token of the targets: `target_vocabulary_size` x N, arranged as the
    /// tokens were.
    pub fn logits(&self) -> Columns<'_, T> {
        self.decoder.logits()
    }

    /// The logits, for a loss to turn into their own gradient in place.
    pub fn logits_mut(&mut self) -> ColumnsMut<'_, T> {
        self.decoder.logits_mut()
    }

    /// How much a sequence looked at each step of its source while it wrote step `t` of its target:
    /// a number for each, in the source's own order; they add up to 1.
    ///
    /// # Panics
    /// If the model has no attention, or there is no such sequence or step.
    #[track_caller]
    pub fn attention_weights(&self, sequence: usize, t: usize) -> &[T] {
        assert!(self.attends, "a model without attention has no attention weights");
        self.decoder.weights(sequence, t)
    }
}

impl EncoderDecoder {
    /// What the model is made of.
    pub fn config(&self) -> &EncoderDecoderConfig {
        &self.config
    }

    /// The table of its parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The encoder's layers.
    pub fn encoder(&self) -> &Stack<AnyCell> {
        &self.encoder.stack
    }

    /// The decoder's layers.
    pub fn decoder(&self) -> &Stack<AnyCell> {
        self.decoder.stack()
    }

    /// What leads from the one to the other.
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    /// Fresh parameters: cells by `initialization`, then with this forget bias if one is given
    /// ([`forget_bias`](recurrent_cells::initialize::forget_bias)), the rest by PyTorch's defaults.
    ///
    /// # Errors
    /// [`InitializationError`] if one of them is not for the cells of this model.
    pub fn initialize<T: Real>(
        &self,
        generator: &mut Generator,
        initialization: Initialization,
        forget_bias: Option<f64>,
    ) -> Result<Parameters<T>, InitializationError> {
        let mut parameters = Parameters::zeros(Arc::clone(&self.layout));
        self.encoder.initialize(generator, &mut parameters, initialization, forget_bias)?;
        self.decoder.initialize(generator, &mut parameters, initialization, forget_bias)?;
        self.bridge.initialize(generator, &mut parameters);
        Ok(parameters)
    }

    /// Runs a batch: `sources` are arranged by `source_lengths` ([`Lengths::arrange`]), each from its
    /// own beginning; `tokens` are what the decoder reads, arranged by `target_lengths`, mostly the
    /// start token and the true tokens without the last. Sequence j of the one belongs to sequence j
    /// of the other. `noise` is given in training and left out elsewhere; the decoder's time steps are
    /// counted from 2^23 on, so that its dropout masks are not the encoder's.
    ///
    /// # Panics
    /// If the shapes do not fit, the parameters are another model's, a token is outside its
    /// vocabulary, or documents begin in the middle of sources or targets.
    #[track_caller]
    pub fn forward<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        (sources, source_lengths): (Reading<'t, T>, &Lengths),
        (tokens, target_lengths): (&'t [u32], &Lengths),
        noise: Option<Noise>,
        tape: &'t mut EncoderDecoderTape<T>,
    ) -> EncoderDecoderRecorded<'t, T> {
        parameters.assert_layout(&self.layout);
        let (given, wanted) = (source_lengths.batch(), target_lengths.batch());
        assert!(given == wanted, "{given} sources were given for {wanted} targets");
        let EncoderDecoderTape { encoder, bridge, decoder } = tape;
        let encoding = self.encode(compute, parameters, sources, source_lengths, noise, encoder);
        let initial = self.cross(compute, parameters, &encoding, bridge);
        let batch = DecoderBatch {
            lengths: target_lengths,
            initial: &initial,
            first: None,
            condition: None,
            encoded: Some(self.encoded(&encoding)),
            noise: noise.map(Noise::for_decoder),
        };
        let decoder = self.decoder.forward(compute, parameters, batch, tokens, decoder);
        let attends = self.config.attention.is_some();
        EncoderDecoderRecorded { encoding, bridge, decoder, attends }
    }

    #[track_caller]
    fn encode<'t, T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        sources: Reading<'t, T>,
        lengths: &Lengths,
        noise: Option<Noise>,
        tape: &'t mut EncoderTape<T>,
    ) -> ReaderRecorded<'t, T> {
        let (given, wanted) = (sources.columns(), lengths.columns());
        assert!(given == wanted, "{given} columns were given to sources with {wanted}");
        lengths.require_whole("a source");
        let EncoderTape { reader, source } = tape;
        let reading = match self.config.reverse_source {
            true => source.mirror(sources, lengths),
            false => sources,
        };
        let initial = self.encoder().zero_state(lengths.batch());
        self.encoder.forward(compute, parameters, reading, &initial, lengths, noise, reader)
    }

    /// The state that the decoder begins from.
    fn cross<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        encoding: &ReaderRecorded<'_, T>,
        tape: &mut BridgeTape<T>,
    ) -> State<T> {
        let batch = encoding.stack.lengths().batch();
        let mut last = self.encoder().zero_state(batch);
        encoding.stack.final_state(&mut last);
        let mut initial = self.decoder().zero_state(batch);
        self.bridge.forward(compute, parameters, &last, &mut initial, tape);
        initial
    }

    fn encoded<'a, T: Real>(&self, encoding: &'a ReaderRecorded<'_, T>) -> Encoded<'a, T> {
        Encoded {
            output: encoding.stack.output(),
            lengths: encoding.stack.lengths(),
            reversed: self.config.reverse_source,
        }
    }

    /// Undoes [`forward`](Self::forward): adds to the gradients of the parameters. The recorded
    /// logits must have been turned into their gradient. The probe sees the decoder's layers first,
    /// numbered after the encoder's, then the encoder's.
    ///
    /// # Panics
    /// If parameters or gradients are another model's.
    #[track_caller]
    pub fn backward<T: Real>(
        &self,
        recorded: EncoderDecoderRecorded<'_, T>,
        compute: &Compute,
        parameters: &Parameters<T>,
        gradients: &mut Parameters<T>,
        probe: &impl Probe<T>,
    ) {
        parameters.assert_layout(&self.layout);
        gradients.assert_layout(&self.layout);
        let EncoderDecoderRecorded { encoding, bridge, decoder, attends } = recorded;
        let lengths = encoding.stack.lengths().clone();
        let mut turned = encoding.turn();
        let (_, d_output) = turned.stack.output_and_gradient();
        let encoded = attends.then_some((&lengths, self.config.reverse_source, d_output));
        let into = DecoderGradients { first: None, condition: None, encoded };
        let above = Above { probe, layers: self.config.encoder.num_layers };
        let d_initial =
            self.decoder.backward(decoder, compute, parameters, into, gradients, &above);

        let mut d_last = self.encoder().zero_state(lengths.batch());
        self.bridge.backward(compute, parameters, &d_initial, &mut d_last, bridge, gradients);
        turned.stack.add_final_state_gradient(&d_last);
        self.encoder.backward(turned, compute, parameters, gradients, probe);
    }

    /// The vector that holds a whole source when the decoder begins: h and c of each of its layers,
    /// for each source, in the caller's order.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[track_caller]
    pub fn context<T: Real>(
        &self,
        compute: &Compute,
        parameters: &Parameters<T>,
        (sources, source_lengths): (Reading<'_, T>, &Lengths),
    ) -> State<T> {
        parameters.assert_layout(&self.layout);
        let mut tape = EncoderTape::default();
        let encoding = self.encode(compute, parameters, sources, source_lengths, None, &mut tape);
        self.cross(compute, parameters, &encoding, &mut BridgeTape::default())
    }

    /// The model as it writes, token by token, one sequence for each source.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[track_caller]
    pub fn stream<T: Real>(
        &self,
        compute: &Compute,
        parameters: Parameters<T>,
        (sources, source_lengths): (Reading<'_, T>, &Lengths),
    ) -> DecoderStream<T> {
        parameters.assert_layout(&self.layout);
        let mut tape = EncoderTape::default();
        let encoding = self.encode(compute, &parameters, sources, source_lengths, None, &mut tape);
        let state = self.cross(compute, &parameters, &encoding, &mut BridgeTape::default());
        let batch = source_lengths.batch();
        let mut stream = DecoderStream::new(compute, &self.decoder, parameters, batch);
        stream.set_state(state);
        stream.set_sources(self.encoded(&encoding));
        stream
    }
}
