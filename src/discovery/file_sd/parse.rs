//! Prometheus target groups, from text to targets. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};
use saphyr_parser::{Event, Parser};
use serde::Deserialize;
use url::{Host, Url};

use crate::config::{HttpTarget, MetricsSource, Targets, refused};

/// A list of groups is three levels deep.
const DEPTH: usize = 16;

/// One target group: addresses that share labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// `host:port` each.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Labels of all of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}: {}", self.line, self.column, self.what)
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.json`.
    Json,
    /// `.yml`, `.yaml` and everything else.
    Yaml,
}

/// Reads the groups of a file: a list of `{targets, labels}`.
///
/// # Errors
/// The first mistake, with its place.
pub fn groups(format: Format, text: &str) -> Result<Vec<Group>, Mistake> {
    // A file without a byte is one that is being written just now: taking it for an empty list would let every worker in
    // it leave. Whoever means nobody writes `[]`.
    if text.trim().is_empty() {
        return Err(Mistake { line: 1, column: 1, what: "the file is empty; write `[]` for no targets".into() });
    }
    match format {
        Format::Json => serde_json::from_str(text).map_err(|error| Mistake {
            line: error.line(),
            column: error.column(),
            // serde_json puts the place into its text as well.
            what: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        }),
        Format::Yaml => yaml(text),
    }
}

/// A deep file is read, and given up again, by recursion: one of a few kilobytes would use up the stack, and end us.
fn bounded(text: &str) -> Result<(), Mistake> {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(text) {
        // What is no YAML is said by whoever reads it whole.
        let Ok((event, span)) = event else { return Ok(()) };
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            Event::StreamEnd => break,
            _ => {}
        }
        if depth > DEPTH {
            let (line, column) = (span.start.line(), span.start.col() + 1);
            return Err(Mistake { line, column, what: "nested too deeply for a list of target groups".to_owned() });
        }
    }
    Ok(())
}

fn yaml(text: &str) -> Result<Vec<Group>, Mistake> {
    bounded(text)?;
    let documents = MarkedYaml::load_from_str(text).map_err(|error| {
        let place = error.marker();
        Mistake { line: place.line(), column: place.col() + 1, what: error.info().to_owned() }
    })?;
    let Some(document) = documents.first() else { return Ok(Vec::new()) };
    let YamlData::Sequence(items) = &document.data else {
        // Nothing but comments is an empty list.
        return if document.data.is_null() {
            Ok(Vec::new())
        } else {
            Err(mistake(document, "expected a list of target groups"))
        };
    };
    items.iter().map(group).collect()
}

fn group(node: &MarkedYaml<'_>) -> Result<Group, Mistake> {
    let YamlData::Mapping(map) = &node.data else {
        return Err(mistake(node, "expected a target group: `targets:` and `labels:`"));
    };
    let mut group = Group::default();
    for (key, value) in map {
        match key.data.as_str() {
            Some("targets") => {
                let YamlData::Sequence(items) = &value.data else {
                    return Err(mistake(value, "expected a list of `host:port`"));
                };
                group.targets = items.iter().map(text_of).collect::<Result<_, _>>()?;
            }
            Some("labels") => {
                let YamlData::Mapping(labels) = &value.data else {
                    return Err(mistake(value, "expected a map of labels"));
                };
                for (name, value) in labels {
                    group.labels.insert(text_of(name)?, text_of(value)?);
                }
            }
            _ => return Err(mistake(key, "unknown key; a target group has `targets` and `labels`")),
        }
    }
    Ok(group)
}

fn text_of(node: &MarkedYaml<'_>) -> Result<String, Mistake> {
    node.data.as_str().map(str::to_owned).ok_or_else(|| mistake(node, "expected a text; put it in quotes"))
}

fn mistake(node: &MarkedYaml<'_>, what: &str) -> Mistake {
    Mistake { line: node.span.start.line(), column: node.span.start.col() + 1, what: what.to_owned() }
}

/// The targets of these groups, and a sentence for each that cannot be one.
/// Who gives no fleet by label belongs to `fleet`.
pub fn targets(groups: &[Group], source: &Targets, fleet: &Arc<str>) -> (Vec<HttpTarget>, Vec<String>) {
    let mut targets = Vec::new();
    let mut refused = Vec::new();
    for group in groups {
        for address in &group.targets {
            match target(address, &group.labels, source, fleet) {
                Ok(target) => targets.push(target),
                Err(why) => refused.push(why),
            }
        }
    }
    (targets, refused)
}

fn target(
    address: &str,
    labels: &BTreeMap<String, String>,
    source: &Targets,
    fleet: &Arc<str>,
) -> Result<HttpTarget, String> {
    let label = |name: &str| labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let scheme = label("__scheme__").unwrap_or(if source.https { "https" } else { "http" });
    if !matches!(scheme, "http" | "https") {
        return Err(format!("target {address:?}: scheme {scheme:?} is neither http nor https"));
    }
    // Whoever writes more than an address means something else than we would understand, and may hide userinfo in it.
    if address.is_empty() || address.contains(['/', '@', '?', '#']) || address.chars().any(char::is_whitespace) {
        return Err(
            "a target is not `host:port`; give scheme and path by the labels __scheme__ and __health_path__".into()
        );
    }
    // `__metrics_path__` is where Prometheus looks for metrics, which is not where a worker says how it is.
    let own = if source.path == MetricsSource::PATH { "__metrics_path__" } else { "__health_path__" };
    let path = label(own).unwrap_or(&source.path);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = Url::parse(&format!("{scheme}://{address}{slash}{path}"))
        .map_err(|error| format!("target {address:?}: {error}"))?;
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        Some(Host::Domain(_)) | None => None,
    };
    if let Some(why) = ip.and_then(|ip| refused(ip, &source.access.allowed)) {
        return Err(format!("target {address:?} is refused: {why}; allow it with `allowed_networks` if it is meant"));
    }
    let named = |name: &Option<String>| name.as_deref().and_then(label);
    let fleet = named(&source.fleet_label).map_or_else(|| Arc::clone(fleet), Arc::from);
    let id = named(&source.worker_label).unwrap_or(address);
    Ok(HttpTarget { id: Arc::from(id), fleet, url, access: None })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    fn source() -> Targets {
        Targets {
            worker_label: Some("pod".into()),
            fleet_label: Some("team".into()),
            ..Targets::of(Vec::new(), "/health")
        }
    }

    fn read(format: Format, text: &str) -> Vec<(String, String, String)> {
        let (targets, refused) = targets(&groups(format, text).unwrap(), &source(), &Arc::from("night"));
        assert_eq!(refused, Vec::<String>::new());
        targets.iter().map(|t| (t.fleet.to_string(), t.id.to_string(), t.url.to_string())).collect()
    }

    #[test]
    fn json_and_yaml_say_the_same() {
        let json = r#"[{"targets":["a:1","b:2"],"labels":{"team":"mail","__scheme__":"https"}},{"targets":["c:3"]}]"#;
        let yaml = "- targets: ['a:1', 'b:2']\n  labels:\n    team: mail\n    __scheme__: https\n- targets:\n  - c:3\n";
        let expected = [
            ("mail", "a:1", "https://a:1/health"),
            ("mail", "b:2", "https://b:2/health"),
            ("night", "c:3", "http://c:3/health"),
        ]
        .map(|(fleet, id, url)| (fleet.to_owned(), id.to_owned(), url.to_owned()));
        assert_eq!(read(Format::Json, json), expected);
        assert_eq!(read(Format::Yaml, yaml), expected);
    }

    #[test]
    fn labels_name_the_worker_and_its_health_path_and_the_metrics_path_is_left_alone() {
        let json =
            r#"[{"targets":["[::1]:80"],"labels":{"pod":"w-0","__metrics_path__":"/m","__health_path__":"live?x=1"}}]"#;
        assert_eq!(read(Format::Json, json), [("night".into(), "w-0".into(), "http://[::1]/live?x=1".into())]);
    }

    #[test]
    fn a_list_of_nobody_is_an_empty_list() {
        assert_eq!(read(Format::Yaml, "[]"), []);
        assert_eq!(read(Format::Yaml, "# nobody\n"), []);
        assert_eq!(read(Format::Json, "[]"), []);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (format, text, expected) in [
            (Format::Json, "[\n{\"targets\":[\"a:1\"],]", "line 2 column 20: "),
            (Format::Json, "", "line 1 column 1: the file is empty; write `[]` for no targets"),
            (Format::Yaml, " \n", "line 1 column 1: the file is empty"),
            (Format::Json, r#"[{"hosts":[]}]"#, "line 1 column 9: unknown field `hosts`"),
            (Format::Yaml, "targets: [a:1]", "line 1 column 1: expected a list of target groups"),
            (Format::Yaml, "- targets: a:1", "line 1 column 12: expected a list of `host:port`"),
            (Format::Yaml, "- hosts: [a:1]", "line 1 column 3: unknown key"),
            (Format::Yaml, "- targets: [80]", "line 1 column 13: expected a text; put it in quotes"),
            (Format::Yaml, "- targets: ['a:1']\n  labels:\n    a: [", "line 4 column 1: "),
        ] {
            let said = groups(format, text).unwrap_err().to_string();
            assert!(said.starts_with(expected), "{text:?}: {said}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_alone_and_never_repeated_with_its_userinfo() {
        let groups =
            groups(Format::Json, r#"[{"targets":["u:secret@h:1","http://h:1/","a b","h:99999","h:1"]}]"#).unwrap();
        let (targets, refused) = targets(&groups, &source(), &Arc::from("night"));
        assert_eq!(targets.len(), 1);
        assert_eq!(refused.len(), 4);
        assert!(!refused.concat().contains("secret"));
    }

    #[test]
    fn neither_depth_nor_aliases_cost_more_than_the_file_itself() {
        for deep in ["- ".repeat(100_000), "- - ".repeat(50_000) + "a", "- a:\n".repeat(10) + &"- ".repeat(100)] {
            let said = groups(Format::Yaml, &deep).unwrap_err();
            assert_eq!(said.what, "nested too deeply for a list of target groups");
        }
        // In brackets the parser itself draws a line.
        assert!(groups(Format::Yaml, &"[".repeat(100_000)).is_err());
        assert!(groups(Format::Yaml, &"{a: ".repeat(100_000)).is_err());
        let mut laughs = String::from("- &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for n in 1..30 {
            laughs += &format!("- &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","));
        }
        assert!(groups(Format::Yaml, &laughs).is_err());
        // An alias that is one stays one, and one that stands in itself ends.
        let shared = "- targets: ['a:1']\n  labels: &l {team: mail}\n- targets: ['b:1']\n  labels: *l\n";
        assert_eq!(read(Format::Yaml, shared).iter().filter(|(fleet, ..)| fleet == "mail").count(), 2);
        assert!(groups(Format::Yaml, "- &a [*a]\n").is_err());
        assert!(groups(Format::Json, &"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_every_target_is_one(
            text in r#"([\[\]{}"',: \n&*!<|>#?a0-]|- targets: |labels: |\{"targets":\["|__scheme__: |@|\[::1\]:80){0,40}"#,
        ) {
            for format in [Format::Json, Format::Yaml] {
                let Ok(groups) = groups(format, &text) else { continue };
                let (targets, refused) = targets(&groups, &source(), &Arc::from("night"));
                let written: usize = groups.iter().map(|group| group.targets.len()).sum();
                prop_assert_eq!(targets.len() + refused.len(), written);
                for target in targets {
                    prop_assert!(target.url.username().is_empty() && target.url.password().is_none());
                    prop_assert!(matches!(target.url.scheme(), "http" | "https") && target.url.has_host());
                }
            }
        }
    }
}
