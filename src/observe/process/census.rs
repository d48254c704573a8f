//! All processes of the machine, listed once for the many workers that are looked at together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use verdict::read::proc::{self, RunState, Stat};
use verdict::words::Failure;

use super::machine::Machine;

/// Looks within this time see the same list.
const FRESH: Duration = Duration::from_secs(1);

/// The parent of all threads of the kernel, which are nobody's workers.
const KERNEL: u32 = 2;

/// How much is read of each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What can always be read at once.
    Stat,
    /// Its arguments, too, for which the kernel may have to wait for the process.
    Arguments,
}

/// A process in the list.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) stat: Stat,
    /// The program first. Empty unless they were asked for.
    pub(super) arguments: Vec<String>,
}

/// All that could be seen.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) entries: Vec<Entry>,
    /// Some are hidden from us: who is not in the list may be there all the same.
    pub(super) partial: bool,
}

impl List {
    /// A process and all that descend from it, itself first.
    pub(super) fn tree(&self, root: &Stat) -> Vec<Stat> {
        let mut tree = vec![root.clone()];
        let mut at = 0;
        while let Some(parent) = tree.get(at).map(|stat| stat.pid) {
            at += 1;
            let children = self.entries.iter().map(|entry| &entry.stat).filter(|stat| stat.parent == parent);
            // A list that took its time may show a pid twice; nobody is his own descendant.
            let new: Vec<Stat> = children.filter(|c| !tree.iter().any(|known| known.pid == c.pid)).cloned().collect();
            tree.extend(new);
        }
        tree
    }

    /// Processes whose name and arguments match, those left out whose parent matches, too: they belong to it.
    pub(super) fn matching(&self, name: &Pattern, arguments: Option<&Pattern>) -> Vec<Stat> {
        let matches = |entry: &&Entry| {
            let program = entry.arguments.first().map(|program| program.rsplit('/').next().unwrap_or(program));
            let named = name.is(&entry.stat.name) || program.is_some_and(|program| name.is(program));
            let rest = || entry.arguments.get(1..).unwrap_or_default().join(" ");
            named && entry.stat.state != RunState::Zombie && arguments.is_none_or(|pattern| pattern.is_in(&rest()))
        };
        let all: Vec<&Stat> = self.entries.iter().filter(matches).map(|entry| &entry.stat).collect();
        let mut roots: Vec<Stat> = all
            .iter()
            .filter(|stat| !all.iter().any(|other| other.pid == stat.parent))
            .map(|stat| (*stat).clone())
            .collect();
        roots.sort_by_key(|stat| (stat.started, stat.pid));
        roots
    }
}

/// Text to be found, with `*` for anything and `?` for one letter.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<char>);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self(text.chars().collect())
    }

    /// The whole text matches.
    pub(super) fn is(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // Greedy, and back to the last star when it does not go on.
        let (mut at, mut in_text, mut star) = (0, 0, None);
        while let Some(letter) = text.get(in_text) {
            match self.0.get(at) {
                Some('*') => {
                    star = Some((at, in_text));
                    at += 1;
                }
                Some(wanted) if *wanted == '?' || wanted == letter => {
                    at += 1;
                    in_text += 1;
                }
                _ => {
                    let Some((after, from)) = star else { return false };
                    star = Some((after, from + 1));
                    at = after + 1;
                    in_text = from + 1;
                }
            }
        }
        self.0.iter().skip(at).all(|letter| *letter == '*')
    }

    /// Some part of the text matches.
    fn is_in(&self, text: &str) -> bool {
        let mut around = vec!['*'];
        around.extend(&self.0);
        around.push('*');
        Self(around).is(text)
    }
}

/// Lists processes, and remembers the list for a moment.
pub(super) struct Census {
    depth: Depth,
    last: Mutex<Option<(Instant, Arc<List>)>>,
}

impl Census {
    pub(super) fn new(depth: Depth) -> Self {
        Self { depth, last: Mutex::default() }
    }

