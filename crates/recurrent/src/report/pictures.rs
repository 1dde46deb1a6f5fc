//! Pictures with what the model says of them.

use super::Section;
use super::html::{Html, note, paragraph, tag};
use super::png;
use crate::tasks::pictures::Picture;

/// A picture, and what is said of it.
pub(crate) struct Card<'p> {
    /// The picture.
    pub(crate) picture: &'p Picture,
    /// What was asked, if anything.
    pub(crate) question: Option<String>,
    /// What the model says.
    pub(crate) said: String,
    /// What should be said.
    pub(crate) truth: String,
}

/// The section of some of the held-out pictures, in their order.
pub(crate) fn cards(title: &'static str, cards: &[Card<'_>]) -> Section {
    let right = cards.iter().filter(|card| card.said == card.truth).count();
    let lead = paragraph(format!(
        "The first {} of the held-out part, as they come; {right} are right.",
        cards.len()
    ));
    let body = tag("div", "cards", cards.iter().map(card).collect::<Html>());
    let given = cards.iter().any(|card| matches!(card.picture, Picture::Features(_)));
    let remark = match given {
        true => {
            note("The data give features of pictures, not pictures, so there are none to show.")
        }
        false => Html::new(),
    };
    Section::new("pictures", title).lead(lead).body(body.with(remark))
}

fn card(card: &Card<'_>) -> Html {
    let Card { picture, question, said, truth } = card;
    let mut html = Html::new();
    if let Picture::Image(image) = picture {
        let address = png::of_image(image);
        html.push(Html::element("img", &[("src", &address), ("alt", truth)], ""));
    }
    if let Some(question) = question {
        html.push(paragraph(question.as_str()));
    }
    let said_is = if said.is_empty() { "(nothing)" } else { said };
    match said == truth {
        true => html.push(tag("p", "right", format!("✓ {said_is}"))),
        false => {
            html.push(tag("p", "wrong", format!("✗ {said_is}")));
            html.push(note(format!("It is: {truth}")));
        }
    }
    tag("div", "", html)
}
