//! From what was written to what the program needs: every mistake of a file at once, with place, reason and hint.
//!
//! text → `tree` (nodes with places) → `reader` (held against the table in `keys`) → `sources`, `rules` (cross-checks,
//! settings). Only a file without any mistake becomes [`Settings`].

mod discovery;
mod environment;
mod keys;
mod mistake;
mod network;
mod processes;
mod profile;
mod quantity;
mod reader;
mod reference;
mod rules;
mod secret;
mod section;
mod settings;
mod shown;
mod sources;
mod tree;
mod values;
mod web;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use verdict::rules::{Rulebook, SourceRules};
use verdict::words::TaskType;

pub use environment::{Environment, ProcessEnvironment, Variables};
pub use mistake::{Mistake, Mistakes, Place};
pub use network::{Network, refused, refused_to_lists};
pub use reference::reference;
pub use secret::Secret;
pub use settings::*;
pub use web::{ClientAuth, Hash, Pem, Rate, TlsVersions, WebConfig, WebTls, parse_web};

use keys::Group;
use reader::Reader;
use section::Section;
use tree::{Data, Node};

/// Reads a duration of the command line as one of a file: `500ms`, `15s`, `1h30m`.
///
/// # Errors
/// Why it is none, for people.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    quantity::span(text).map_err(|error| {
        let why = match error {
            quantity::SpanError::NoUnit => "it has no unit",
            quantity::SpanError::Negative => "time does not run backwards",
            quantity::SpanError::TooLong => "it is longer than a year",
            quantity::SpanError::Malformed => "it is no duration",
        };
        format!("{why}; write it like 500ms, 15s, 5m or 1h30m")
    })
}

/// A larger file is not a configuration of ours. 10,000 targets take about half of it.
const LARGEST: u64 = 1 << 20;

/// Loads the file at `path`. Variables that it names are looked up in `env`; relative paths in it start at its folder.
///
/// # Errors
/// Every mistake of the file.
pub fn load(path: &Path, env: &dyn Environment) -> Result<Settings, Mistakes> {
    let origin = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => parse(&bytes, &origin, path.parent().unwrap_or(Path::new("")), env),
        Err(error) => {
            let reason = format!("cannot read the file: {}", error.kind());
            let hint = "check the path of --config.file and the permissions; without a file the TEMPORAL_* \
                        environment is used";
            Err(Mistakes::new(origin, vec![Mistake { place: Place::File, reason, hint: hint.to_owned() }]))
        }
    }
}

/// The same for content that is at hand: `origin` is its name in messages, relative paths start at `base`.
///
/// # Errors
/// Every mistake of the content.
pub fn parse(bytes: &[u8], origin: &str, base: &Path, env: &dyn Environment) -> Result<Settings, Mistakes> {
    let mut reader = Reader { env, base, mistakes: Vec::new() };
    let root = text(bytes, &mut reader).and_then(|text| root(text, &mut reader));
    let file = root.and_then(|root| reader.section(Group::File, &root));
    match file {
        Some(file) => reader.settings(file).map_err(|mistakes| Mistakes::new(origin, mistakes)),
        None => Err(Mistakes::new(origin, reader.mistakes)),
    }
}

fn text<'b>(bytes: &'b [u8], reader: &mut Reader<'_>) -> Option<&'b str> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        let hint = "move targets into files of `file_sd`, which are not limited";
        reader.say(Place::File, "the file is larger than 1 MiB", hint);
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            reader.say(Place::At { line, column }, "not UTF-8", "save the file in the encoding UTF-8");
            None
        }
    }
}

fn root(text: &str, reader: &mut Reader<'_>) -> Option<Node> {
    let node = tree::read(text, &mut reader.mistakes);
    match &node {
        Some(node) if matches!(node.data, Data::Map(_)) => {}
        Some(node) if !node.written().is_empty() || matches!(node.data, Data::List(_)) => {
            let reason = format!("the file must be a mapping, not {}", node.shape());
            reader.say(node.place.clone(), reason, "begin with `sources:`");
        }
        _ if !reader.mistakes.is_empty() => {}
        _ => reader.say(
            Place::File,
            "the file is empty",
            "write at least `sources:`, or start without a file to use the TEMPORAL_* environment",
        ),
    }
    node
}

impl Reader<'_> {
    /// The last step: defaults, cross-checks, and the settings when nothing at all is wrong.
    fn settings(mut self, mut file: Section) -> Result<Settings, Vec<Mistake>> {
        file.inherit(&Section::defaults(Group::File));
        if let Some(global) = file.section_mut("global") {
            global.inherit(&Section::defaults(Group::Global));
        }
        let mut sources = self.sources(&mut file);
        let (default, fleets) = self.fleets(&mut file, &sources);
        if !self.mistakes.is_empty() {
            return Err(self.mistakes);
        }
        for queue in fleets.values().flat_map(|rules| &rules.queues) {
            // A queue that a fleet serves is watched, whether or not anybody polls it.
            let Some(source) = sources.iter_mut().find(|source| source.name == queue.source) else { continue };
            if let Detail::Temporal(temporal) = &mut source.detail {
                temporal.task_queues.push((Arc::clone(&queue.task_queue), queue.task_type));
            } else if let Some(server) = source.detail.server_mut() {
                server.queues.push(Arc::clone(&queue.task_queue));
            }
        }
        let rulebook = Rulebook { default, fleets, sources: sources.iter_mut().map(source_rules).collect() };
        let concurrency = file.section("global").map_or(1, |global| global.whole("concurrency"));
        Ok(Settings {
            rulebook: Arc::new(rulebook),
            sources,
            concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
            shown: shown::yaml(&file),
        })
    }
}

/// The core's view of a source. Queues that are named twice are watched once.
fn source_rules(source: &mut Source) -> SourceRules {
    let (namespace, watch) = match &mut source.detail {
        Detail::Temporal(temporal) => {
            temporal.task_queues.sort();
            temporal.task_queues.dedup();
            (Arc::clone(&temporal.namespace), temporal.task_queues.clone())
        }
        detail => match detail.server_mut() {
            Some(server) => {
                server.queues.sort();
                server.queues.dedup();
                let watch = server.queues.iter().map(|queue| (Arc::clone(queue), TaskType::Activity));
                (Arc::from(""), watch.collect())
            }
            None => (Arc::from(""), Vec::new()),
        },
    };
    SourceRules {
        name: Arc::clone(&source.name),
        kind: source.kind(),
        namespace,
        minimum_interval: source.minimum_interval,
        maximum_interval: source.maximum_interval,
        watch,
    }
}
