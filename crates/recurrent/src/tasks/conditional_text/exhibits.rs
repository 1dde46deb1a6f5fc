//! What a report shows of a model that writes texts of a kind: some of each kind.

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_topologies::Sampling;

use super::{ConditionalText, Example};
use crate::report::{self, Exhibits, Section};
use crate::tasks::{Generate, Task};

/// Labels that are written about, and texts about each.
const LABELS: usize = 12;
const TEXTS: usize = 8;
const TEMPERATURE: f64 = 0.7;
const SEED: u64 = 1;

impl Exhibits for ConditionalText {
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        _: &Vec<Example>,
    ) -> Vec<Section> {
        let written = self.written(compute, parameters);
        vec![Section::or_note("written", "What it writes", written)]
    }
}

impl ConditionalText {
    fn written(&self, compute: &Compute, parameters: &Parameters<f32>) -> anyhow::Result<Section> {
        let mut texts = vec![];
        for label in self.codec.labels.names().iter().take(LABELS) {
            let how = Generate {
                prompt: None,
                label: Some(label.clone()),
                length: None,
                count: TEXTS,
                sampling: Sampling { temperature: TEMPERATURE, top_k: None, top_p: None },
                beam: None,
                seed: SEED,
            };
            let mut lines: Vec<String> = vec![];
            self.generate(compute, parameters.clone(), &how, &mut |prediction| {
                lines.push(prediction.text);
                Ok(())
            })?;
            texts.push((Some(label.clone()), lines.join("\n")));
        }
        let how = format!(
            "Drawn at temperature {TEMPERATURE}, seed {SEED}: recurrent generate RUN --label LABEL \
             --count {TEXTS} --temperature {TEMPERATURE} --seed {SEED}"
        );
        Ok(report::written(&texts, &how))
    }
}
