//! What a report shows of a translator: where it looks while it writes, and what it writes.

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_topologies::Hypothesis;

use super::{Example, Translate};
use crate::data::Vocabulary;
use crate::report::{self, Alignment, Compared, Exhibits, Section, alignments};

/// Translations in the table.
const SHOWN: usize = 12;
/// Pairs whose attention is drawn.
const DRAWN: usize = 4;

impl Exhibits for Translate {
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> Vec<Section> {
        let shown = &examples[..examples.len().min(SHOWN)];
        let title = "What it writes";
        match self.found(compute, parameters, shown) {
            Err(error) => vec![Section::or_note("examples", title, Err(error))],
            Ok(found) => {
                let mut sections = vec![];
                if self.settings.attention.is_some() {
                    let shown = self.alignments(compute, parameters, shown, &found);
                    sections.push(alignments(&shown));
                }
                let lead = "The first of the held-out part, the likeliest token at each step.";
                let compared = shown.iter().zip(&found).map(|(example, found)| Compared {
                    source: self.codec.source.decode(&example.source),
                    said: found.as_ref().map(|best| self.writer().text(best)).unwrap_or_default(),
                    probability: None,
                    truth: example.reference.clone(),
                });
                sections.push(report::compared(title, lead, &compared.collect::<Vec<_>>()));
                sections
            }
        }
    }
}

impl Translate {
    /// The likeliest text of each source.
    fn found(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &[Example],
    ) -> anyhow::Result<Vec<Option<Hypothesis>>> {
        let (writer, search) = (self.writer(), self.writer().greedy()?);
        let batch = self.pairs(examples.iter());
        let sources = (batch.sources.reading(), &batch.source_lengths);
        let stream = self.model.stream(compute, parameters.clone(), sources);
        let found = writer.write(stream, &search)?;
        Ok(found.into_iter().map(|best| best.into_iter().next()).collect())
    }

    fn alignments(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &[Example],
        found: &[Option<Hypothesis>],
    ) -> Vec<Alignment> {
        let tokens = |vocabulary: &Vocabulary, numbers: &[u32]| -> Vec<String> {
            numbers.iter().map(|&number| vocabulary.token(number).into_owned()).collect()
        };
        let pairs = examples.iter().zip(found).filter_map(|(example, best)| {
            let written = &best.as_ref()?.tokens;
            Alignment::fits(example.source.len(), written.len()).then_some((example, written))
        });
        let drawn = pairs.take(DRAWN).map(|(example, written)| Alignment {
            source: tokens(&self.codec.source, &example.source),
            written: tokens(&self.codec.target, written),
            weights: self.attention(compute, parameters, &example.source, written),
            reference: example.reference.clone(),
        });
        drawn.collect()
    }
}
