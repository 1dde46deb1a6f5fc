//! Bytes that are nearly right: those of an example with a few changes at random places.

use recurrent_kernels::random::Generator;

/// What stands in the place of a number, or between other bytes.
const PIECES: [&[u8]; 37] = [
    b"0",
    b"-1",
    b"1e309",
    b"1e200",
    b"-1e-320",
    b"NaN",
    b"inf",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775807",
    b"4294967296",
    b"1000000",
    b"0.1",
    b"\"",
    b"\"\"",
    b"\\",
    b"\t",
    b"\n",
    b"\r\n",
    b",",
    b" ",
    b"\0",
    b"[",
    b"{",
    b"}",
    b"null",
    b"true",
    b"<unk>",
    b"\xEF\xBB\xBF",
    b"\xFF\xFE",
    b"\xC3",
    b"\xE2\x80\xA8",
    b"\xF0\x9F\x98\x80",
    b"\xC2\xA0",
    b"\xFF\xFF\xFF\xFF",
    b"\0\0\0\0\0\0\0\x80",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F",
];

/// Changes examples at random; the same seed changes them alike.
pub(crate) struct Mutator(Generator);

impl Mutator {
    pub(crate) fn new(seed: u64) -> Mutator {
        Mutator(Generator::new(seed, 0))
    }

    /// A number below `end`, which is above 0.
    fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u64) as usize
    }

    /// One of the examples with one to four changes.
    pub(crate) fn change(&mut self, examples: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = examples[self.below(examples.len())].clone();
        for _ in 0..=self.below(4) {
            self.change_once(&mut bytes, examples);
        }
        bytes
    }

    fn change_once(&mut self, bytes: &mut Vec<u8>, examples: &[Vec<u8>]) {
        let start = self.below(bytes.len() + 1);
        let end = (start + self.below(9)).min(bytes.len());
        match self.below(9) {
            0 => bytes.truncate(start),
            1 => drop(bytes.drain(start..end)),
            2 => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(start..start, piece.iter().copied());
            }
            3 => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(start..end, piece.iter().copied());
            }
            4 => self.replace_number(bytes, start),
            5 => {
                for byte in &mut bytes[start..end] {
                    *byte = self.0.below(256) as u8;
                }
            }
            6 => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte ^= 1 << self.0.below(8);
                }
            }
            7 => {
                // A longer run, twice.
                let end = (start + self.below(200)).min(bytes.len());
                let run = bytes[start..end].to_vec();
                bytes.splice(start..start, run);
            }
            _ => {
                // The end of another example.
                let other = &examples[self.below(examples.len())];
                let from = self.below(other.len() + 1);
                bytes.truncate(start);
                bytes.extend(&other[from..]);
            }
        }
    }

    /// Puts something extreme in the place of the first number behind `start`.
    fn replace_number(&mut self, bytes: &mut Vec<u8>, start: usize) {
        let Some(at) = bytes[start..].iter().position(u8::is_ascii_digit) else { return };
        let from = start + at;
        let length = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let piece = PIECES[self.below(PIECES.len())];
        bytes.splice(from..from + length, piece.iter().copied());
    }
}
