//! One runbook for each alert, under its name.

use super::fill::{self, Values};
use super::links::Links;
use super::table;

/// One runbook.
#[derive(Clone, Copy, Debug)]
pub struct Runbook {
    /// The name of its alert.
    pub name: &'static str,
    text: &'static str,
}

impl Runbook {
    /// What the alert means, in one line.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        self.text.split("\n\n").nth(1).unwrap_or_default()
    }

    /// The labels of the alert that it wants to know.
    #[must_use]
    pub fn labels(&self) -> Vec<&'static str> {
        fill::open_labels(self.text)
    }

    /// As Markdown, with the labels of one alert and real addresses in it. Links to pages that are not beside it become words.
    #[must_use]
    pub fn filled(&self, values: &Values, links: &Links) -> String {
        links.put_into(&fill::fill(&without_far_links(self.text), values))
    }
}

/// `[its page](../docs/redis.md)` → `its page (docs/redis.md)`: documentation lies in the repository, not in a bundle.
pub(super) fn without_far_links(text: &str) -> String {
    let mut near = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("](../") {
        let (before, link) = rest.split_at(at);
        let Some((begin, end)) = before.rfind('[').zip(link.find(')')) else { break };
        let target = link.get("](../".len()..end).unwrap_or_default();
        let words = before.get(begin + 1..).unwrap_or_default();
        near.push_str(before.get(..begin).unwrap_or_default());
        near.push_str(&format!("{words} ({target})"));
        rest = link.get(end + 1..).unwrap_or_default();
    }
    near + rest
}

/// All, by name.
pub fn all() -> impl Iterator<Item = Runbook> {
    let name = |path: &'static str| path.strip_suffix(".md").filter(|name| *name != "README");
    table::RUNBOOKS.iter().filter_map(move |file| Some(Runbook { name: name(file.path)?, text: file.text }))
}

/// The one of this alert.
#[must_use]
pub fn find(name: &str) -> Option<Runbook> {
    all().find(|runbook| runbook.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

    use super::*;

    #[test]
    fn each_has_a_meaning_of_one_line() {
        assert!(all().count() > 40);
        for runbook in all() {
            assert!(runbook.meaning().ends_with('.') && !runbook.meaning().contains('\n'), "{}", runbook.name);
        }
    }

    #[test]
    fn the_labels_of_a_worker_are_wanted_by_the_runbook_of_a_worker() {
        assert_eq!(find("WorkerDown").unwrap().labels(), ["fleet", "worker"]);
        assert_eq!(
            find("TemporalTaskQueueNoPollers").unwrap().labels(),
            ["source", "temporal_namespace", "task_queue", "task_type"]
        );
    }

    #[test]
    fn labels_and_addresses_are_filled_in() {
        let mut values = Values::default();
        values.set("fleet", "orders").unwrap();
        values.set("worker", "w'1").unwrap();
        let links = Links::new(Some(&"https://mon.example.org/w".parse().unwrap()), None).unwrap();
        let text = find("WorkerDown").unwrap().filled(&values, &links);
        assert!(text.contains("\nEXPORTER=https://mon.example.org/w\nFLEET='orders'\nWORKER='w'\\''1'\n"));
        assert!(text.contains(r#"worker_up{fleet="orders", worker="w'1"}"#));
        assert!(text.contains("?var-fleet=orders&var-worker=w%271)"));
        assert!(!text.contains("](../"));
    }

    #[test]
    fn a_link_out_of_the_folder_becomes_words() {
        let text = "a [b](c.md) and [its page](../docs/redis.md#rights), [x](../y).";
        assert_eq!(without_far_links(text), "a [b](c.md) and its page (docs/redis.md#rights), x (y).");
    }
}
