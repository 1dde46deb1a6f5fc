//! Long short-term memory: Hochreiter and Schmidhuber 1997, with the forget gate of Gers,
//! Schmidhuber and Cummins 2000, in PyTorch's form and row order (i, f, g, o).
//!
//! ```text
//! i  = sigmoid(W_ii x + b_ii + W_hi h + b_hi)     input gate
//! f  = sigmoid(W_if x + b_if + W_hf h + b_hf)     forget gate
//! g  =    tanh(W_ig x + b_ig + W_hg h + b_hg)     candidate
//! o  = sigmoid(W_io x + b_io + W_ho h + b_ho)     output gate
//! c' = f c + i g                                  the forget gate keeps or drops the old memory
//! h' = o tanh(c')                                 the output gate decides what is shown
//! ```
//!
//! Options ([`LstmOptions`]) change single lines:
//!
//! ```text
//! peephole:  i and f see w_i c and w_f c as well, o sees w_o c'    Gers and Schmidhuber 2000
//! coupled:   f = 1 - i, without weights of its own                 Greff et al. 2017, "CIFG"
//! clip:      every pre-activation is kept in [-clip, clip], bias and peephole included    ONNX
//! proj_size: m = o tanh(c'), h' = W_hr m                           Sak, Senior, Beaufays 2014
//! layer_norm: both products and c' are normalised before they act  Ba, Kiros, Hinton 2016
//! ```

use std::ops::Range;

use recurrent_kernels::activation::tanh;
use recurrent_kernels::{Compiled, Elementwise, ElementwiseWork, Level, Numbers, Real, Vectors};
use serde::{Deserialize, Serialize};

use crate::activate::{Clip, Sigmoid, Tanh, check_clip, compiled_pointwise, with_clip};
use crate::cell::{
    Backward, Biases, Cell, CellShape, Forward, NormSum, Peephole, PeepholeAt, Phase,
    RecurrentWeight, RowMap, Source, Target,
};
use crate::layer_norm_lstm::Normed;
use crate::{Gate, Keeps};

/// What an [`Lstm`] may have beside the usual. The default is PyTorch's `nn.LSTM`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LstmOptions {
    /// Gates look at the cell state, through `weight_peephole` (rows i, f, o; coupled: i, o).
    pub peephole: bool,
    /// The forget gate is `1 - i` and has no parameters: rows i, g, o.
    pub coupled: bool,
    /// The largest magnitude of a pre-activation; above 0 and finite.
    pub clip: Option<f64>,
    /// Numbers in h, if h is a projection of what the output gate lets through; at least 1.
    pub proj_size: Option<usize>,
    /// Products and c are normalised (`src/layer_norm_lstm.rs`), with gains and shifts in
    /// `weight_norm`: `4 hidden_size` gains for the product with h, as many for that with x, then
    /// `hidden_size` gains and as many shifts for c. Alone among the options but for biases.
    pub layer_norm: bool,
    /// Which biases there are.
    pub biases: Biases,
}

/// An LSTM cell. The tape of a step holds i, f, g, o (coupled: i, g, o), `hidden_size` rows each;
/// with a projection m stands before them, with layer
/// normalisation what that needs behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    input_size: usize,
    hidden_size: usize,
    options: LstmOptions,
}

