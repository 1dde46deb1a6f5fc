//! What a report shows of a model that writes captions: pictures with theirs.

use recurrent_cells::Parameters;
use recurrent_kernels::Compute;

use super::{Caption, Example};
use crate::report::{Card, Exhibits, Section, cards};

/// Pictures that are shown.
const SHOWN: usize = 16;

impl Exhibits for Caption {
    fn exhibits(
        &self,
        compute: &Compute,
        parameters: &Parameters<f32>,
        examples: &Vec<Example>,
    ) -> Vec<Section> {
        let title = "Pictures and captions";
        let shown = &examples[..examples.len().min(SHOWN)];
        let said = self.writer().greedy().and_then(|search| {
            let pictures = shown.iter().map(|example| &example.picture);
            self.write(compute, parameters, pictures, &search)
        });
        let section = said.map(|said| {
            let said = said
                .into_iter()
                .map(|best| best.first().map(|best| self.writer().text(best)).unwrap_or_default());
            let card = shown.iter().zip(said).map(|(example, said)| {
                let Example { picture, caption, .. } = example;
                Card { picture, question: None, said, truth: caption.clone() }
            });
            cards(title, &card.collect::<Vec<_>>())
        });
        vec![Section::or_note("pictures", title, section)]
    }
}
