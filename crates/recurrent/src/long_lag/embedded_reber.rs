//! Experiment 1 of Hochreiter and Schmidhuber 1997: the embedded Reber grammar (Reber 1967; Smith
//! and Zipser 1989; Cleeremans, Servan-Schreiber and McClelland 1989).
//!
//! ```text
//! string   B T inner T E   or   B P inner P E                each with probability 0.5
//! inner    B, a way through the graph, E
//!
//!          +-S-+                       from   symbols, each with probability 0.5
//!          v   |                       0      T to 1, P to 2
//!      T-> 1 --+--X-> 3 --S-+          1      S to 1, X to 3
//!   0              ^|       v          2      T to 2, V to 4
//!                  |X       5          3      X to 2, S to 5
//!                  P|       ^          4      P to 3, V to 5
//!      P-> 2 --V-> 4v --V---+          5      the end
//!          ^ T
//! ```
//!
//! At every step the next symbol is to be predicted. Whether the symbol before the last is T or P was
//! said by the second, and nothing between tells. As a string is drawn by coins, so can two symbols
//! come next at most steps: a prediction is right if those symbols that can come have larger outputs
//! than all others.

use recurrent_kernels::random::Generator;

use super::{Answer, Sequence, Steps};

/// The symbols, in the order of their numbers.
pub const SYMBOLS: [char; 7] = ['B', 'T', 'P', 'S', 'X', 'V', 'E'];
const B: u32 = 0;
const T: u32 = 1;
const P: u32 = 2;
const S: u32 = 3;
const X: u32 = 4;
const V: u32 = 5;
const E: u32 = 6;

/// From each place of the inner graph: a symbol and where it leads. From place 5 only the end.
const GRAPH: [[(u32, usize); 2]; 5] =
    [[(T, 1), (P, 2)], [(S, 1), (X, 3)], [(T, 2), (V, 4)], [(X, 2), (S, 5)], [(P, 3), (V, 5)]];
const LAST: usize = 5;

/// A string of the grammar; every symbol but the last is read, the next is the answer.
pub fn draw(generator: &mut Generator) -> Sequence {
    let outer = [T, P][generator.below(2) as usize];
    let mut string = vec![B, outer, B];
    let mut place = 0;
    while place != LAST {
        let (symbol, next) = GRAPH[place][generator.below(2) as usize];
        string.push(symbol);
        place = next;
    }
    string.extend([E, outer, E]);
    let answer = Answer::EveryStep(string[1..].to_vec());
    string.pop();
    Sequence { steps: Steps::Tokens(string), answer }
}

/// Which symbols can come after each of `read`, the beginning of a string: bit s for symbol s.
///
/// # Panics
/// If no string begins like this.
#[track_caller]
pub fn allowed(read: &[u32]) -> Vec<u32> {
    let mut place = 0;
    let mut behind = [bit(read.get(1).copied().unwrap_or(0)), bit(E)].into_iter();
    let steps = read.iter().enumerate().map(|(step, &symbol)| match step {
        0 => bit(T) | bit(P),
        1 => bit(B),
        2 => successors(place),
        _ if place == LAST => behind.next().expect("no symbol follows the end of a string"),
        _ => {
            let way = GRAPH[place].iter().find(|&&(known, _)| known == symbol);
            let (_, next) = way.unwrap_or_else(|| panic!("symbol {step} cannot come there"));
            place = *next;
            successors(place)
        }
    });
    steps.collect()
}

fn successors(place: usize) -> u32 {
    GRAPH.get(place).map_or(bit(E), |ways| ways.iter().map(|&(symbol, _)| bit(symbol)).sum())
}

fn bit(symbol: u32) -> u32 {
    1 << symbol
}
