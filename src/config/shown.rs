//! What is in force, as YAML: every default written out, secrets only as references to where they come from.

use super::keys::Kind;
use super::quantity::{show_ratio, show_size, show_span};
use super::section::{Section, Value};
use std::time::Duration;

/// The whole file.
pub(super) fn yaml(file: &Section) -> String {
    let mut text = String::new();
    section(&mut text, file, 0);
    text
}

fn section(text: &mut String, section: &Section, depth: usize) {
    for key in section.group.keys() {
        if let Some(field) = section.fields.get(key.name) {
            entry(text, key.name, key.kind, &field.value, depth);
        }
    }
}

fn entry(text: &mut String, name: &str, kind: Kind, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let name = quoted(name);
    match (kind, value) {
        (_, Value::Section(inner)) if inner.fields.is_empty() => text.push_str(&format!("{indent}{name}: {{}}\n")),
        (_, Value::Section(inner)) => {
            text.push_str(&format!("{indent}{name}:\n"));
            section(text, inner, depth + 1);
        }
        (_, Value::Entries(entries)) => {
            text.push_str(&format!("{indent}{name}:\n"));
            entries.iter().for_each(|(name, field)| entry(text, name, Kind::Text, &field.value, depth + 1));
        }
        (Kind::List(kind), Value::List(items)) if items.iter().any(|item| matches!(item.value, Value::Section(_))) => {
            text.push_str(&format!("{indent}{name}:\n"));
            for item in items {
                let mut block = String::new();
                match &item.value {
                    Value::Section(inner) => section(&mut block, inner, depth + 1),
                    other => block = format!("{indent}  {}\n", scalar(*kind, other)),
                }
                // The dash takes the place of the first two blanks.
                text.push_str(&format!("{indent}- {}", block.trim_start()));
            }
        }
        _ => text.push_str(&format!("{indent}{name}: {}\n", scalar(kind, value))),
    }
}

fn scalar(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (_, Value::Text(text)) => quoted(text),
        (_, Value::Switch(on)) => on.to_string(),
        (Kind::Size { .. }, Value::Whole(size)) => show_size(*size),
        (_, Value::Whole(number)) => number.to_string(),
        (Kind::Ratio, Value::Number(ratio)) => show_ratio(*ratio),
        (Kind::Span { .. }, Value::Number(seconds)) => show_span(Duration::from_secs_f64(*seconds)),
        (_, Value::Number(number)) => number.to_string(),
        (_, Value::Span(span)) => show_span(*span),
        (_, Value::Url(url)) => quoted(url.as_str()),
        (Kind::Limits(kind), Value::Limits { warning, critical }) => {
            let show =
                |half: &Option<f64>| half.map_or_else(|| "~".to_owned(), |half| scalar(*kind, &Value::Number(half)));
            format!("{{warning: {}, critical: {}}}", show(warning), show(critical))
        }
        (Kind::List(kind), Value::List(items)) => {
            let items: Vec<String> = items.iter().map(|item| scalar(*kind, &item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        _ => "~".to_owned(),
    }
}

/// Plain where YAML would read it back as the same text, else in double quotes.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c))
        && !text.ends_with(':')
        && matches!(saphyr::Scalar::parse_from_cow(text.into()), saphyr::Scalar::String(_));
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
