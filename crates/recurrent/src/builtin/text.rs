//! Stories of a village by the sea, written by a grammar: the built-in text.

use super::{
    Chance,
    grammar::{self, Rules},
};

/// The least length of the text in bytes; the last story is finished, so it is a little longer.
const LENGTH: usize = 280_000;

/// About 280 KB of plain ASCII English: stories of a few paragraphs, a blank line between
/// paragraphs, each about two people who stay the same through the story, as do the weather and
/// the matter in hand. Sentences are drawn from a grammar that agrees in number and gender, and
/// can write millions of them, so a model gains by learning words and rules rather than lines.
///
/// The same seed gives the same text on every machine.
pub fn text(seed: u64) -> String {
    let chance = &mut Chance::new(seed);
    let mut text = String::with_capacity(LENGTH + 4096);
    while text.len() < LENGTH {
        story(chance, &mut text);
    }
    text
}

/// One story: who, what weather, what matter; then how it began, what was done and said, and how
/// the day ended.
fn story(chance: &mut Chance, text: &mut String) {
    let hero = chance.pick(PEOPLE);
    let friend = loop {
        let other = chance.pick(PEOPLE);
        if other != hero {
            break other;
        }
    };
    let (matter, sky) = (chance.pick(MATTERS), chance.pick(SKIES));
    let mut paragraph = |rule: &str, sentences: usize, name: Person, friend: Person| {
        let people: [(&str, &[&str]); 6] = [
            ("name", &[name.name]),
            ("he", &[name.pronouns[0]]),
            ("his", &[name.pronouns[2]]),
            ("friend", &[friend.name]),
            ("fhim", &[friend.pronouns[1]]),
            ("fhis", &[friend.pronouns[2]]),
        ];
        let tables = [&people[..], matter, sky, VILLAGE];
        text.push_str(&grammar::sentences(rule, sentences, &tables, chance).join(" "));
        text.push_str("\n\n");
    };
    paragraph("opening", 2, hero, friend);
    paragraph("deed", 3, hero, friend);
    // Each asks once, and the other one answers.
    for (asks, answers) in [(hero, friend), (friend, hero)] {
        paragraph("question", 1, asks, answers);
        paragraph("answer", 1, asks, answers);
        paragraph("aside", 2, hero, friend);
    }
    paragraph("deed", 2, hero, friend);
    paragraph("ending", 2, hero, friend);
}

