//! What a report shows of a language model: how far gradients reach, gates and units while it reads,
//! and what it writes.

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_topologies::{Lengths, ManyToManyTape, Reading, Sampler, Sampling};

use super::LanguageModel;
use crate::data::TokenText;
use crate::gradient_flow::{LOSSES, gradient_flow};
use crate::report::{self, Exhibits, Inside, Section, Watch};
use crate::tasks::{Parts, TaskSettings};

/// Steps that losses are followed back.
const LAG: usize = 100;
/// How many tokens are written, how daringly, and from which seed.
const WRITTEN: usize = 600;
const TEMPERATURE: f64 = 0.7;
const SEED: u64 = 1;

impl Exhibits for LanguageModel {
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        text: &TokenText,
    ) -> Vec<Section> {
        let most = (LAG + LOSSES + 1).max(Inside::tokens_for(self.current().network()));
        let text = match text.beginning(most) {
            Ok(text) => text,
            Err(error) => {
                let nothing = Err(error.into());
                return vec![Section::or_note("lag", "How far back a loss reaches", nothing)];
            }
        };
        let text = &*text;
        let mut sections = vec![];
        let lag = LAG.min(text.len().saturating_sub(2));
        if lag > 0 {
            let flow = gradient_flow(&self.model, compute, parameters, text, lag);
            let flow = flow.map(|flow| report::lag(&flow)).map_err(anyhow::Error::from);
            sections.push(Section::or_note("lag", "How far back a loss reaches", flow));
        }
        sections.extend(self.inside(compute, parameters, text).sections());
        let written = self.written(compute, parameters);
        sections.push(Section::or_note("written", "What it writes", written));
        sections
    }
}

impl LanguageModel {
    /// What happens inside while it reads the beginning of a text.
    fn inside(&self, compute: &Compute, parameters: &Parameters<f32>, text: &[u32]) -> Inside {
        let network = self.current().network();
        let tokens = &text[..text.len().min(Inside::tokens_for(network))];
        let (watch, lengths) = (Watch::default(), Lengths::equal(1, tokens.len()));
        let (initial, mut tape) = (self.model.zero_state(1), ManyToManyTape::default());
        let reading = Reading::Tokens(tokens);
        let mut recorded =
            self.model.forward(compute, parameters, reading, &initial, &lengths, None, &mut tape);
        // No gradient is wanted, only a look at what forward left.
        recorded.logits_mut().fill(0.0);
        let gradients = &mut parameters.zeros_like();
        self.model.backward(recorded, compute, parameters, gradients, &watch);
        let from = "the beginning of the held-out text";
        Inside::new(network, &self.codec, [(tokens, watch)], from)
    }

    fn written(&self, compute: &Compute, parameters: &Parameters<f32>) -> anyhow::Result<Section> {
        let sampling = Sampling { temperature: TEMPERATURE, top_k: None, top_p: None };
        let sampler = Sampler::new(compute.level(), sampling).map_err(anyhow::Error::msg)?;
        let mut writer = self.writer(compute, parameters.clone(), sampler, SEED);
        let text = self.codec.decode(&writer.write(&[], WRITTEN)?);
        let how = format!(
            "Drawn at temperature {TEMPERATURE} from nothing, seed {SEED}: recurrent generate RUN \
             --temperature {TEMPERATURE} --seed {SEED} --length {WRITTEN}"
        );
        Ok(report::written(&[(None, text)], &how))
    }
}
