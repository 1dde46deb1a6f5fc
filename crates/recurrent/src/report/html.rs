//! Markup that is well-formed by construction: elements are closed where they are opened, and text
//! is escaped on its way in.

/// A piece of a page.
///
/// It is made of elements and of text. Text comes in through `From<&str>` and `From<String>`, which
/// escape it, so that nothing of a person's data is ever markup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

/// Elements that have no content and no end.
const VOID: [&str; 5] = ["meta", "img", "br", "image", "rect"];

impl Html {
    /// Nothing.
    pub fn new() -> Html {
        Html::default()
    }

    /// Markup of our own making, taken as it is: charts and the style.
    pub(super) fn of_our_own(markup: impl Into<String>) -> Html {
        Html(markup.into())
    }

    /// An element with attributes, whose values are escaped too.
    pub fn element(name: &str, attributes: &[(&str, &str)], content: impl Into<Html>) -> Html {
        let mut html = format!("<{name}");
        for (attribute, value) in attributes {
            html.push_str(&format!(" {attribute}=\"{}\"", escaped(value)));
        }
        if VOID.contains(&name) {
            html.push_str("/>");
            return Html(html);
        }
        html.push('>');
        html.push_str(&content.into().0);
        html.push_str(&format!("</{name}>"));
        Html(html)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes on with more.
    pub fn push(&mut self, more: impl Into<Html>) {
        self.0.push_str(&more.into().0);
    }

    /// The same and more.
    pub fn with(mut self, more: impl Into<Html>) -> Html {
        self.push(more);
        self
    }

    /// The markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Html {
    fn from(text: &str) -> Html {
        Html(escaped(text))
    }
}

impl From<String> for Html {
    fn from(text: String) -> Html {
        Html(escaped(&text))
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<I: IntoIterator<Item = Html>>(pieces: I) -> Html {
        Html(pieces.into_iter().map(|piece| piece.0).collect())
    }
}

/// An element with a class, or without where the class is empty.
pub fn tag(name: &str, class: &str, content: impl Into<Html>) -> Html {
    match class {
        "" => Html::element(name, &[], content),
        _ => Html::element(name, &[("class", class)], content),
    }
}

/// A paragraph.
pub fn paragraph(content: impl Into<Html>) -> Html {
    tag("p", "", content)
}

/// A remark beside the matter: how something was measured, or why it is not there.
pub fn note(content: impl Into<Html>) -> Html {
    tag("p", "note", content)
}

/// What is wider than a phone scrolls by itself, and the page does not.
pub fn scrolled(content: impl Into<Html>) -> Html {
    Html::element("div", &[("class", "scroll"), ("tabindex", "0")], content)
}

/// A picture or a table with what it shows in words.
pub fn figure(content: impl Into<Html>, caption: impl Into<Html>) -> Html {
    tag("figure", "", content.into().with(tag("figcaption", "", caption)))
}

/// A text that begins a sentence.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A table with a head; the cells of columns named in `numbers` stand right.
pub fn table(head: &[&str], numbers: &[usize], rows: impl IntoIterator<Item = Vec<Html>>) -> Html {
    let class = |column: usize| if numbers.contains(&column) { "number" } else { "" };
    let head = head.iter().enumerate().map(|(column, name)| tag("th", class(column), *name));
    let head = tag("thead", "", tag("tr", "", head.collect::<Html>()));
    let row = |cells: Vec<Html>| {
        let cells = cells.into_iter().enumerate();
        tag("tr", "", cells.map(|(column, cell)| tag("td", class(column), cell)).collect::<Html>())
    };
    let body = tag("tbody", "", rows.into_iter().map(row).collect::<Html>());
    scrolled(tag("table", "", head.with(body)))
}

/// Text without anything that markup is made of. Control characters, which no page may hold, are
/// replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            _ if c.is_control() => escaped.push('\u{FFFD}'),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        let hostile = "</td><script>alert('1')</script>\u{0}&amp;";
        let html = Html::element("td", &[("title", "a\" onload=\"b")], hostile);
        let expected = "<td title=\"a&quot; onload=&quot;b\">&lt;/td&gt;&lt;script&gt;alert(&#39;1\
                        &#39;)&lt;/script&gt;\u{FFFD}&amp;amp;</td>";
        assert_eq!(html.as_str(), expected);
    }

    #[test]
    fn elements_are_closed() {
        let html = tag("p", "x", Html::element("br", &[], "").with("y"));
        assert_eq!(html.as_str(), "<p class=\"x\"><br/>y</p>");
        let html = table(&["a", "b"], &[1], [vec!["c".into(), "1".into()]]);
        let body = "<tbody><tr><td>c</td><td class=\"number\">1</td></tr></tbody>";
        assert!(html.as_str().contains(body), "{html:?}");
    }
}
