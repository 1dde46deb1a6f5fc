//! A long text as parallel streams, cut into windows: the batches of truncated backpropagation
//! through time (Williams and Peng 1990).
//!
//! The text is cut into `streams` pieces of equal length that run side by side. A window is
//! `steps` steps of all of them; the state after a window is the state before the next, while
//! gradients end at its first step.
//!
//! ```text
//! text     a b c d e f g h i j k l m      13 tokens, 3 streams of 4 steps, windows of 3 steps
//! stream 0 a b c | d                      predicts b c d | e
//! stream 1 e f g | h                      predicts f g h | i
//! stream 2 i j k | l                      predicts j k l | m
//! ```

use recurrent_topologies::Lengths;

/// The windows of a text; see the module's picture.
#[derive(Clone, Debug)]
pub struct Windows<'t> {
    tokens: &'t [u32],
    streams: usize,
    stream_length: usize,
    steps: usize,
}

/// Some steps of all streams: tokens and their successors, in the order of columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The token read in each column.
    pub tokens: Vec<u32>,
    /// The class to predict in each column: here the next token. [`loss::IGNORED`] asks for nothing
    /// there.
    ///
    /// [`loss::IGNORED`]: recurrent_kernels::loss::IGNORED
    pub targets: Vec<u32>,
    /// The shape.
    pub lengths: Lengths,
    /// Starts from the state that the window before left, and not from zero.
    pub carries_state: bool,
}

impl<'t> Windows<'t> {
    /// The windows of `tokens`; none if there are too few for one step of every stream. Up to
    /// `streams - 1` tokens at the end are left out, because streams have equal lengths.
    ///
    /// # Panics
    /// If `streams` or `steps` is 0.
    #[track_caller]
    pub fn new(tokens: &'t [u32], streams: usize, steps: usize) -> Self {
        assert!(streams > 0 && steps > 0, "{streams} streams in windows of {steps} steps");
        let stream_length = tokens.len().saturating_sub(1) / streams;
        Windows { tokens, streams, stream_length, steps }
    }

    /// How many windows there are.
    pub fn count(&self) -> usize {
        self.stream_length.div_ceil(self.steps)
    }

    /// How many predictions all windows ask for together.
    pub fn predictions(&self) -> usize {
        self.stream_length * self.streams
    }

    /// Window `index`; the last one may be shorter.
    ///
    /// # Panics
    /// If there is no such window.
    #[track_caller]
    pub fn get(&self, index: usize) -> Window {
        assert!(index < self.count(), "there are {} windows and no window {index}", self.count());
        let start = index * self.steps;
        let steps = self.steps.min(self.stream_length - start);
        let columns = |shift: usize| {
            let mut columns = Vec::with_capacity(steps * self.streams);
            for t in start..start + steps {
                let of = |stream| self.tokens[stream * self.stream_length + t + shift];
                columns.extend((0..self.streams).map(of));
            }
            columns
        };
        Window {
            tokens: columns(0),
            targets: columns(1),
            lengths: Lengths::equal(self.streams, steps),
            carries_state: index > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_true() {
        let text: Vec<u32> = (b'a'..=b'm').map(u32::from).collect();
        let windows = Windows::new(&text, 3, 3);
        let letters = |columns: &[u32]| -> String {
            columns.iter().map(|&token| char::from_u32(token).unwrap()).collect()
        };
        assert_eq!(windows.count(), 2);
        assert_eq!(windows.predictions(), 12);
        assert_eq!(letters(&windows.get(0).tokens), "aeibfjcgk");
        assert_eq!(letters(&windows.get(0).targets), "bfjcgkdhl");
        assert_eq!(letters(&windows.get(1).tokens), "dhl");
        assert_eq!(letters(&windows.get(1).targets), "eim");
        assert!(!windows.get(0).carries_state && windows.get(1).carries_state);
    }

    #[test]
    fn too_few_tokens_make_no_window() {
        assert_eq!(Windows::new(&[1, 2, 3], 3, 5).count(), 0);
        assert_eq!(Windows::new(&[], 3, 5).count(), 0);
        assert_eq!(Windows::new(&[1, 2, 3, 4], 3, 5).count(), 1);
    }
}