impl Lstm {
    /// A cell from `input_size` numbers to `hidden_size` numbers.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        Lstm { input_size, hidden_size, options: LstmOptions::default() }
    }

    /// A cell with options. `hidden_size` counts c; h is as long, or `proj_size` with a projection,
    /// as in PyTorch.
    ///
    /// # Panics
    /// If the clip is not above 0 and finite, `proj_size` is 0, or layer normalisation is to go with
    /// peepholes, a coupled gate, a clip or a projection.
    #[track_caller]
    pub fn with_options(input_size: usize, hidden_size: usize, options: LstmOptions) -> Self {
        check_clip(options.clip);
        assert!(options.proj_size != Some(0), "a projection to no number");
        let LstmOptions { peephole, coupled, clip, proj_size, layer_norm, .. } = options;
        let others = peephole || coupled || clip.is_some() || proj_size.is_some();
        assert!(!(layer_norm && others), "layer normalisation with another option: {options:?}");
        Lstm { input_size, hidden_size, options }
    }

    /// The options.
    pub fn options(&self) -> &LstmOptions {
        &self.options
    }

    /// The rows of `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` that make the input gate.
    pub fn input_rows(&self) -> Range<usize> {
        0..self.hidden_size
    }

    /// The rows that make the forget gate; none if it is coupled to the input gate.
    pub fn forget_rows(&self) -> Option<Range<usize>> {
        (!self.options.coupled).then_some(self.hidden_size..2 * self.hidden_size)
    }

    /// i, g, o, and f unless it is coupled.
    fn gate_count(&self) -> usize {
        if self.options.coupled { 3 } else { 4 }
    }

    /// Rows of m on the tape, before the gates.
    fn inner_size(&self) -> usize {
        if self.options.proj_size.is_some() { self.hidden_size } else { 0 }
    }

    /// The equations with layer normalisation.
    fn normed(&self) -> Option<Normed> {
        self.options.layer_norm.then_some(Normed { size: self.hidden_size })
    }

    fn blocks(&self) -> Blocks {
        let LstmOptions { peephole, coupled, .. } = self.options;
        Blocks { size: self.hidden_size, inner: self.inner_size(), peephole, coupled }
    }
}

impl Cell for Lstm {
    fn shape(&self) -> CellShape {
        if let Some(normed) = self.normed() {
            return normed.shape(self.input_size, self.options.biases);
        }
        let rows = self.gate_count() * self.hidden_size;
        CellShape {
            input_size: self.input_size,
            hidden_size: self.options.proj_size.unwrap_or(self.hidden_size),
            cell_size: self.hidden_size,
            tape_rows: self.inner_size() + rows,
            weight_ih_rows: rows,
            weight_hh_rows: rows,
            inner_size: self.inner_size(),
            projects: self.options.proj_size.is_some(),
            peephole_size: self.peepholes().iter().map(|peephole| peephole.weight.len()).sum(),
            norm_size: 0,
            biases: self.options.biases,
        }
    }

    fn input_map(&self) -> Vec<RowMap> {
        if let Some(normed) = self.normed() {
            return vec![normed.input_map()];
        }
        let (rows, inner) = (self.gate_count() * self.hidden_size, self.inner_size());
        vec![RowMap { weight: 0..rows, tape: inner..inner + rows }]
    }

    fn phases(&self) -> Vec<Phase> {
        if let Some(normed) = self.normed() {
            return vec![Phase::of_hidden(vec![normed.recurrent_map()])];
        }
        let gates = Phase::of_hidden(self.input_map());
        let projection = Phase {
            weight: RecurrentWeight::Projection,
            source: Source::Inner(0..self.hidden_size),
            target: Target::Hidden,
        };
        let projects = self.options.proj_size.is_some();
        std::iter::once(gates).chain(projects.then_some(projection)).collect()
    }

    fn peepholes(&self) -> Vec<Peephole> {
        if !self.options.peephole {
            return Vec::new();
        }
        let (size, first) = (self.hidden_size, self.inner_size());
        // Blocks of the gates on the tape, in the order of the weight: i, f, o.
        let gates: &[(usize, PeepholeAt)] = match self.options.coupled {
            false => &[(0, PeepholeAt::Previous), (1, PeepholeAt::Previous), (3, PeepholeAt::Next)],
            true => &[(0, PeepholeAt::Previous), (2, PeepholeAt::Next)],
        };
        let peepholes = gates.iter().enumerate().map(|(index, &(block, at))| Peephole {
            weight: index * size..(index + 1) * size,
            tape: first + block * size..first + (block + 1) * size,
            at,
        });
        peepholes.collect()
    }

    fn norm_sums(&self) -> Vec<NormSum> {
        self.normed().map_or_else(Vec::new, |normed| normed.sums())
    }

    fn bias_rows(&self) -> Option<Range<usize>> {
        self.normed().map(|normed| normed.gates())
    }

