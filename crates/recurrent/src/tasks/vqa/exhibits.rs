//! What a report shows of a model that answers questions about pictures: some of them, and which
//! answers are taken for which.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, loss};

use super::{Example, Vqa};
use crate::report::{Card, Confusion, Exhibits, Section, cards};
use crate::tasks::examples::largest;

/// Pictures that are shown.
const SHOWN: usize = 16;

impl Exhibits for Vqa {
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> Vec<Section> {
        let mut given = vec![];
        self.for_each_batch(compute, parameters, examples, |_, logits| {
            given.extend((0..logits.columns()).map(|at| largest(logits.column(at))));
        });
        let name = |answer: u32| match answer {
            loss::IGNORED => "an answer that the training never saw".to_owned(),
            _ => self.codec.answers.name(answer).to_owned(),
        };
        let shown = examples.iter().zip(&given).take(SHOWN).map(|(example, &given)| Card {
            picture: &example.picture,
            question: Some(self.codec.words.decode(&example.question)),
            said: name(given),
            truth: name(example.answer),
        });
        let pictures = cards("Pictures, questions and answers", &shown.collect::<Vec<_>>());
        let pairs = examples.iter().map(|example| example.answer).zip(given).collect();
        let confusion = Confusion { names: self.codec.answers.names(), pairs, what: "question" };
        [pictures].into_iter().chain(confusion.section()).collect()
    }
}