    /// The processes that there are.
    pub(super) fn take(&self, machine: &Machine) -> Result<Arc<List>, Failure> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, list)) = last.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(list);
        }
        // Not under the lock: a process that cannot be read holds up who asked, and nobody else.
        let at = Instant::now();
        let list = Arc::new(self.list(machine)?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, Arc::clone(&list)));
        Ok(list)
    }

    fn list(&self, machine: &Machine) -> Result<List, Failure> {
        // The first process is always there.
        let hidden = machine.hides(1) && !matches!(machine.file(1, "stat"), Ok(Some(_)));
        let mut list = List { partial: hidden, entries: Vec::new() };
        for pid in machine.pids()? {
            match machine.file(pid, "stat") {
                Ok(Some(bytes)) => {
                    let Some(stat) = proc::stat(&bytes).filter(|stat| stat.parent != KERNEL) else { continue };
                    let mut arguments = Vec::new();
                    if self.depth == Depth::Arguments {
                        match machine.file(pid, "cmdline") {
                            Ok(bytes) => arguments = proc::arguments(&bytes.unwrap_or_default()),
                            Err(Failure::PermissionDenied) => list.partial = true,
                            Err(failure) => return Err(failure),
                        }
                    }
                    list.entries.push(Entry { stat, arguments });
                }
                // It ended meanwhile.
                Ok(None) => {}
                Err(Failure::PermissionDenied) => list.partial = true,
                Err(failure) => return Err(failure),
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: u32, parent: u32, started: u64, name: &str, arguments: &[&str]) -> Entry {
        let stat = Stat {
            pid,
            name: name.to_owned(),
            state: RunState::Able,
            parent,
            cpu: Duration::ZERO,
            started,
            address_space: 0,
        };
        Entry { stat, arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect() }
    }

    fn list() -> List {
        let entries = vec![
            entry(20, 1, 90, "python3", &["/usr/bin/python3", "-m", "celery", "worker", "-Q", "mail"]),
            entry(21, 20, 91, "python3", &["/usr/bin/python3", "-m", "celery", "worker", "-Q", "mail"]),
            entry(22, 21, 92, "ffmpeg", &["ffmpeg"]),
            entry(10, 1, 50, "python3", &["python3", "-m", "celery", "worker", "-Q", "mail"]),
            entry(30, 1, 60, "sh", &["sh", "-c", "python3 -m celery worker"]),
            entry(40, 1, 70, "a-long-name-of-", &["/opt/a-long-name-of-a-program"]),
        ];
        List { entries, partial: false }
    }

    fn pids(stats: &[Stat]) -> Vec<u32> {
        stats.iter().map(|stat| stat.pid).collect()
    }

    #[test]
    fn a_tree_is_a_process_with_all_its_descendants() {
        let list = list();
        let root = list.entries.first().map(|entry| entry.stat.clone());
        assert_eq!(root.map(|root| pids(&list.tree(&root))), Some(vec![20, 21, 22]));
    }

    #[test]
    fn children_that_match_belong_to_their_parent_and_the_oldest_comes_first() {
        let matching = |name: &str, arguments: Option<&str>| {
            pids(&list().matching(&Pattern::new(name), arguments.map(Pattern::new).as_ref()))
        };
        assert_eq!(matching("python3", Some("celery worker")), [10, 20]);
        assert_eq!(matching("python*", Some("worker -Q m?il")), [10, 20]);
        assert_eq!(matching("python3", Some("-Q images")), [0; 0]);
        assert_eq!(matching("python", None), [0; 0], "a name is whole, unless it says otherwise");
        assert_eq!(matching("a-long-name-of-a-program", None), [40], "the kernel keeps 15 letters of a name");
    }

    #[test]
    fn a_zombie_matches_nothing() {
        let mut list = list();
        for entry in &mut list.entries {
            entry.stat.state = RunState::Zombie;
        }
        assert_eq!(pids(&list.matching(&Pattern::new("python3"), None)), [0; 0]);
    }

    #[test]
    fn patterns_match_as_a_whole_and_go_back_to_the_last_star() {
        let is = |pattern: &str, text: &str| Pattern::new(pattern).is(text);
        assert!(is("a*b*c", "axxbxxbxxc") && is("*", "") && is("a?c", "abc") && is("", "") && is("a**", "a"));
        assert!(!is("a*b*c", "axxbxxbxx") && !is("a", "") && !is("", "a") && !is("a?c", "ac"));
        assert!(is("[x]", "[x]"), "brackets are letters");
    }
}
