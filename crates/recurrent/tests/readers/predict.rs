//! What a person hands to a trained model: lines of text, typed series, paths, prompts.

use super::{choice, seed, small};

thread_local! {
    static MODELS: Vec<small::Small> = small::models();
}

pub(super) fn run(bytes: &[u8]) {
    let (choice, bytes) = choice(bytes);
    MODELS.with(|models| (models[usize::from(choice) % models.len()].use_it)(bytes));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let numbered = (0..).zip(small::models());
    numbered.map(|(number, model)| seed(number, model.line)).collect()
}
