//! `defaults` and `fleets` to the rules of the core.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use verdict::evidence::QueueKey;
use verdict::rules::{Page, Rules, Threshold};
use verdict::words::TaskType;

use super::keys::{Group, Kind};
use super::quantity::{show_ratio, show_span};
use super::reader::{Reader, nearest};
use super::section::Section;
use super::settings::{Detail, Source};

/// Rules of the fleets that are not listed, and of those that are.
pub(super) type FleetRules = (Rules, HashMap<Arc<str>, Rules>);

impl Reader<'_> {
    /// Fills `file` with what is in force, checks it, and makes the rules of it.
    pub(super) fn fleets(&mut self, file: &mut Section, sources: &[Source]) -> FleetRules {
        let mut defaults = file.section("defaults").cloned().unwrap_or_else(|| Section::defaults(Group::Rules));
        defaults.inherit(&Section::defaults(Group::Rules));
        self.limits_in_order(&defaults);
        if let Some(section) = file.section_mut("defaults") {
            section.clone_from(&defaults);
        }
        let table = Section::defaults(Group::FleetQueue);
        let mut fleets = HashMap::new();
        let mut names = BTreeMap::new();
        for fleet in file.sections_mut("fleets") {
            fleet.inherit(&defaults);
            fleet.sections_mut("queues").for_each(|queue| queue.inherit(&table));
            self.limits_in_order(fleet);
            self.unique("fleet", fleet, &mut names);
            let mut rules = rules(fleet);
            rules.queues = self.queues(fleet, sources);
            fleets.insert(Arc::from(fleet.text("name")), rules);
        }
        (rules(&defaults), fleets)
    }

    /// Says so when a section's `name` was there before.
    pub(super) fn unique(&mut self, what: &str, section: &Section, seen: &mut BTreeMap<String, String>) {
        let name = section.text("name").to_owned();
        if name.is_empty() {
            return;
        }
        let place = section.at("name");
        if let Some(first) = seen.get(&name) {
            self.say(
                place,
                format!("duplicate {what} name \"{name}\""),
                format!("it is already used on {first}; rename one"),
            );
        } else {
            seen.insert(name, line(&place));
        }
    }

    /// Every `warning` below its `critical`; what is inherited was said where it is written.
    fn limits_in_order(&mut self, section: &Section) {
        for key in section.group.keys() {
            let Kind::Limits(kind) = key.kind else { continue };
            let (warning, critical) = section.limits(key.name);
            let inherited = section.at(key.name) == section.place;
            if warning < critical || inherited {
                continue;
            }
            let show = |value: f64| match kind {
                Kind::Ratio => show_ratio(value),
                Kind::Span { .. } => show_span(std::time::Duration::from_secs_f64(value)),
                _ => value.to_string(),
            };
            self.say(
                section.at(key.name),
                format!(
                    "thresholds of \"{}\" out of order: warning {} is not below critical {}",
                    key.name,
                    show(warning),
                    show(critical)
                ),
                "lower the warning or raise the critical; a half that is left out comes from `defaults`",
            );
        }
    }

    fn queues(&mut self, fleet: &Section, sources: &[Source]) -> Vec<QueueKey> {
        let mut queues = Vec::new();
        for queue in fleet.sections("queues") {
            let name = queue.text("source");
            let Some(source) = sources.iter().find(|source| &*source.name == name) else {
                if !name.is_empty() {
                    let known: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
                    let hint = reference_hint(name, &known, "sources");
                    self.say(queue.at("source"), format!("there is no source \"{name}\""), hint);
                }
                continue;
            };
            let key = |namespace: &Arc<str>, task_type| QueueKey {
                source: Arc::clone(&source.name),
                namespace: Arc::clone(namespace),
                task_queue: Arc::from(queue.text("task_queue")),
                task_type,
            };
            match &source.detail {
                Detail::Temporal(temporal) => {
                    queues.extend(task_types(queue).map(|task_type| key(&temporal.namespace, task_type)));
                }
                detail if detail.server().is_some() => queues.push(key(&Arc::from(""), TaskType::Activity)),
                _ => {
                    let reason = format!("source \"{name}\" is of kind {}, which has no task queues", source.kind());
                    self.say(queue.at("source"), reason, "name a source of kind temporal, or one on Redis");
                }
            }
        }
        queues
    }
}

/// Where a reference could lead.
pub(super) fn reference_hint(name: &str, known: &[&str], list: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("add `- name: {name}` under `{list}`, or name one that is there"),
    }
}

/// `line 7`.
pub(super) fn line(place: &super::mistake::Place) -> String {
    match place {
        super::mistake::Place::At { line, .. } => format!("line {line}"),
        _ => "an earlier line".to_owned(),
    }
}

/// The `types` of a queue.
pub(super) fn task_types(queue: &Section) -> impl Iterator<Item = TaskType> {
    queue.texts("types").filter_map(TaskType::from_word)
}

/// Every key of [`Group::Rules`] is read here; those of [`Group::Fleet`] where the section has them.
fn rules(section: &Section) -> Rules {
    let threshold = |name| {
        let (warning, critical) = section.limits(name);
        Threshold { warning, critical }
    };
    let fleet = (section.group == Group::Fleet).then_some(section);
    Rules {
        page: if section.text("page") == "fleet" { Page::Fleet } else { Page::Worker },
        team: Arc::from(section.text("team")),
        expected_workers: fleet.and_then(|fleet| fleet.find_whole("expected_workers")),
        heartbeat_interval: section.find_span("heartbeat_interval"),
        missed_beats: threshold("missed_beats"),
        max_quiet: section.find_span("max_quiet"),
        start_grace: section.span("start_grace"),
        drain_limit: section.span("drain_limit"),
        tombstone: section.span("tombstone"),
        longest_task: section.span("longest_task"),
        no_progress: threshold("no_progress"),
        workflow_flat: section.span("workflow_flat"),
        waiting_age: section.span("waiting_age"),
        reach_misses: u32::try_from(section.whole("reach_misses")).unwrap_or(u32::MAX),
        error_ratio: threshold("error_ratio"),
        minimum_tasks: section.whole("minimum_tasks"),
        expected_task_duration: section.find_span("expected_task_duration"),
        cpu: threshold("cpu"),
        memory: threshold("memory"),
        gpu_memory: threshold("gpu_memory"),
        disk: threshold("disk"),
        minimum_score: section.number("minimum_score"),
        queues: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_core_have_the_same_defaults() {
        assert_eq!(rules(&Section::defaults(Group::Rules)), Rules::default());
    }
}