    fn gates(&self) -> Vec<Gate> {
        let (size, first) = (self.hidden_size, self.inner_size());
        let rows = |block: usize| first + block * size..first + (block + 1) * size;
        match self.options.coupled {
            false => vec![
                Gate::new("input", rows(0)),
                Gate::keeping("forget", rows(1), Keeps::Value),
                Gate::new("output", rows(3)),
            ],
            true => {
                vec![Gate::keeping("input", rows(0), Keeps::Rest), Gate::new("output", rows(2))]
            }
        }
    }

    compiled_pointwise!(Lstm);
}

impl Lstm {
    /// A phase of a step, [`Cell::pointwise`].
    fn forward<T: Real>(&self, level: Level, phase: usize, step: Forward<'_, T>) {
        if let Some(normed) = self.normed() {
            return normed.forward(level, step);
        }
        // The projection is a product and nothing else.
        if phase == 0 {
            let blocks = self.blocks();
            with_clip!(self.options.clip, clip => match blocks.peephole {
                false => level.run_elementwise(ForwardColumns::<_, _, false> { blocks, clip, step }),
                true => level.run_elementwise(ForwardColumns::<_, _, true> { blocks, clip, step }),
            });
        }
    }

    /// Undoes [`forward`](Self::forward).
    fn backward<T: Real>(&self, level: Level, phase: usize, step: Backward<'_, T>) {
        if let Some(normed) = self.normed() {
            return normed.backward(level, step);
        }
        if phase == 0 {
            let blocks = self.blocks();
            with_clip!(self.options.clip, clip => match blocks.peephole {
                false => level.run_elementwise(BackwardColumns::<_, _, false> { blocks, clip, step }),
                true => level.run_elementwise(BackwardColumns::<_, _, true> { blocks, clip, step }),
            });
        }
    }
}

/// Where the blocks of rows lie.
#[derive(Clone, Copy)]
struct Blocks {
    size: usize,
    /// Rows of m; 0 without a projection.
    inner: usize,
    peephole: bool,
    coupled: bool,
}

/// The rows of a column, or of the biases; f is empty where it is coupled.
struct Gates<B> {
    m: B,
    i: B,
    f: B,
    g: B,
    o: B,
}

impl Blocks {
    #[inline(always)]
    fn of<'a, T>(&self, column: &'a [T]) -> Gates<&'a [T]> {
        let (m, rest) = column.split_at(self.inner);
        let (i, rest) = rest.split_at(self.size);
        let (f, rest) = rest.split_at(if self.coupled { 0 } else { self.size });
        let (g, o) = rest.split_at(self.size);
        Gates { m, i, f, g, o: &o[..self.size] }
    }

    #[inline(always)]
    fn of_mut<'a, T>(&self, column: &'a mut [T]) -> Gates<&'a mut [T]> {
        let (m, rest) = column.split_at_mut(self.inner);
        let (i, rest) = rest.split_at_mut(self.size);
        let (f, rest) = rest.split_at_mut(if self.coupled { 0 } else { self.size });
        let (g, o) = rest.split_at_mut(self.size);
        Gates { m, i, f, g, o: &mut o[..self.size] }
    }

    /// w_i, w_f, w_o; where there are none, `others`, which nobody looks at.
    #[inline(always)]
    fn peepholes<'a, T>(&self, weight: &'a [T], others: &'a [T]) -> [&'a [T]; 3] {
        if !self.peephole {
            return [others; 3];
        }
        let (w_i, rest) = weight.split_at(self.size);
        let (w_f, w_o) = rest.split_at(if self.coupled { 0 } else { self.size });
        [w_i, w_f, &w_o[..self.size]]
    }
}

/// All columns of a step. What stands in brackets is there with its option only:
/// ```text
/// [i += w_i c]            [f += w_f c]
/// i = sigmoid(i + b_i)     f = sigmoid(f + b_f)  [or 1 - i]      g = tanh(g + b_g)
/// c' = f c + i g
/// [o += w_o c']            o = sigmoid(o + b_o)
/// h' = o tanh(c')          [or m = o tanh(c')]
/// ```
struct ForwardColumns<'a, T, C, const PEEPHOLE: bool> {
    blocks: Blocks,
    clip: C,
    step: Forward<'a, T>,
}

