//! What a report shows of a language model: how far gradients reach, gates and units while it reads,
//! and what it writes.

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;
use recurrent_topologies::{Lengths, ManyToManyTape, Reading, Sampler, Sampling};

use super::LanguageModel;
use crate::data::TokenText;
use crate::gradient_flow::beginnings;
use crate::report::{self, Exhibits, Inside, Section, Watch};
use crate::tasks::{Parts, TaskSettings};

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
        let network = self.current().network();
        let read = (self.followed(text, None))
            .and_then(|followed| Ok((followed, text.beginning(Inside::tokens_for(network))?)));
        let (followed, read) = match read {
            Ok(texts) => texts,
            Err(error) => {
                let nothing = Err(error.into());
                return vec![Section::or_note("lag", "How far back a loss reaches", nothing)];
            }
        };
        let flow = self.flow(compute, parameters, &followed, None).map(|flow| report::lag(&flow));
        let mut sections = vec![Section::or_note("lag", "How far back a loss reaches", flow)];
        sections.extend(self.inside(compute, parameters, &read).sections());
        let written = self.written(compute, parameters);
        sections.push(Section::or_note("written", "What it writes", written));
        sections
    }
}

impl LanguageModel {
    /// What happens inside while it reads the beginning of a text.
    fn inside(&self, compute: &Compute, parameters: &Parameters<f32>, text: &[u32]) -> Inside {
        let network = self.current().network();
        let begins = beginnings(text, &self.document_end());
        let resets: Vec<(usize, usize)> = begins.iter().map(|&step| (0, step)).collect();
        let lengths = Lengths::equal(1, text.len()).with_resets(&resets);
        let watch = Watch::default();
        let (initial, mut tape) = (self.model.zero_state(1), ManyToManyTape::default());
        let reading = Reading::Tokens(text);
        let mut recorded =
            self.model.forward(compute, parameters, reading, &initial, &lengths, None, &mut tape);
        // No gradient is wanted, only a look at what forward left.
        recorded.logits_mut().fill(0.0);
        let gradients = &mut parameters.zeros_like();
        self.model.backward(recorded, compute, parameters, gradients, &watch);
        let from = "the beginning of the held-out text";
        Inside::new(network, &self.codec, [(text, &begins[..], watch)], from)
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
