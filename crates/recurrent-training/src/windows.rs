//! A long text as parallel streams, cut into windows: the batches of truncated backpropagation
//! through time (Williams and Peng 1990).
//!
//! The text is cut into `streams` pieces of equal length that run side by side. A window is
//! `steps` steps of all of them, whose losses count; every loss counts once. The state goes on from
//! window to window, while gradients end where a window begins to read.
//!
//! ```text
//! text     a b c d e f g h i j k l m      13 tokens, 3 streams of 4 steps, windows of 3 steps
//! stream 0 a b c | d                      predicts b c d | e
//! stream 1 e f g | h                      predicts f g h | i
//! stream 2 i j k | l                      predicts j k l | m
//! ```
//!
//! Williams and Peng's BPTT(h; h') has two numbers: h' steps between updates, here `steps` (k1), and h
//! steps back at each, here [`backward_steps`](Windows::with_backward_steps) (k2). Where k2 is
//! larger, a window begins to read k2 - k1 steps before the steps that count, and makes them again
//! from the state that was stored there: so gradients of its losses reach back at least k2 - k1 + 1
//! and at most k2 steps, each loss's own among them.
//!
//! ```text
//! k1 = 2, k2 = 5   window 0   a b                  counts a b     the state before a is zero
//!                  window 1   a b c d              counts c d
//!                  window 2     b c d e f          counts e f     from the state after a
//!                  window 3         d e f g h      counts g h     from the state after c
//! ```
//!
//! The next window begins k1 steps behind this one, so within it: the state that it begins from is
//! one that this window made on its way, with today's parameters; one state is all that is stored.
//! It is stale in that much: what is made again comes from today's parameters, what it begins from
//! from those one update ago, and what that began from from older ones.

use std::convert::Infallible;
use std::ops::Range;

use recurrent_kernels::loss::IGNORED;
use recurrent_topologies::Lengths;

/// The tokens of a text, in memory or wherever else they are read from when they are needed.
pub trait TokenSource {
    /// Why tokens cannot be read.
    type Error;

    /// How many tokens the text has.
    fn token_count(&self) -> usize;

    /// Adds the tokens of `range` to `tokens`. `stream` is that which they are read for: each reads
    /// its tokens in order, so whoever reads from a disk keeps a place for each.
    ///
    /// # Errors
    /// If they cannot be read; what was added then is of no use.
    fn read(
        &self,
        stream: usize,
        range: Range<usize>,
        tokens: &mut Vec<u32>,
    ) -> Result<(), Self::Error>;
}

impl TokenSource for [u32] {
    type Error = Infallible;

    fn token_count(&self) -> usize {
        self.len()
    }

    fn read(&self, _: usize, range: Range<usize>, tokens: &mut Vec<u32>) -> Result<(), Infallible> {
        tokens.extend_from_slice(&self[range]);
        Ok(())
    }
}

/// The windows of a text; see the module's pictures.
pub struct Windows<'t, S: ?Sized = [u32]> {
    source: &'t S,
    streams: usize,
    stream_length: usize,
    steps: usize,
    /// Steps that a window reads again before those that count.
    context: usize,
    document_end: &'t [u32],
}

impl<S: ?Sized> Clone for Windows<'_, S> {
    fn clone(&self) -> Self {
        Windows { ..*self }
    }
}

/// Some steps of all streams: tokens and their successors, in the order of columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The token read in each column.
    pub tokens: Vec<u32>,
    /// The class to predict in each column: here the next token. [`IGNORED`] asks for nothing
    /// there.
    pub targets: Vec<u32>,
    /// The shape.
    pub lengths: Lengths,
    /// Starts from the state that the window before left, and not from zero.
    pub carries_state: bool,
    /// The steps after which it leaves a state for the next one, which begins there; `None`: after
    /// the last step of each sequence.
    pub carry_after: Option<usize>,
}

impl<'t> Windows<'t> {
    /// The windows of `tokens`; none if there are too few for one step of every stream. Up to
    /// `streams - 1` tokens at the end are left out, because streams have equal lengths.
    ///
    /// # Panics
    /// If `streams` or `steps` is 0.
    #[track_caller]
    pub fn new(tokens: &'t [u32], streams: usize, steps: usize) -> Self {
        Windows::of(tokens, streams, steps)
    }

    /// Window `index`; the last one may be shorter.
    ///
    /// # Panics
    /// If there is no such window.
    #[track_caller]
    pub fn get(&self, index: usize) -> Window {
        let Ok(window) = self.read(index);
        window
    }
}

impl<'t, S: TokenSource + ?Sized> Windows<'t, S> {
    /// As [`new`](Windows::new), of a text that need not be in memory.
    ///
    /// # Panics
    /// If `streams` or `steps` is 0.
    #[track_caller]
    pub fn of(source: &'t S, streams: usize, steps: usize) -> Self {
        assert!(streams > 0 && steps > 0, "{streams} streams in windows of {steps} steps");
        let stream_length = source.token_count().saturating_sub(1) / streams;
        Windows { source, streams, stream_length, steps, context: 0, document_end: &[] }
    }

    /// The same windows, each of which reads `backward_steps` steps up to its last (k2): those before
    /// the steps that count are read again, from a state that an earlier window stored. At the
    /// beginning of the streams there are fewer.
    ///
    /// # Panics
    /// If they are fewer than the steps of a window.
    #[track_caller]
    pub fn with_backward_steps(self, backward_steps: usize) -> Self {
        let steps = self.steps;
        assert!(
            backward_steps >= steps,
            "{backward_steps} steps back are fewer than the {steps} of a window"
        );
        Windows { context: backward_steps - steps, ..self }
    }