impl<T: Real, C: Clip, const PEEPHOLE: bool> ElementwiseWork
    for ForwardColumns<'_, T, C, PEEPHOLE>
{
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let ForwardColumns { blocks, clip, mut step } = self;
        let size = blocks.size;
        let bias = blocks.of(step.bias);
        let [w_i, w_f, w_o] = blocks.peepholes(step.peephole, bias.i);
        for j in 0..step.tape.columns() {
            let Gates { m, i, f, g, o } = blocks.of_mut(step.tape.column(j));
            let c = &step.previous.c.column(j)[..size];
            let c_next = &mut step.c.column(j)[..size];
            let shown = if blocks.inner > 0 { m } else { step.h.column(j) };
            if blocks.coupled {
                let changed = [i, g, o, c_next, shown];
                let read = [c, bias.i, bias.g, bias.o, w_i, w_o];
                vectors.elementwise(&CoupledForward::<_, PEEPHOLE>(clip), changed, read);
            } else {
                let changed = [i, f, g, o, c_next, shown];
                let read = [c, bias.i, bias.f, bias.g, bias.o, w_i, w_f, w_o];
                vectors.elementwise(&GatesForward::<_, PEEPHOLE>(clip), changed, read);
            }
        }
    }
}

/// `gate + w c` through a peephole.
#[inline(always)]
fn look<N: Numbers, const PEEPHOLE: bool>(gate: N, w: N, c: N) -> N {
    if PEEPHOLE { w.mul_add(c, gate) } else { gate }
}

/// The equations of [`ForwardColumns`] at one place.
struct GatesForward<C, const PEEPHOLE: bool>(C);

impl<T: Real, C: Clip, const PEEPHOLE: bool> Elementwise<T, 6, 8> for GatesForward<C, PEEPHOLE> {
    const SIDE_BY_SIDE: bool = !PEEPHOLE && !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(
        &self,
        [i, f, g, o, _, _]: [N; 6],
        [c, b_i, b_f, b_g, b_o, w_i, w_f, w_o]: [N; 8],
    ) -> [N; 6] {
        let clip = self.0;
        let i = clip.value::<Sigmoid, N>(look::<N, PEEPHOLE>(i, w_i, c) + b_i);
        let f = clip.value::<Sigmoid, N>(look::<N, PEEPHOLE>(f, w_f, c) + b_f);
        let g = clip.value::<Tanh, N>(g + b_g);
        let c_next = f.mul_add(c, i * g);
        let o = clip.value::<Sigmoid, N>(look::<N, PEEPHOLE>(o, w_o, c_next) + b_o);
        [i, f, g, o, c_next, o * tanh(c_next)]
    }
}

/// [`GatesForward`] with `f = 1 - i`.
struct CoupledForward<C, const PEEPHOLE: bool>(C);

impl<T: Real, C: Clip, const PEEPHOLE: bool> Elementwise<T, 5, 6> for CoupledForward<C, PEEPHOLE> {
    const SIDE_BY_SIDE: bool = false;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(
        &self,
        [i, g, o, _, _]: [N; 5],
        [c, b_i, b_g, b_o, w_i, w_o]: [N; 6],
    ) -> [N; 5] {
        let clip = self.0;
        let i = clip.value::<Sigmoid, N>(look::<N, PEEPHOLE>(i, w_i, c) + b_i);
        let g = clip.value::<Tanh, N>(g + b_g);
        let c_next = (i.all(T::ONE) - i).mul_add(c, i * g);
        let o = clip.value::<Sigmoid, N>(look::<N, PEEPHOLE>(o, w_o, c_next) + b_o);
        [i, g, o, c_next, o * tanh(c_next)]
    }
}

/// Reads [`ForwardColumns`] from its last line to its first. Every gate becomes the gradient of
/// its pre-activation, through s' = s (1 - s) for a sigmoid s and g' = 1 - g^2, or 0 where the clip
/// held it. With a projection d_h' stands for the gradient of m:
/// ```text
/// d_c' += d_h' o (1 - tanh(c')^2)         o <- d_h' tanh(c') o'       [d_c' += w_o d_o]
/// i <- d_c' g i'      g <- d_c' i g'      [coupled: i <- d_c' (g - c) i']
/// f <- d_c' c f'      d_c = d_c' f        [d_c += w_i d_i + w_f d_f]
/// ```
struct BackwardColumns<'a, T, C, const PEEPHOLE: bool> {
    blocks: Blocks,
    clip: C,
    step: Backward<'a, T>,
}

