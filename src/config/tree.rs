//! YAML text to a tree in which every node knows its place.
//!
//! Built from the parser's events and not by the ready-made loader, which stops at the first duplicate key and keeps
//! no place for it. Three limits make hostile input harmless: depth (no stack overflows), the number of nodes that
//! aliases may add (no "billion laughs"), and one document.

use std::collections::HashMap;

use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::mistake::{Mistake, Place};

/// A valid file needs 8 levels.
const DEEPEST: usize = 32;
/// A file of 1 MiB has fewer nodes than this without any alias.
const MOST_ALIAS_NODES: usize = 100_000;

/// A node and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) data: Data,
    /// Nodes in it, itself included: what an alias to it costs.
    weight: usize,
    /// Levels in it, itself included.
    height: usize,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// A scalar as it was written; quoted ones are always text.
    Scalar { text: String, plain: bool },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, without duplicates.
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping's entry.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) place: Place,
}

impl Node {
    /// The scalar as YAML's core schema reads it; `None` for lists and mappings.
    pub(super) fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.data {
            Data::Scalar { text, plain: true } if text.is_empty() => Some(Scalar::Null),
            Data::Scalar { text, plain: true } => Some(Scalar::parse_from_cow(text.as_str().into())),
            Data::Scalar { text, .. } => Some(Scalar::String(text.as_str().into())),
            Data::List(_) | Data::Map(_) => None,
        }
    }

    /// The text as it was written; empty for lists and mappings.
    pub(super) fn written(&self) -> &str {
        match &self.data {
            Data::Scalar { text, .. } => text.trim(),
            Data::List(_) | Data::Map(_) => "",
        }
    }

    /// What stands here, without its value: it may be a secret in the wrong place.
    pub(super) fn shape(&self) -> &'static str {
        match (&self.data, self.scalar()) {
            (Data::List(_), _) => "a list",
            (Data::Map(_), _) => "a mapping",
            (_, Some(Scalar::Null)) => "nothing",
            (_, Some(Scalar::Boolean(_))) => "true or false",
            (_, Some(Scalar::Integer(_) | Scalar::FloatingPoint(_))) => "a number",
            _ => "text",
        }
    }

    /// The value of the entry `name` of a mapping.
    pub(super) fn entry(&self, name: &str) -> Option<&Self> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            Data::List(_) | Data::Scalar { .. } => None,
        }
    }
}

/// Reads the one document in `text`. `None` when there is none that could be used. Mistakes are added to `mistakes`.
pub(super) fn read(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Builder::new(text, mistakes).run(&mut Parser::new_from_str(text))
}

/// A collection that is not closed yet.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashMap<String, Place>, pending: Pending },
}

/// What comes next in a mapping.
enum Pending {
    Key,
    ValueOf(Key),
    /// The value of a key that was refused.
    Nothing,
}

struct Builder<'a> {
    text: &'a str,
    mistakes: &'a mut Vec<Mistake>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    alias_nodes: usize,
    root: Option<Node>,
    documents: usize,
}

/// The rest of the file cannot be read.
struct Stop;

impl<'a> Builder<'a> {
    fn new(text: &'a str, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self { text, mistakes, open: Vec::new(), anchors: HashMap::new(), alias_nodes: 0, root: None, documents: 0 }
    }

    fn run(&mut self, parser: &mut Parser<'_, StrInput<'_>>) -> Option<Node> {
        while let Some(event) = parser.next_event() {
            let done = match event {
                Ok((Event::StreamEnd, _)) => break,
                Ok((event, span)) => self.take(event, span.start),
                Err(error) => {
                    self.syntax(&error);
                    Err(Stop)
                }
            };
            if done.is_err() {
                return None;
            }
        }
        self.root.take()
    }

    fn say(&mut self, place: Place, reason: impl Into<String>, hint: impl Into<String>) {
        self.mistakes.push(Mistake { place, reason: reason.into(), hint: hint.into() });
    }

    fn syntax(&mut self, error: &ScanError) {
        let line = error.marker().line();
        let tab =
            self.text.lines().nth(line.saturating_sub(1)).is_some_and(|text| {
                text.trim_start_matches(' ').starts_with('\t') || text.trim_start().starts_with("-\t")
            });
        let hint = if tab {
            "indent with spaces: YAML does not allow tabs there"
        } else {
            "look at the indentation, colons, brackets and quotes of this line and of the one above"
        };
        self.say(place(*error.marker()), format!("not valid YAML: {}", error.info()), hint);
    }