/// Somebody of the village.
#[derive(Clone, Copy, PartialEq)]
struct Person {
    name: &'static str,
    /// As in "he sees him and his boat".
    pronouns: [&'static str; 3],
}

const fn she(name: &'static str) -> Person {
    Person { name, pronouns: ["she", "her", "her"] }
}

const fn he(name: &'static str) -> Person {
    Person { name, pronouns: ["he", "him", "his"] }
}

const PEOPLE: &[Person] = &[
    she("Anna"),
    he("Tom"),
    she("Martha"),
    he("Peter"),
    she("Ellen"),
    he("Old Ned"),
    she("Rose"),
    he("Daniel"),
    she("Clara"),
    he("Hugh"),
    she("Nora"),
    he("Simon"),
];

const MATTERS: &[&Rules] = &[HARBOUR, MARKET, FARM, MILL];

const SKIES: &[&Rules] = &[RAIN, SUN, WIND, FROST];

/// What each matter knows: a `place`, a `thing` and its plural `things` (both without article),
/// a `task` (infinitive), its past tense `did`, and a `worry`.
const HARBOUR: &Rules = &[
    ("place", &["the harbour", "the old pier", "the boat shed", "the sea wall", "the beach"]),
    ("thing", &["boat", "net", "rope", "sail", "lamp", "basket of fish", "anchor", "oar"]),
    ("things", &["boats", "nets", "ropes", "sails", "lamps", "gulls", "anchors", "oars"]),
    ("task", &["mend the net", "paint the boat", "bring in the catch", "watch the tide"]),
    ("did", &["mended the net", "painted the boat", "brought in the catch", "watched the tide"]),
    ("worker", &["fisherman", "sailor", "boat builder", "pilot"]),
    ("workers", &["fishermen", "sailors", "boat builders", "pilots"]),
    ("worry", &["the tide", "the far rocks", "the price of rope", "the leak in the boat"]),
];

const MARKET: &Rules = &[
    ("place", &["the market", "the square", "the corner shop", "the town hall", "the inn"]),
    ("thing", &["cheese", "loaf of bread", "blue jug", "basket", "woollen coat", "apple pie"]),
    ("things", &["cheeses", "loaves", "jugs", "baskets", "candles", "coats", "apples", "eggs"]),
    ("task", &["count the coins", "sell the eggs", "carry the baskets", "buy the bread"]),
    ("did", &["counted the coins", "sold the eggs", "carried the baskets", "bought the bread"]),
    ("worker", &["baker", "merchant", "tailor", "innkeeper"]),
    ("workers", &["bakers", "merchants", "tailors", "innkeepers"]),
    ("worry", &["the price of bread", "the new tax", "the lost purse", "the empty stall"]),
];

const FARM: &Rules = &[
    ("place", &["the farm", "the orchard", "the barn", "the long field", "the stable"]),
    ("thing", &["gate", "cart", "plough", "ladder", "hay fork", "young horse", "brown cow"]),
    ("things", &["gates", "carts", "ladders", "horses", "cows", "sheep", "geese", "hens"]),
    ("task", &["feed the hens", "cut the hay", "close the gate", "pick the apples"]),
    ("did", &["fed the hens", "cut the hay", "closed the gate", "picked the apples"]),
    ("worker", &["farmer", "shepherd", "dairymaid", "ploughman"]),
    ("workers", &["farmers", "shepherds", "dairymaids", "ploughmen"]),
    ("worry", &["the harvest", "the broken fence", "the fox", "the lame horse"]),
];

const MILL: &Rules = &[
    ("place", &["the mill", "the bridge", "the river bank", "the mill pond", "the forge"]),
    ("thing", &["wheel", "sack of flour", "hammer", "iron bar", "millstone", "bucket", "chain"]),
    ("things", &["wheels", "sacks", "hammers", "millstones", "buckets", "chains", "ducks"]),
    ("task", &["grind the corn", "fill the sacks", "mend the wheel", "clear the stream"]),
    ("did", &["ground the corn", "filled the sacks", "mended the wheel", "cleared the stream"]),
    ("worker", &["miller", "smith", "carpenter", "carter"]),
    ("workers", &["millers", "smiths", "carpenters", "carters"]),
    ("worry", &["the flood", "the old wheel", "the crack in the wall", "the mice"]),
];

/// What each sky knows: the `sky` in a clause, what it `felt` like, and a `forecast`.
const RAIN: &Rules = &[
    ("sky", &["the rain fell", "grey clouds hung over the roofs", "the gutters ran with water"]),
    ("felt", &["wet", "grey", "damp", "dark"]),
    ("forecast", &["the rain will last", "the river will rise", "it will clear by noon"]),
];

const SUN: &Rules = &[
    ("sky", &["the sun shone", "the sky was blue", "bees flew among the flowers"]),
    ("felt", &["warm", "bright", "golden", "dry"]),
    ("forecast", &["it will stay fine", "the heat will last", "we shall need water"]),
];

const WIND: &Rules = &[
    ("sky", &["the wind blew", "the trees bent low", "the shutters banged"]),
    ("felt", &["wild", "loud", "restless", "rough"]),
    ("forecast", &["a storm will come", "the wind will drop", "the night will be worse"]),
];

const FROST: &Rules = &[
    ("sky", &["frost lay on the grass", "snow covered the lane", "ice shone on the pond"]),
    ("felt", &["cold", "white", "still", "icy"]),
    ("forecast", &["the snow will stay", "the ice will hold", "a thaw will come"]),
];

/// What the whole village shares: the sentences, and words for any matter.
const VILLAGE: &Rules = &[
    (
        "opening",
        &[
            "{when} {sky}, and {name} went down to {place}.",
            "{name} woke early {day}, because {he} had to {task}.",
            "It was {a} {felt} {part} when {name} met {friend} near {place}.",
            "There was {a} {thing} in front of {place}, and {name} was {glad}.",
            "There were {many} {things} at {place} {day}, and {sky}.",
            "{when} the {workers} were already at {place}, but {name} was still at home.",
            "Everybody in the village knew that {name} was {a} {trait} {worker}.",
            "{friend} had never seen so many {things} at {place}.",
        ],
    ),
    (
        "deed",
        &[
            "{name} {did}, and {friend} {did} {how}.",
            "{name} took the {colour} {thing} and carried it to {place}.",
            "{when} {name} and {friend} {did} together.",
            "The {trait} {worker} was {busy}, and the {workers} were {busy}.",
            "The {things} were {state}, but the {thing} was {state}.",
            "{he} gave {friend} {a} {colour} {thing} and asked {fhim} to {task}.",
            "{many} {things} were lying near {place}, and {name} counted them {how}.",
            "While {sky}, {name} {did}.",
            "{he} worked {how} until {his} hands were {sore}.",
            "{friend} laughed, put down {fhis} {thing} and went to {task}.",
            "{a} {trait} {worker} came from {place} with {many} {things}.",
            "{name} opened the door of {his} house and saw {many} {workers} in the lane.",
        ],
    ),
    (
        "question",
        &[
            "\"Who will {task} {soon}?\" asked {name}.",
            "\"Have you seen my {colour} {thing}?\" asked {name}.",
            "\"Why are the {things} so {state}?\" {name} asked {tone}.",
            "\"Is the {thing} {state}, or are you only tired?\" asked {name}.",
            "\"Do you think that {forecast}?\" {name} asked {tone}.",
            "\"What shall we do about {worry}?\" said {name} {tone}.",
            "{name} turned to {friend} and said, \"Can you {task} {soon}?\"",
            "\"How many {things} are there at {place}?\" {name} asked {tone}.",
            "{name} looked at {friend}. \"Were you not going to {task} {soon}?\"",
        ],
    ),
    (
        "answer",
        &[
            "\"I will {task},\" said {friend}, \"but you must {task}.\"",
            "\"The {worker} says that {forecast},\" {friend} answered {tone}.",
            "\"Ask the {worker} at {place},\" said {friend}, \"or look under the {things}.\"",
            "\"There are {many} {things},\" said {friend}, \"and only one {thing}.\"",
            "\"{no}, {name}, I do not care about {worry},\" said {friend}.",
            "\"{no},\" said {friend}. \"The {things} are {state}, and the {thing} is {state}.\"",
            "{friend} shook {fhis} head. \"Nobody could {task} yesterday, because {sky}.\"",
            "{friend} smiled. \"My {kin} {did} every {part}, and {sky} then too.\"",
        ],
    ),
    (
        "aside",
        &[
            "{name} thought about {worry}.",
            "For a while they were silent, and {sky}.",
            "{friend} looked at the {things} and then at {name}.",
            "The {worker} who had heard them {did} {how}.",
            "{his} {kin} was waiting at {place}.",
            "{friend} had {a} {colour} {thing} in {fhis} hand.",
            "It was {felt} at {place}, and the {things} were {state}.",
            "Nobody spoke of {worry} again that {part}.",
            "{he} knew that {friend} was right.",
        ],
    ),
    (
        "ending",
        &[
            "In the evening {name} and {friend} sat by the fire and ate {food} with {food}.",
            "{name} went home with {many} {things} and {a} {trait} heart.",
            "{friend} said good night to {his} {kin} and walked home past {place}.",
            "At last the {thing} was {state}, and the {workers} were {glad}.",
            "{name} was {glad}, for {friend} had {did}.",
            "That night {sky}, but {name} slept {how}.",
            "\"Tomorrow we shall {task},\" said {friend}, and {name} was {glad}.",
            "The next day the {workers} told the story at {place}.",
        ],
    ),
    (
        "when",
        &[
            "In the morning",
            "At noon",
            "After the storm",
            "Before sunrise",
            "Late in the day",
            "On the first day of spring",
            "When the bells rang",
            "One autumn evening",
        ],
    ),
    ("day", &["on Monday", "on Friday", "that day", "that morning", "in April", "in October"]),
    ("part", &["morning", "evening", "afternoon", "night", "winter", "summer"]),
    (
        "how",
        &[
            "slowly",
            "quietly",
            "with care",
            "at once",
            "gladly",
            "without a word",
            "very well",
            "like a child",
            "for an hour",
        ],
    ),
    (
        "tone",
        &[
            "quietly",
            "softly",
            "at last",
            "with a smile",
            "at once",
            "gently",
            "in a low voice",
            "after a while",
            "without a smile",
        ],
    ),
    ("many", &["two", "three", "four", "five", "seven", "twelve", "many", "a few", "some"]),
    ("colour", &["red", "blue", "green", "white", "old", "new", "heavy", "small", "empty"]),
    ("trait", &["young", "old", "clever", "gentle", "proud", "kind", "quiet", "eager", "tall"]),
    ("busy", &["hard at work", "asleep", "on the roof", "in a hurry", "late again"]),
    ("state", &["ready", "broken", "clean", "gone", "safe", "too heavy", "in the way", "wet"]),
    ("sore", &["sore", "cold", "black with dirt", "stiff", "tired"]),
    ("soon", &["tomorrow", "before dark", "on Sunday", "now", "after supper"]),
    ("no", &["No", "Yes", "Well", "Perhaps", "Indeed"]),
    ("kin", &["mother", "father", "sister", "brother", "uncle", "aunt", "neighbour"]),
    ("food", &["bread", "soup", "cheese", "fish", "apples", "warm milk", "honey"]),
    ("glad", &["glad", "happy", "content", "too tired to speak", "proud"]),
];
