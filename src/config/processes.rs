//! Sources of kind process to what they need.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keys::Group;
use super::mistake::Place;
use super::reader::Reader;
use super::rules::line;
use super::section::Section;
use super::settings::{Locate, ProcessSource, ProcessWorker};

/// The ways to say where a process is, of which each worker has one.
const WAYS: [&str; 5] = ["pid", "pid_file", "name", "systemd_unit", "cgroup"];

impl Reader<'_> {
    pub(super) fn process(&mut self, section: &mut Section, fleet: &Arc<str>, fleets: &[String]) -> ProcessSource {
        if section.has("workers") && section.list("workers").is_empty() {
            let hint = "add an entry such as `- {id: mail-1, pid_file: /run/mail-1.pid}`";
            self.say(section.at("workers"), "this source has no workers", hint);
        }
        let table = Section::defaults(Group::ProcessWorker);
        let mut workers = Vec::new();
        let mut ids: BTreeMap<(Arc<str>, Arc<str>), Place> = BTreeMap::new();
        for worker in section.sections_mut("workers") {
            worker.inherit(&table);
            self.known_fleet(worker, fleets);
            let fleet = worker.find_text("fleet").map_or_else(|| Arc::clone(fleet), Arc::from);
            for (id, locate) in self.located(worker) {
                if let Some(first) = ids.get(&(Arc::clone(&fleet), Arc::clone(&id))) {
                    let hint = format!("it is already used on {}; give each worker an `id:` of its own", line(first));
                    self.say(worker.at("id"), format!("duplicate worker id \"{id}\" in fleet \"{fleet}\""), hint);
                    continue;
                }
                ids.insert((Arc::clone(&fleet), Arc::clone(&id)), worker.at("id"));
                workers.push(ProcessWorker { id, fleet: Arc::clone(&fleet), locate });
            }
        }
        ProcessSource {
            workers,
            gpu: section.switch("gpu"),
            host: section.find_text("host").map(Arc::from),
            proc: self.path(section.text("proc")),
            cgroups: self.path(section.text("cgroups")),
        }
    }

    /// The workers of one entry: several where it says so.
    fn located(&mut self, worker: &Section) -> Vec<(Arc<str>, Locate)> {
        let id: Arc<str> = Arc::from(worker.text("id"));
        let written: Vec<&str> = WAYS.into_iter().filter(|way| worker.has(way)).collect();
        let wrong = WAYS.iter().any(|way| worker.faulty.iter().any(|name| name == way));
        for key in ["args", "instances"] {
            if worker.has(key) && !written.contains(&"name") && !wrong {
                let hint = "add `name:`, or remove it";
                self.say(worker.at(key), format!("\"{key}\" without a \"name\""), hint);
            }
        }
        let way = match written.as_slice() {
            [way] => *way,
            [] => {
                if !wrong {
                    let hint = "add one of pid, pid_file, name, systemd_unit, cgroup";
                    self.say(worker.place.clone(), format!("nothing says which process \"{id}\" is"), hint);
                }
                return Vec::new();
            }
            [first, second, ..] => {
                let reason = format!("both \"{first}\" and \"{second}\" say which process \"{id}\" is");
                self.say(worker.at(second), reason, "keep one of them");
                return Vec::new();
            }
        };
        let text = worker.text(way);
        let locate = match way {
            "pid" => Locate::Pid(u32::try_from(worker.whole("pid")).unwrap_or(u32::MAX)),
            "pid_file" => Locate::PidFile(self.path(text)),
            "systemd_unit" => {
                if text.contains('/') {
                    let hint = "write its name, such as mail.service; for a path use `cgroup:`";
                    self.say(worker.at(way), format!("\"systemd_unit\" is no name of a unit: \"{text}\""), hint);
                }
                // The suffixes of units that have processes; another dot belongs to the name.
                let whole = [".service", ".scope", ".slice"].iter().any(|suffix| text.ends_with(suffix));
                Locate::Unit(if whole { text.to_owned() } else { format!("{text}.service") })
            }
            "cgroup" => {
                let path = text.trim_matches('/');
                if path.is_empty() || path.split('/').any(|part| part == ".." || part == ".") {
                    let hint = "write a path below the root of the control groups, such as /system.slice/mail.service";
                    self.say(worker.at(way), format!("\"cgroup\" is no path of a control group: \"{text}\""), hint);
                }
                Locate::Cgroup(format!("/{path}"))
            }
            _ => {
                let of = usize::try_from(worker.find_whole("instances").unwrap_or(1)).unwrap_or(1);
                let arguments = worker.find_text("args").map(str::to_owned);
                let instance = |slot: usize| {
                    let id = if slot == 0 { Arc::clone(&id) } else { Arc::from(format!("{id}~{}", slot + 1)) };
                    (id, Locate::Name { name: text.to_owned(), arguments: arguments.clone(), slot, of })
                };
                return (0..of).map(instance).collect();
            }
        };
        vec![(id, locate)]
    }
}
