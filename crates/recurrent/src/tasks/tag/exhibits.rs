//! What a report shows of a tagger: confusions, sentences with their tags, and gates and units while
//! it reads.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, loss};
use recurrent_topologies::{Lengths, ManyToManyTape, Reading};

use super::{Example, Tag};
use crate::report::{self, Confusion, Exhibits, Inside, Section, TaggedSentence, Watch};
use crate::tasks::examples::largest;
use crate::tasks::{Parts, TaskSettings};

/// Sentences that are shown.
const SHOWN: usize = 8;
/// Sentences that are read for a look inside.
const READ: usize = 24;

impl Exhibits for Tag {
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> Vec<Section> {
        let (mut pairs, mut given) = (vec![], vec![]);
        self.for_each_batch(compute, parameters, examples, |window, logits| {
            let tag = |column: usize| largest(logits.column(column));
            for sequence in 0..window.lengths.batch() {
                let steps = 0..window.lengths.length(sequence);
                let columns = steps.map(|t| window.lengths.column(sequence, t));
                let tags: Vec<u32> = columns
                    .map(|column| {
                        pairs.push((window.targets[column], tag(column)));
                        tag(column)
                    })
                    .collect();
                given.push(tags);
            }
        });
        let names = self.codec.tags.names();
        let confusion = Confusion { names, pairs, what: "word" };
        let mut sections: Vec<Section> = confusion.section().into_iter().collect();
        let shown = examples.iter().zip(&given).take(SHOWN);
        let shown: Vec<TaggedSentence> =
            shown.map(|(example, given)| self.sentence(example, given)).collect();
        sections.push(report::tagged(&shown));
        sections.extend(self.inside(compute, parameters, examples));
        sections
    }
}

impl Tag {
    fn sentence(&self, example: &Example, given: &[u32]) -> TaggedSentence {
        let name = |&tag: &u32| match tag {
            loss::IGNORED => "unknown to the training".to_owned(),
            _ => self.codec.tags.name(tag).to_owned(),
        };
        TaggedSentence {
            words: example
                .tokens
                .iter()
                .map(|&word| self.codec.words.token(word).into_owned())
                .collect(),
            given: given.iter().map(name).collect(),
            truth: example.tags.iter().map(name).collect(),
        }
    }

    /// What happens inside while it reads the first sentences.
    fn inside(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &[Example],
    ) -> Vec<Section> {
        let network = self.current().network();
        let mut room = Inside::tokens_for(network);
        let mut sequences = vec![];
        for Example { tokens, .. } in examples.iter().take(READ) {
            if tokens.is_empty() || tokens.len() > room {
                break;
            }
            room -= tokens.len();
            let (watch, lengths) = (Watch::default(), Lengths::equal(1, tokens.len()));
            let (state, mut tape) = (self.model.zero_state(1), ManyToManyTape::default());
            let reading = Reading::Tokens(tokens);
            let mut recorded =
                self.model.forward(compute, parameters, reading, &state, &lengths, None, &mut tape);
            // No gradient is wanted, only a look at what forward left.
            recorded.logits_mut().fill(0.0);
            let gradients = &mut parameters.zeros_like();
            self.model.backward(recorded, compute, parameters, gradients, &watch);
            sequences.push((&tokens[..], &[][..], watch));
        }
        let from = "the first held-out sentences";
        Inside::new(network, &self.codec.words, sequences, from).sections()
    }
}
