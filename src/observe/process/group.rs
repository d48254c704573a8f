//! Control groups of this machine, version 1 and version 2: what a group uses, and what it may use.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use verdict::read::cgroup::{self, Membership};
use verdict::words::Failure;

use super::machine::{self, Machine};

/// Nobody nests workers deeper, and a loop of links must end.
const MOST_FOLDERS: usize = 4096;

/// Where a unit is looked for below slices: nested slices and the managers of users.
const MOST_SLICES: usize = 2000;

/// Files of control groups are small; `cgroup.procs` of 100,000 processes fits.
const LARGEST: u64 = 1 << 20;

/// Which interface a folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A group in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Folder {
    version: Version,
    /// Where its hierarchy begins: limits further up hold for it, too.
    root: PathBuf,
    path: PathBuf,
}

impl Folder {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        machine::read(&self.path.join(name), LARGEST).ok()?
    }

    /// It and the groups around it, outwards.
    fn outwards(&self) -> impl Iterator<Item = Self> {
        self.path.ancestors().take_while(move |path| path.starts_with(&self.root)).map(move |path| Self {
            version: self.version,
            root: self.root.clone(),
            path: path.to_path_buf(),
        })
    }
}

/// One control group in all the hierarchies that have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    memory: Option<Folder>,
    cpu: Option<Folder>,
    accounting: Option<Folder>,
    cpuset: Option<Folder>,
    /// Where its processes may be listed, the likeliest first.
    members: Vec<PathBuf>,
}

/// Memory of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// In use, without the file cache that is given back when memory is short.
    pub(super) used: Option<u64>,
    /// The lowest limit of it and the groups around it.
    pub(super) limit: Option<u64>,
}

impl Group {
    /// The groups that a process is in.
    pub(super) fn of_process(machine: &Machine, membership: &Membership) -> Self {
        let find = |controller: &str| {
            if let Some((names, path)) = membership.of(controller) {
                let roots = [machine.control_groups().join(controller), machine.control_groups().join(names)];
                let root = roots.into_iter().find(|root| root.is_dir())?;
                return Some(Folder { version: Version::One, path: below(&root, path), root });
            }
            let root = unified(machine)?;
            Some(Folder { version: Version::Two, path: below(&root, membership.unified()?), root })
        };
        Self {
            memory: find("memory"),
            cpu: find("cpu"),
            accounting: find("cpuacct"),
            cpuset: find("cpuset"),
            members: Vec::new(),
        }
    }

    /// The group with this path, in whichever hierarchies have it; `None` where none has it.
    pub(super) fn at(machine: &Machine, path: &str) -> Option<Self> {
        let hierarchies = hierarchies(machine);
        let find = |controller: &str| {
            hierarchies
                .iter()
                .filter(|(name, version, _)| *version == Version::Two || name.split(',').any(|name| name == controller))
                .map(|(_, version, root)| Folder { version: *version, path: below(root, path), root: root.clone() })
                // Version 1 first: where it has the controller, version 2 has not.
                .filter(|folder| folder.path.is_dir())
                .max_by_key(|folder| folder.version == Version::One)
        };
        let members: Vec<_> =
            hierarchies.iter().map(|(_, _, root)| below(root, path)).filter(|path| path.is_dir()).collect();
        (!members.is_empty()).then(|| Self {
            memory: find("memory"),
            cpu: find("cpu"),
            accounting: find("cpuacct"),
            cpuset: find("cpuset"),
            members,
        })
    }

    /// Its processes and those of the groups inside it.
    pub(super) fn processes(&self) -> Result<Vec<u32>, Failure> {
        for folder in &self.members {
            let processes = processes_below(folder)?;
            if !processes.is_empty() {
                return Ok(processes);
            }
        }
        Ok(Vec::new())
    }

    /// What it uses of memory, and what it may.
    pub(super) fn memory(&self) -> Memory {
        let Some(folder) = &self.memory else { return Memory::default() };
        let (used, stat, cache, limit) = match folder.version {
            Version::One => ("memory.usage_in_bytes", "memory.stat", "total_inactive_file", "memory.limit_in_bytes"),
            Version::Two => ("memory.current", "memory.stat", "inactive_file", "memory.max"),
        };
        let cache = folder.read(stat).and_then(|bytes| cgroup::keyed(&bytes, cache)).unwrap_or_default();
        Memory {
            used: folder.read(used).and_then(|bytes| cgroup::number(&bytes)).map(|used| used.saturating_sub(cache)),
            limit: folder.outwards().filter_map(|folder| cgroup::limit(&folder.read(limit)?)).min(),
        }
    }

