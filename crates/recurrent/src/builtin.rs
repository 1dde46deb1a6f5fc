//! Data that the program makes itself, from a seed, for those who have none at hand.

mod grammar;

mod text;
pub use text::text;

/// The seed of `--data builtin:NAME`: everybody's built-in data are the same.
pub const SEED: u64 = 1;

/// The built-in data, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Stories of a village: [`text`].
    Text,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Builtin; 1] = [Builtin::Text];

    /// The name after `builtin:`.
    pub fn name(self) -> &'static str {
        match self {
            Builtin::Text => "text",
        }
    }

    /// The built-in data of this name, if there are any.
    pub fn from_name(name: &str) -> Option<Builtin> {
        Builtin::ALL.into_iter().find(|builtin| builtin.name() == name)
    }
}

/// Choices by chance (SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014), the same on every machine.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A number below `n`, each as likely as the next to within `n / 2^64`.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        ((u128::from(bits) * n as u128) >> 64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}
