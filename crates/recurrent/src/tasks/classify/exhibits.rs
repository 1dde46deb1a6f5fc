//! What a report shows of a classifier: confusions, the mistakes that it is surest of, and of texts
//! gates and units while it reads.

use recurrent_cells::Parameters;
use recurrent_kernels::{Compute, Matrix, loss};
use recurrent_topologies::{Lengths, ManyToOneTape, Reading};

use super::codec::{StepCodec, Steps};
use super::{Classify, Example};
use crate::report::{self, Compared, Confusion, Exhibits, Inside, Section, Watch};
use crate::tasks::examples::largest;
use crate::tasks::{Parts, TaskSettings};

/// Examples in a table.
const SHOWN: usize = 10;
/// Numbers of a series that are shown.
const MOST_ROWS: usize = 6;
/// Texts that are read for a look inside.
const READ: usize = 16;

impl Exhibits for Classify {
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> Vec<Section> {
        // The given label of each example, and how sure the model is of it.
        let mut given: Vec<(u32, f64)> = vec![];
        self.for_each_batch(compute, parameters, examples, |_, logits| {
            let mut column = Matrix::zeros(logits.rows(), 1);
            for at in 0..logits.columns() {
                column.as_mut().copy_from(logits.columns_range(at..at + 1));
                loss::softmax(compute.level(), column.as_mut());
                let label = largest(column.as_slice());
                given.push((label, f64::from(column.as_slice()[label as usize])));
            }
        });
        let pairs =
            examples.iter().zip(&given).map(|(example, &(label, _))| (example.label, label));
        let names = self.codec.labels.names();
        let confusion = Confusion { names, pairs: pairs.collect(), what: "example" };
        let mut sections: Vec<Section> = confusion.section().into_iter().collect();
        sections.push(self.mistakes(examples, &given));
        sections.extend(self.inside(compute, parameters, examples));
        sections
    }
}

impl Classify {
    /// The wrong labels that the model is surest of; right ones where there are none.
    fn mistakes(&self, examples: &[Example], given: &[(u32, f64)]) -> Section {
        let is_wrong = |at: &usize| given[*at].0 != examples[*at].label;
        let mut wrong: Vec<usize> = (0..examples.len()).filter(is_wrong).collect();
        wrong.sort_by(|&a, &b| given[b].1.total_cmp(&given[a].1).then(a.cmp(&b)));
        let (shown, lead): (Vec<usize>, _) = match wrong.is_empty() {
            true => ((0..examples.len()).collect(), "Every label is right; here are the first."),
            false => (wrong, "The wrong labels that the model is surest of come first."),
        };
        let compared = |at: usize| Compared {
            source: self.shown(&examples[at].steps),
            said: self.codec.labels.name(given[at].0).to_owned(),
            probability: Some(given[at].1),
            truth: self.codec.labels.name(examples[at].label).to_owned(),
        };
        let shown: Vec<Compared> = shown.into_iter().take(SHOWN).map(compared).collect();
        report::compared("Its surest mistakes", lead, &shown)
    }

    /// An example as the model reads it.
    fn shown(&self, steps: &Steps) -> String {
        match (steps, &self.codec.steps) {
            (Steps::Tokens(tokens), StepCodec::Tokens { vocabulary, .. }) => {
                vocabulary.decode(tokens)
            }
            (Steps::Rows(rows), _) => {
                let number = |value: &f32| format!("{value:.2}");
                let row = |row: &Vec<f32>| row.iter().map(number).collect::<Vec<_>>().join(",");
                let shown: Vec<String> = rows.iter().take(MOST_ROWS).map(row).collect();
                let more = if rows.len() > MOST_ROWS { " …" } else { "" };
                format!("{} rows, standardised: {}{more}", rows.len(), shown.join(" "))
            }
            (Steps::Tokens(_), StepCodec::Rows(_)) => String::new(),
        }
    }

    /// What happens inside while it reads the first texts.
    fn inside(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &[Example],
    ) -> Vec<Section> {
        let StepCodec::Tokens { vocabulary, .. } = &self.codec.steps else { return vec![] };
        let network = self.current().network();
        let mut room = Inside::tokens_for(network);
        let mut sequences = vec![];
        for example in examples.iter().take(READ) {
            let Steps::Tokens(tokens) = &example.steps else { continue };
            if tokens.is_empty() || tokens.len() > room {
                break;
            }
            room -= tokens.len();
            let (watch, lengths) = (Watch::default(), Lengths::equal(1, tokens.len()));
            let (reading, mut tape) = (Reading::Tokens(tokens), ManyToOneTape::default());
            let mut recorded =
                self.model.forward(compute, parameters, reading, &lengths, None, &mut tape);
            // No gradient is wanted, only a look at what forward left.
            recorded.outputs_mut().fill(0.0);
            let gradients = &mut parameters.zeros_like();
            self.model.backward(recorded, compute, parameters, gradients, &watch);
            sequences.push((&tokens[..], &[][..], watch));
        }
        let from = "the first held-out texts";
        Inside::new(network, vocabulary, sequences, from).sections()
    }
}