impl<T: Real, C: Clip, const PEEPHOLE: bool> ElementwiseWork
    for BackwardColumns<'_, T, C, PEEPHOLE>
{
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        let BackwardColumns { blocks, clip, mut step } = self;
        let size = blocks.size;
        let d_shown = if blocks.inner > 0 { step.d_inner.as_ref() } else { step.d_h };
        for j in 0..step.tape.columns() {
            let Gates { i, f, g, o, .. } = blocks.of_mut(step.tape.column(j));
            let c = &step.previous.c.column(j)[..size];
            let c_next = &step.next.c.column(j)[..size];
            let d_h = &d_shown.column(j)[..size];
            let d_c = &mut step.d_c.column(j)[..size];
            let [w_i, w_f, w_o] = blocks.peepholes(step.peephole, c);
            if blocks.coupled {
                let (changed, read) = ([i, g, o, d_c], [c, c_next, d_h, w_i, w_o]);
                vectors.elementwise(&CoupledBackward::<_, PEEPHOLE>(clip), changed, read);
            } else {
                let (changed, read) = ([i, f, g, o, d_c], [c, c_next, d_h, w_i, w_f, w_o]);
                vectors.elementwise(&GatesBackward::<_, PEEPHOLE>(clip), changed, read);
            }
        }
    }
}

/// The equations of [`BackwardColumns`] at one place.
struct GatesBackward<C, const PEEPHOLE: bool>(C);

impl<T: Real, C: Clip, const PEEPHOLE: bool> Elementwise<T, 5, 6> for GatesBackward<C, PEEPHOLE> {
    const SIDE_BY_SIDE: bool = !PEEPHOLE && !C::RARE;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(
        &self,
        [i, f, g, o, d_c]: [N; 5],
        [c, c_next, d_h, w_i, w_f, w_o]: [N; 6],
    ) -> [N; 5] {
        let clip = self.0;
        let shown = tanh(c_next);
        let d_c = d_c + d_h * o * (o.all(T::ONE) - shown * shown);
        let d_o = d_h * shown * clip.slope::<Sigmoid, N>(o);
        let d_c = look::<N, PEEPHOLE>(d_c, w_o, d_o);
        let d_i = d_c * g * clip.slope::<Sigmoid, N>(i);
        let d_g = d_c * i * clip.slope::<Tanh, N>(g);
        let d_f = d_c * c * clip.slope::<Sigmoid, N>(f);
        let d_c = look::<N, PEEPHOLE>(d_c * f, w_i, d_i);
        [d_i, d_f, d_g, d_o, look::<N, PEEPHOLE>(d_c, w_f, d_f)]
    }
}

/// [`GatesBackward`] with `f = 1 - i`.
struct CoupledBackward<C, const PEEPHOLE: bool>(C);

impl<T: Real, C: Clip, const PEEPHOLE: bool> Elementwise<T, 4, 5> for CoupledBackward<C, PEEPHOLE> {
    const SIDE_BY_SIDE: bool = false;

    #[inline(always)]
    fn apply<N: Numbers<Number = T>>(
        &self,
        [i, g, o, d_c]: [N; 4],
        [c, c_next, d_h, w_i, w_o]: [N; 5],
    ) -> [N; 4] {
        let (clip, one) = (self.0, i.all(T::ONE));
        let shown = tanh(c_next);
        let d_c = d_c + d_h * o * (one - shown * shown);
        let d_o = d_h * shown * clip.slope::<Sigmoid, N>(o);
        let d_c = look::<N, PEEPHOLE>(d_c, w_o, d_o);
        let d_i = d_c * (g - c) * clip.slope::<Sigmoid, N>(i);
        let d_g = d_c * i * clip.slope::<Tanh, N>(g);
        [d_i, d_g, d_o, look::<N, PEEPHOLE>(d_c * (one - i), w_i, d_i)]
    }
}
