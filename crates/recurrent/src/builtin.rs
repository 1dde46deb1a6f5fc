//! Data that the program makes itself, from a seed, for those who have none at hand.
//!
//! Every set is the same on every machine, and its parts share nothing that would let a model
//! win by heart: no sentence pattern, no pair of numbers, no day, no name, no arrangement of
//! shapes of one part is in another. What belongs to which part is decided by a hash of it, so
//! no part depends on how much is drawn for another.

mod chance;
use chance::{Chance, part_of};

mod grammar;

mod text;
pub use text::text;

mod sentiment;
pub use sentiment::sentiment;

mod tags;
pub use tags::tags;

mod addition;
pub use addition::addition;

mod dates;
pub use dates::dates;

mod series;
pub use series::series;

mod labels;
pub use labels::labels;

mod drawing;
pub use drawing::Drawing;

mod scene;

mod captions;
pub use captions::captions;

mod shapes;
pub use shapes::shapes;

/// The seed of `--data builtin:NAME`: everybody's built-in data are the same.
pub const SEED: u64 = 1;

/// The built-in data, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Stories of a village: [`text`].
    Text,
    /// Short reviews in which the order of the words decides: [`sentiment`].
    Sentiment,
    /// Sentences with a tag at each word, with agreement at a distance: [`tags`].
    Tags,
    /// Sums of two numbers, as text: [`addition`].
    Addition,
    /// Dates as people write them, and in ISO's form: [`dates`].
    Dates,
    /// Temperature and power, hour by hour: [`series`].
    Series,
    /// Names in invented languages: [`labels`].
    Labels,
    /// Drawn shapes with a caption: [`captions`].
    Captions,
    /// Drawn shapes with questions and answers: [`shapes`].
    Shapes,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Builtin; 9] = [
        Builtin::Text,
        Builtin::Sentiment,
        Builtin::Tags,
        Builtin::Addition,
        Builtin::Dates,
        Builtin::Series,
        Builtin::Labels,
        Builtin::Captions,
        Builtin::Shapes,
    ];

    /// The name after `builtin:`.
    pub fn name(self) -> &'static str {
        match self {
            Builtin::Text => "text",
            Builtin::Sentiment => "sentiment",
            Builtin::Tags => "tags",
            Builtin::Addition => "addition",
            Builtin::Dates => "dates",
            Builtin::Series => "series",
            Builtin::Labels => "labels",
            Builtin::Captions => "captions",
            Builtin::Shapes => "shapes",
        }
    }

    /// The built-in data of this name, if there are any.
    pub fn from_name(name: &str) -> Option<Builtin> {
        Builtin::ALL.into_iter().find(|builtin| builtin.name() == name)
    }
}

/// What a part of a data set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// To learn from.
    Train,
    /// To choose settings by.
    Valid,
    /// To measure once, at the end.
    Test,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

    /// The one of three numbers that is this part's: for training, validation and test.
    fn of<T: Copy>(self, [train, valid, test]: [T; 3]) -> T {
        match self {
            Part::Train => train,
            Part::Valid => valid,
            Part::Test => test,
        }
    }
}