    /// The same windows of a text of documents, of which each but the last ends with these tokens
    /// ([`Lengths::with_resets`]).
    ///
    /// The last token of the ending begins the next document: it is predicted by the document that
    /// it ends, and it is read from a fresh state. So every token is predicted once, and from its own
    /// document alone; the first one of a document is predicted from the end of documents as such.
    /// Without tokens there are no documents.
    pub fn with_document_end(self, document_end: &'t [u32]) -> Self {
        Windows { document_end, ..self }
    }

    /// How many windows there are.
    pub fn count(&self) -> usize {
        self.stream_length.div_ceil(self.steps)
    }

    /// How many predictions all windows ask for together.
    pub fn predictions(&self) -> usize {
        self.stream_length * self.streams
    }

    /// Where in its streams window `index` begins to read.
    fn begin(&self, index: usize) -> usize {
        (index * self.steps).saturating_sub(self.context)
    }

    /// Window `index`; the last one may be shorter.
    ///
    /// # Errors
    /// If its tokens cannot be read.
    ///
    /// # Panics
    /// If there is no such window.
    #[track_caller]
    pub fn read(&self, index: usize) -> Result<Window, S::Error> {
        assert!(index < self.count(), "there are {} windows and no window {index}", self.count());
        let (begin, counted) = (self.begin(index), index * self.steps);
        let steps = (counted + self.steps).min(self.stream_length) - begin;
        let columns = steps * self.streams;
        let (mut tokens, mut targets) = (vec![0; columns], vec![IGNORED; columns]);
        let (mut read, mut resets) = (Vec::with_capacity(steps + 1), vec![]);
        for stream in 0..self.streams {
            let first = stream * self.stream_length + begin;
            // An ending may have begun before the window.
            let before = self.document_end.len().saturating_sub(1).min(first);
            read.clear();
            self.source.read(stream, first - before..first + steps + 1, &mut read)?;
            for t in 0..steps {
                let column = t * self.streams + stream;
                tokens[column] = read[before + t];
                if begin + t >= counted {
                    targets[column] = read[before + t + 1];
                }
                let is_end = || read[..=before + t].ends_with(self.document_end);
                if !self.document_end.is_empty() && is_end() {
                    resets.push((stream, t));
                }
            }
        }
        let carry_after = self.begin(index + 1) - begin;
        Ok(Window {
            tokens,
            targets,
            lengths: Lengths::equal(self.streams, steps).with_resets(&resets),
            carries_state: begin > 0,
            carry_after: (carry_after < steps).then_some(carry_after),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(columns: &[u32]) -> String {
        let letter = |&token: &u32| match token {
            IGNORED => '.',
            token => char::from_u32(token).unwrap(),
        };
        columns.iter().map(letter).collect()
    }

    fn text(letters: &str) -> Vec<u32> {
        letters.bytes().map(u32::from).collect()
    }

    #[test]
    fn the_picture_is_true() {
        let text = text("abcdefghijklm");
        let windows = Windows::new(&text, 3, 3);
        assert_eq!(windows.count(), 2);
        assert_eq!(windows.predictions(), 12);
        assert_eq!(letters(&windows.get(0).tokens), "aeibfjcgk");
        assert_eq!(letters(&windows.get(0).targets), "bfjcgkdhl");
        assert_eq!(letters(&windows.get(1).tokens), "dhl");
        assert_eq!(letters(&windows.get(1).targets), "eim");
        assert!(!windows.get(0).carries_state && windows.get(1).carries_state);
    }

    #[test]
    fn the_picture_of_steps_back_is_true() {
        let text = text("abcdefghi");
        let windows = Windows::new(&text, 1, 2).with_backward_steps(5);
        let expected = [
            ("ab", "bc", false, Some(0)),
            ("abcd", "..de", false, Some(1)),
            ("bcdef", "...fg", true, Some(2)),
            ("defgh", "...hi", true, Some(2)),
        ];
        assert_eq!(windows.count(), expected.len());
        for (index, (tokens, targets, carries_state, carry_after)) in expected.iter().enumerate() {
            let window = windows.get(index);
            assert_eq!(letters(&window.tokens), *tokens, "window {index}");
            assert_eq!(letters(&window.targets), *targets, "window {index}");
            assert_eq!(window.carries_state, *carries_state, "window {index}");
            assert_eq!(window.carry_after, *carry_after, "window {index}");
        }
    }

    #[test]
    fn a_document_begins_with_the_last_token_of_the_ending() {
        // Two streams of 7; `--` ends a document, also across the streams' border.
        let text = text("ab--c--d---ef-g");
        let windows = Windows::new(&text, 2, 3).with_document_end(&[45, 45]);
        let expected: [&[(usize, usize)]; 3] = [&[(1, 2)], &[(0, 0), (1, 0)], &[(0, 0)]];
        for (index, resets) in expected.into_iter().enumerate() {
            let Window { lengths, .. } = windows.get(index);
            let steps = lengths.steps();
            assert_eq!(lengths, Lengths::equal(2, steps).with_resets(resets), "window {index}");
        }
        let across = Windows::new(&text, 3, 9).with_document_end(&[45, 45, 45]);
        assert_eq!(across.get(0).lengths, Lengths::equal(3, 4).with_resets(&[(2, 2)]));
    }

    #[test]
    fn too_few_tokens_make_no_window() {
        assert_eq!(Windows::new(&[1, 2, 3], 3, 5).count(), 0);
        assert_eq!(Windows::new(&[], 3, 5).count(), 0);
        assert_eq!(Windows::new(&[1, 2, 3, 4], 3, 5).count(), 1);
    }

    #[test]
    #[should_panic(expected = "4 steps back are fewer than the 5 of a window")]
    fn fewer_steps_back_than_a_window_are_refused() {
        let _ = Windows::new(&[1, 2, 3], 1, 5).with_backward_steps(4);
    }
}
