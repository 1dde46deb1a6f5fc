//! A grammar as a table: rules with alternatives, whose braces name other rules.

use super::Chance;

/// Rules: a name, and the alternatives of which one is drawn at each use.
pub(super) type Rules<'a> = [(&'a str, &'a [&'a str])];

/// Sentences of `rule`, each from another of its alternatives, each with a capital at its start.
///
/// A name in braces is replaced by an alternative of that rule, looked up in the tables in turn;
/// `{a}` becomes "a" or "an" by the letter that follows, so the tables hold no word after it
/// whose sound differs from its letter ("honest", "useful").
///
/// # Panics
/// If a rule is missing, has fewer alternatives than `count`, or does not close a brace: the
/// tables are ours, and tests draw from them.
pub(super) fn sentences(
    rule: &str,
    count: usize,
    tables: &[&Rules],
    chance: &mut Chance,
) -> Vec<String> {
    let mut left = alternatives(rule, tables).to_vec();
    (0..count)
        .map(|_| {
            let template = left.swap_remove(chance.below(left.len()));
            let mut text = String::new();
            fill(template, tables, chance, &mut text);
            capitalise(&choose_articles(&text))
        })
        .collect()
}

/// Stands for "a" or "an" until the next letter is known.
const ARTICLE: char = '\u{1}';

/// The alternatives of a rule, from the first table that has it.
fn alternatives<'a>(rule: &str, tables: &[&Rules<'a>]) -> &'a [&'a str] {
    let mut rules = tables.iter().flat_map(|table| table.iter());
    let found = rules.find(|(name, _)| *name == rule);
    found.unwrap_or_else(|| panic!("the grammar has no rule {rule:?}")).1
}

/// Writes a template, its braces filled.
fn fill(template: &str, tables: &[&Rules], chance: &mut Chance, text: &mut String) {
    let mut rest = template;
    while let Some((plain, after)) = rest.split_once('{') {
        let (rule, after) = after.split_once('}').expect("a brace of the grammar is not closed");
        text.push_str(plain);
        match rule {
            "a" => text.push(ARTICLE),
            _ => {
                let inner = chance.pick(alternatives(rule, tables));
                fill(inner, tables, chance, text);
            }
        }
        rest = after;
    }
    text.push_str(rest);
}

fn capitalise(text: &str) -> String {
    match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text[..at].to_owned() + &text[at..=at].to_ascii_uppercase() + &text[at + 1..],
        None => text.to_owned(),
    }
}

fn choose_articles(text: &str) -> String {
    let mut chosen = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != ARTICLE {
            chosen.push(c);
            continue;
        }
        // The article is followed by a blank; the letter that decides is the one after it.
        let next = chars.clone().nth(1).unwrap_or(' ');
        chosen.push_str(if "aeiou".contains(next) { "an" } else { "a" });
    }
    chosen
}