    /// How many of its processes the kernel has killed for memory.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        let folder = self.memory.as_ref()?;
        let file = match folder.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        cgroup::keyed(&folder.read(file)?, "oom_kill")
    }

    /// CPU time of it and the groups inside it.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let folder = self.accounting.as_ref()?;
        match folder.version {
            Version::One => cgroup::usage_v1(&folder.read("cpuacct.usage")?),
            Version::Two => cgroup::usage(&folder.read("cpu.stat")?),
        }
    }

    /// Cores that it may use, where it is limited: by quota or by a set of CPUs.
    #[expect(clippy::cast_precision_loss, reason = "a count of CPUs")]
    pub(super) fn cores(&self) -> Option<f64> {
        let quota = |folder: &Folder| match folder.version {
            Version::One => cgroup::cfs(&folder.read("cpu.cfs_quota_us")?, &folder.read("cpu.cfs_period_us")?),
            Version::Two => cgroup::cpu_max(&folder.read("cpu.max")?),
        };
        let set = |folder: &Folder| {
            let files: &[_] = match folder.version {
                Version::One => &["cpuset.effective_cpus", "cpuset.cpus"],
                Version::Two => &["cpuset.cpus.effective"],
            };
            files.iter().find_map(|file| cgroup::cpus(&folder.read(file)?)).filter(|count| *count > 0)
        };
        let quotas = self.cpu.iter().flat_map(Folder::outwards).filter_map(|folder| quota(&folder));
        let sets = self.cpuset.iter().flat_map(Folder::outwards).find_map(|folder| set(&folder));
        quotas.chain(sets.map(|count| count as f64)).min_by(f64::total_cmp)
    }
}

/// The path of a unit's control group; `None` where it has none, since it does not run.
///
/// # Errors
/// [`Failure::InvalidArgument`] when several units have this name: of several users, say.
pub(super) fn unit(machine: &Machine, name: &str) -> Result<Option<String>, Failure> {
    let mut found: Option<PathBuf> = None;
    for (_, _, root) in hierarchies(machine) {
        for path in units_below(&root, name)? {
            if found.as_ref().is_some_and(|other| *other != path) {
                return Err(Failure::InvalidArgument);
            }
            found = Some(path);
        }
    }
    Ok(found.and_then(|path| Some(path.to_str()?.to_owned())))
}

/// Every folder of this name in the slices of one hierarchy, relative to its root.
fn units_below(root: &Path, name: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut slices = VecDeque::from([root.to_path_buf()]);
    let mut looked = 0;
    while let Some(slice) = slices.pop_front() {
        looked += 1;
        if looked > MOST_SLICES {
            return Err(Failure::Paging);
        }
        let unit = slice.join(name);
        if slice != root && unit.is_dir() {
            found.extend(unit.strip_prefix(root).map(Path::to_path_buf));
        }
        let Ok(entries) = std::fs::read_dir(&slice) else { continue };
        slices.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let manager = name.starts_with("user@") && name.ends_with(".service");
            (name.ends_with(".slice") || manager) && path.is_dir()
        }));
    }
    Ok(found)
}

/// The hierarchies of this machine: the names of their controllers, and where they begin. Version 2 first, then the one
/// in which systemd keeps its units.
fn hierarchies(machine: &Machine) -> Vec<(String, Version, PathBuf)> {
    let root = machine.control_groups();
    let mut all: Vec<_> = unified(machine).into_iter().map(|root| (String::new(), Version::Two, root)).collect();
    if all.iter().any(|(_, _, at)| at == root) {
        return all;
    }
    let Ok(entries) = std::fs::read_dir(root) else { return all };
    let mut first: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            let path = entry.path();
            (name != "unified" && path.is_dir()).then_some((name, Version::One, path))
        })
        .collect();
    first.sort_by_key(|(name, _, _)| (name != "systemd", name != "memory", name.clone()));
    all.extend(first);
    all
}

/// Where version 2 is mounted, if it is: alone, or beside version 1.
fn unified(machine: &Machine) -> Option<PathBuf> {
    let root = machine.control_groups();
    [root.to_path_buf(), root.join("unified")].into_iter().find(|root| root.join("cgroup.controllers").is_file())
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn processes_below(folder: &Path) -> Result<Vec<u32>, Failure> {
    let mut processes = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        looked += 1;
        if looked > MOST_FOLDERS {
            return Err(Failure::Paging);
        }
        match machine::read(&folder.join("cgroup.procs"), LARGEST) {
            Ok(bytes) => processes.extend(cgroup::processes(&bytes.unwrap_or_default())),
            // A group of threads alone lists none; its processes stand further up.
            Err(Failure::Internal) => {}
            Err(failure) => return Err(failure),
        }
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        folders.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    Ok(processes)
}

#[cfg(test)]
mod tests;