    fn take(&mut self, event: Event<'_>, mark: Marker) -> Result<(), Stop> {
        let at = place(mark);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.say(
                        at,
                        "a second YAML document",
                        "one file is one document: remove the `---`, or split the file",
                    );
                    return Err(Stop);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &at)?;
                let data = Data::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.close(Node { place: at, data, weight: 1, height: 1 }, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &at)?;
                self.begin(at, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &at)?;
                let content = Content::Map { entries: Vec::new(), seen: HashMap::new(), pending: Pending::Key };
                self.begin(at, anchor, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Alias(anchor) => self.alias(at, anchor)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// What a tag does to its value nobody can know, so that the rest cannot be judged.
    fn refuse_tag(&mut self, tag: Option<&Tag>, at: &Place) -> Result<(), Stop> {
        let Some(tag) = tag else { return Ok(()) };
        let hint = "remove the word that begins with `!`; secrets and variables go into keys that end in _file or _env";
        self.say(at.clone(), format!("the YAML tag {} is not supported", quoted(&tag.to_string())), hint);
        Err(Stop)
    }

    fn begin(&mut self, at: Place, anchor: usize, content: Content) -> Result<(), Stop> {
        if self.open.len() >= DEEPEST {
            self.say(at, format!("nested deeper than {DEEPEST} levels"), "no valid configuration is that deep");
            return Err(Stop);
        }
        self.open.push(Open { place: at, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(Open { place, anchor, content }) = self.open.pop() else { return Ok(()) };
        let (data, weight, height) = match content {
            Content::List(items) => {
                let sums = measure(items.iter());
                (Data::List(items), sums.0, sums.1)
            }
            Content::Map { entries, .. } => {
                let sums = measure(entries.iter().map(|(_, node)| node));
                (Data::Map(entries), sums.0, sums.1)
            }
        };
        self.close(Node { place, data, weight, height }, anchor)
    }

    fn alias(&mut self, at: Place, anchor: usize) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.say(at, "an alias inside its own anchor", "write the value out");
            return Err(Stop);
        };
        self.alias_nodes = self.alias_nodes.saturating_add(node.weight);
        if self.alias_nodes > MOST_ALIAS_NODES || self.open.len() + node.height > DEEPEST {
            self.say(at, "the aliases of this file add up to too many values", "write the values out");
            return Err(Stop);
        }
        let node = node.clone();
        self.close(node, 0)
    }

    /// A whole node: into the collection around it.
    fn close(&mut self, mut node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, seen, pending }) => match std::mem::replace(pending, Pending::Key) {
                Pending::ValueOf(key) => {
                    if node.written().is_empty() && matches!(node.data, Data::Scalar { plain: true, .. }) {
                        // Nothing is written, so the parser's place is that of whatever comes next.
                        node.place = key.place.clone();
                    }
                    entries.push((key, node));
                }
                Pending::Nothing => {}
                Pending::Key => {
                    *pending = Pending::Nothing;
                    let Data::Scalar { text: name, .. } = node.data else {
                        self.say(node.place, "a key must be text", "remove the brackets, or put the key in quotes");
                        return Ok(());
                    };
                    if let Some(first) = seen.get(&name) {
                        let line = if let Place::At { line, .. } = first { *line } else { 0 };
                        let reason = format!("duplicate key {}", quoted(&name));
                        self.say(node.place, reason, format!("it is already set on line {line}; keep one of them"));
                        return Ok(());
                    }
                    seen.insert(name.clone(), node.place.clone());
                    *pending = Pending::ValueOf(Key { name, place: node.place });
                }
            },
        }
        Ok(())
    }
}

/// Weight and height of a collection of these.
fn measure<'n>(nodes: impl Iterator<Item = &'n Node>) -> (usize, usize) {
    nodes.fold((1, 1), |(weight, height), node| (weight.saturating_add(node.weight), height.max(node.height + 1)))
}

fn place(mark: Marker) -> Place {
    Place::At { line: mark.line().max(1), column: mark.col() + 1 }
}

/// In quotes, on one line, and not longer than a message should be.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
