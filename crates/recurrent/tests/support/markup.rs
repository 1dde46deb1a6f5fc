//! Pages held against rules that a browser would forgive: every element closed where it was opened,
//! nothing that is fetched, nothing that runs.

// Each test file uses its part of it.
#![allow(dead_code)]

/// A page whose markup is well-formed.
pub(crate) struct Markup {
    /// The text without elements, entities as they stand.
    pub(crate) text: String,
    /// Elements in the order of their beginnings: name and attributes.
    pub(crate) elements: Vec<(String, Vec<(String, String)>)>,
}

impl Markup {
    /// Reads a page.
    ///
    /// # Panics
    /// At the first fault.
    #[track_caller]
    pub(crate) fn of(page: &str) -> Markup {
        let mut markup = Markup { text: String::new(), elements: vec![] };
        let (mut open, mut rest): (Vec<String>, &str) = (vec![], page);
        while !rest.is_empty() {
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = &comment[comment.find("-->").expect("a comment ends") + 3..];
            } else if let Some(after) = rest.strip_prefix("<!DOCTYPE html>") {
                rest = after;
            } else if let Some(end) = rest.strip_prefix("</") {
                let at = end.find('>').expect("an end ends");
                assert_eq!(open.pop().as_deref(), Some(&end[..at]), "before {:.80}", &end[at..]);
                rest = &end[at + 1..];
            } else if let Some(begin) = rest.strip_prefix('<') {
                let (name, attributes, closed, after) = beginning(begin);
                rest = after;
                if name == "style" {
                    // Its text is no markup.
                    let at = rest.find("</style>").expect("a style ends");
                    assert!(!rest[..at].contains('<'));
                    rest = &rest[at..];
                }
                if !closed {
                    open.push(name.clone());
                }
                markup.elements.push((name, attributes));
            } else {
                let at = rest.find('<').unwrap_or(rest.len());
                assert_entities(&rest[..at]);
                markup.text.push_str(&rest[..at]);
                rest = &rest[at..];
            }
        }
        assert!(open.is_empty(), "{open:?} are left open");
        markup
    }

    /// The values of an attribute.
    pub(crate) fn values<'m>(&'m self, wanted: &'m str) -> impl Iterator<Item = &'m str> {
        let attributes = self.elements.iter().flat_map(|(_, attributes)| attributes);
        attributes.filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// Nothing in it is fetched or runs, and its links lead to places in it.
    #[track_caller]
    pub(crate) fn assert_alone(&self, page: &str) {
        for foreign in ["http://", "https://", "url(", "@import", "javascript:"] {
            let at = page.find(foreign);
            let near = at.map(|at| &page[at.saturating_sub(80)..at]);
            assert!(at.is_none(), "{foreign} behind {near:?}");
        }
        for (name, attributes) in &self.elements {
            assert!(!["script", "link", "iframe", "object"].contains(&name.as_str()), "{name}");
            for (attribute, _) in attributes {
                assert!(!attribute.starts_with("on"), "{name} {attribute}");
            }
        }
        let ids: Vec<&str> = self.values("id").collect();
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id), "{id} is there twice");
        }
        assert!(self.values("src").all(|value| value.starts_with("data:image/png;base64,")));
        for link in self.values("href") {
            let inside = link.strip_prefix('#').is_some_and(|id| ids.contains(&id));
            assert!(inside || link.starts_with("data:image/png;base64,"), "{link:.60}");
        }
    }
}

/// Name, attributes, whether it closes itself, and what follows.
#[track_caller]
fn beginning(text: &str) -> (String, Vec<(String, String)>, bool, &str) {
    let name_end = text.find([' ', '>', '/']).expect("a beginning ends");
    let name = text[..name_end].to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric();
    assert!(!name.is_empty() && name.chars().all(plain), "an element named {name:.40?}");
    let (mut attributes, mut rest) = (vec![], &text[name_end..]);
    loop {
        rest = rest.trim_start_matches(' ');
        if let Some(after) = rest.strip_prefix("/>") {
            return (name, attributes, true, after);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (name, attributes, false, after);
        }
        let (attribute, value) = rest.split_once("=\"").expect("an attribute has a value");
        let end = value.find('"').expect("a value ends");
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':';
        assert!(attribute.chars().all(known), "<{name} {attribute:.40?}");
        assert!(!value[..end].contains('<'), "<{name} {attribute}={:.40?}", &value[..end]);
        assert_entities(&value[..end]);
        attributes.push((attribute.to_owned(), value[..end].to_owned()));
        rest = &value[end + 1..];
    }
}

/// Every ampersand begins an entity that XML knows, and there is no bracket.
#[track_caller]
fn assert_entities(text: &str) {
    assert!(!text.contains('>'), "{text:.80?}");
    for (at, _) in text.match_indices('&') {
        let known = ["&lt;", "&gt;", "&amp;", "&quot;", "&apos;", "&#39;"];
        assert!(known.iter().any(|entity| text[at..].starts_with(entity)), "{:.20}", &text[at..]);
    }
}
