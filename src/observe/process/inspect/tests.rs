//! On folders with the files that the kernel writes, where a life must be told to the letter; processes and control groups
//! of a real kernel are in `tests/real/test_process.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const GROUP: &str = "jobs/mail";

/// A machine whose kernel is a folder.
struct Scene {
    folder: TempDir,
    inspector: Inspector,
    past: Past,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let machine = Machine::at(at("proc"), at("cgroup"));
        let scene = Self { inspector: Inspector::new(machine), past: Past::default(), folder };
        scene.write("proc/stat", "cpu 1\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nbtime 1700000000\n");
        scene.write("cgroup/cgroup.controllers", "cpu memory\n");
        scene.write(&format!("cgroup/{GROUP}/memory.max"), "1073741824\n");
        scene.write(&format!("cgroup/{GROUP}/cpu.max"), "200000 100000\n");
        scene.write(&format!("cgroup/{GROUP}/memory.events"), "oom 0\noom_kill 0\n");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A process with so many ticks of CPU.
    fn process(&self, pid: u32, parent: u32, letter: char, started: u64, ticks: u64) {
        let text = format!(
            "{pid} (python3) {letter} {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {started} 2147483648 500 0\n"
        );
        self.write(&format!("proc/{pid}/stat"), &text);
        self.write(&format!("proc/{pid}/status"), "Name:\tpython3\nVmRSS:\t  262144 kB\n");
        self.write(&format!("proc/{pid}/cmdline"), "python3\0-m\0mail\0");
        self.write(&format!("proc/{pid}/cgroup"), &format!("0::/{GROUP}\n"));
    }

    fn end(&self, pid: u32) {
        fs::remove_dir_all(self.path(&format!("proc/{pid}"))).unwrap();
    }

    fn look(&mut self, locate: &Locate) -> Result<Inspection, Failure> {
        // Each look is one of its own time.
        self.inspector.processes = Census::new(Depth::Stat);
        self.inspector.titles = Census::new(Depth::Arguments);
        let inspection = self.inspector.inspect(locate, self.past.clone())?;
        self.past = inspection.past.clone();
        Ok(inspection)
    }

    fn host(&mut self, locate: &Locate) -> Host {
        self.look(locate).unwrap().host
    }

    fn pid(&mut self, locate: &Locate) -> Option<u32> {
        self.look(locate).unwrap().incarnation.map(|incarnation| incarnation.pid)
    }

    /// Lets the last look be so long ago.
    fn wait(&mut self, time: Duration) {
        if let Some((at, _)) = &mut self.past.cpu {
            *at -= time;
        }
    }
}

fn name(slot: usize, of: usize) -> Locate {
    Locate::Name { name: "python3".into(), arguments: Some("-m mail".into()), slot, of }
}

#[test]
fn a_process_is_there_with_its_start_its_memory_and_the_limits_of_its_group() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 0);
    let found = scene.look(&Locate::Pid(7)).unwrap();
    assert_eq!((found.host, found.pids), (Host::Able, vec![7]));
    let started = found.incarnation.unwrap().start_time.unwrap();
    assert!((started.seconds() - 1_700_000_010.0).abs() < 0.001);
    assert_eq!(found.numbers.memory_bytes, Some(256 << 20));
    assert_eq!(found.numbers.memory_limit_bytes, Some(1 << 30));
    assert_eq!(found.numbers.cpu_ratio, None, "one look shows no use over time");
    assert_eq!(&*found.notes[0], "process 7 (python3); CPU is of 2.00 cores");
}

#[test]
fn cpu_is_what_was_used_between_two_looks_of_the_cores_that_it_may_use() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 100);
    scene.look(&Locate::Pid(7)).unwrap();
    scene.wait(Duration::from_secs(10));
    scene.process(7, 1, 'S', 1000, 1100);
    let ratio = scene.look(&Locate::Pid(7)).unwrap().numbers.cpu_ratio.unwrap();
    assert!((ratio - 0.5).abs() < 0.01, "10 s of CPU in 10 s on 2 cores: {ratio}");
    scene.process(7, 1, 'S', 1000, 1200);
    assert_eq!(scene.look(&Locate::Pid(7)).unwrap().numbers.cpu_ratio, None, "too short after the look before");
    scene.wait(Duration::from_secs(10));
    let ratio = scene.look(&Locate::Pid(7)).unwrap().numbers.cpu_ratio.unwrap();
    assert!((ratio - 0.05).abs() < 0.01, "what the short look did not use is counted now: {ratio}");
}

#[test]
fn children_belong_to_the_worker_and_those_that_end_take_nothing_away() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 0);
    scene.process(8, 7, 'R', 1001, 100);
    scene.process(9, 8, 'S', 1002, 0);
    scene.process(10, 1, 'S', 1003, 5000);
    scene.write("proc/8/smaps_rollup", "Rss: 262144 kB\nPss: 1024 kB\n");
    let found = scene.look(&Locate::Pid(7)).unwrap();
    assert_eq!(found.pids, [7, 8, 9]);
    assert_eq!(found.numbers.memory_bytes, Some((256 + 1 + 256) << 20), "its share, where the kernel tells it");
    scene.wait(Duration::from_secs(10));
    scene.end(8);
    scene.end(9);
    let ratio = scene.look(&Locate::Pid(7)).unwrap().numbers.cpu_ratio;
    assert_eq!(ratio, None, "less than before is no use at all");
}

#[test]
fn a_limit_of_address_space_is_judged_by_address_space() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 0);
    scene.write("proc/7/limits", "Max address space         4294967296           unlimited            bytes\n");
    let numbers = scene.look(&Locate::Pid(7)).unwrap().numbers;
    assert_eq!((numbers.memory_limit_bytes, numbers.memory_ratio), (Some(1 << 30), Some(0.5)));
}

#[test]
fn a_zombie_has_exited() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 0);
    assert_eq!(scene.host(&Locate::Pid(7)), Host::Able);
    scene.process(7, 1, 'Z', 1000, 0);
    assert_eq!(scene.host(&Locate::Pid(7)), Host::Gone(Gone::Exited));
}

#[test]
fn a_stopped_process_is_held_and_one_that_waits_only_when_it_uses_no_cpu_from_look_to_look() {
    let mut scene = Scene::new();
    let mut state = |letter, ticks| {
        scene.process(7, 1, letter, 1000, ticks);
        scene.host(&Locate::Pid(7))
    };
    assert_eq!(state('T', 0), Host::Held(Hold::Stopped));
    assert_eq!(state('t', 0), Host::Held(Hold::Traced));
    assert_eq!(state('D', 0), Host::Able);
    assert_eq!(state('D', 1), Host::Able, "it worked in between");
    assert_eq!(state('D', 1), Host::Held(Hold::Waiting));
    assert_eq!(state('S', 1), Host::Able);
    assert_eq!(state('D', 1), Host::Able);
}

#[test]
fn a_process_that_was_killed_for_memory_is_told_from_one_that_exited() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 0);
    scene.host(&Locate::Pid(7));
    scene.write(&format!("cgroup/{GROUP}/memory.events"), "oom 1\noom_kill 1\n");
    scene.end(7);
    assert_eq!(scene.host(&Locate::Pid(7)), Host::Gone(Gone::OomKilled));
    assert_eq!(scene.host(&Locate::Pid(7)), Host::Gone(Gone::OomKilled), "it stays what it was");
    scene.process(7, 1, 'S', 9000, 0);
    assert_eq!(scene.host(&Locate::Pid(7)), Host::Able);
    scene.end(7);
    assert_eq!(scene.host(&Locate::Pid(7)), Host::Gone(Gone::Exited), "the kill before was another's");
}

#[test]
fn the_same_pid_with_another_start_is_another_incarnation() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 500);
    scene.look(&Locate::Pid(7)).unwrap();
    scene.wait(Duration::from_secs(10));
    scene.process(7, 1, 'S', 2000, 10);
    let found = scene.look(&Locate::Pid(7)).unwrap();
    assert_eq!(found.numbers.cpu_ratio, None, "nothing of the other is counted");
    assert!((found.incarnation.unwrap().start_time.unwrap().seconds() - 1_700_000_020.0).abs() < 0.001);
    scene.write("proc/stat", "cpu0 1\nbtime 1700009999\n");
    let found = scene.look(&Locate::Pid(7)).unwrap();
    assert!(
        (found.incarnation.unwrap().start_time.unwrap().seconds() - 1_700_000_020.0).abs() < 0.001,
        "a clock that was set makes no new process"
    );
}

#[test]
fn a_pid_file_that_is_not_there_yet_or_no_more_is_no_process_and_a_known_process_outlives_its_file() {
    let mut scene = Scene::new();
    let locate = Locate::PidFile(scene.path("mail.pid"));
    assert_eq!(scene.host(&locate), Host::Gone(Gone::Exited));
    scene.process(7, 1, 'S', 1000, 0);
    scene.write("mail.pid", "7\n");
    assert_eq!(scene.pid(&locate), Some(7));
    fs::remove_file(scene.path("mail.pid")).unwrap();
    assert_eq!(scene.pid(&locate), Some(7));
    scene.write("mail.pid", "");
    assert_eq!(scene.pid(&locate), Some(7), "about to be written anew");
    scene.end(7);
    assert_eq!(scene.look(&locate).unwrap_err(), Failure::FieldInvalid);
    fs::remove_file(scene.path("mail.pid")).unwrap();
    assert_eq!(scene.host(&locate), Host::Gone(Gone::Exited));
}

#[test]
fn a_pid_file_that_names_a_pid_that_was_used_again_is_not_believed() {
    let mut scene = Scene::new();
    let locate = Locate::PidFile(scene.path("mail.pid"));
    scene.process(7, 1, 'S', 1000, 0);
    scene.write("mail.pid", "7\n");
    assert_eq!(scene.pid(&locate), Some(7));
    // The same file, and somebody else under that pid.
    scene.process(7, 1, 'S', 5000, 0);
    assert_eq!(scene.host(&locate), Host::Gone(Gone::Exited));
    // At first sight it cannot be told from a clock that was set: a failure of ours, and nobody's death.
    let far_ahead = 100 * 365 * 86_400 * 100;
    scene.process(7, 1, 'S', far_ahead, 0);
    scene.past = Past::default();
    assert_eq!(scene.look(&locate).unwrap_err(), Failure::FieldInvalid);
}

#[test]
fn slots_of_a_name_stay_with_who_has_them_and_a_newcomer_takes_the_free_one() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 0);
    scene.process(8, 1, 'S', 1001, 0);
    let pids = |scene: &mut Scene| [0, 1, 2].map(|slot| scene.pid(&name(slot, 3)));
    assert_eq!(pids(&mut scene), [Some(7), Some(8), None]);
    scene.end(7);
    assert_eq!(pids(&mut scene), [None, Some(8), None], "nobody moves up");
    scene.process(9, 1, 'S', 3000, 0);
    assert_eq!(pids(&mut scene), [Some(9), Some(8), None]);
}

#[test]
fn of_more_processes_than_slots_the_oldest_is_the_worker() {
    let mut scene = Scene::new();
    scene.process(8, 1, 'S', 1001, 0);
    scene.process(7, 1, 'S', 1000, 0);
    assert_eq!(scene.pid(&name(0, 1)), Some(7));
    assert_eq!(scene.pid(&Locate::Name { name: "ruby".into(), arguments: None, slot: 0, of: 1 }), None);
}

#[test]
fn a_control_group_is_one_worker_with_the_figures_of_the_whole_group() {
    let mut scene = Scene::new();
    let locate = Locate::Cgroup(format!("/{GROUP}"));
    scene.write(&format!("cgroup/{GROUP}/cgroup.procs"), "8\n");
    scene.write(&format!("cgroup/{GROUP}/inner/cgroup.procs"), "7\n");
    scene.write(&format!("cgroup/{GROUP}/memory.current"), "805306368\n");
    scene.write(&format!("cgroup/{GROUP}/cpu.stat"), "usage_usec 1000000\n");
    scene.process(7, 1, 'S', 1000, 0);
    scene.process(8, 7, 'S', 1001, 0);
    let found = scene.look(&locate).unwrap();
    assert_eq!(found.incarnation.unwrap().pid, 7, "the oldest");
    assert_eq!((found.numbers.memory_bytes, found.numbers.memory_limit_bytes), (Some(768 << 20), Some(1 << 30)));
    scene.wait(Duration::from_secs(10));
    scene.write(&format!("cgroup/{GROUP}/cpu.stat"), "usage_usec 6000000\n");
    let ratio = scene.look(&locate).unwrap().numbers.cpu_ratio.unwrap();
    assert!((ratio - 0.25).abs() < 0.01, "5 s in 10 s on 2 cores: {ratio}");
    fs::remove_dir_all(scene.path(&format!("cgroup/{GROUP}"))).unwrap();
    assert_eq!(scene.host(&locate), Host::Gone(Gone::Exited), "its group is removed with the last process");
}

#[test]
fn a_unit_that_does_not_run_has_no_group() {
    let mut scene = Scene::new();
    let locate = Locate::Unit("mail.service".into());
    assert_eq!(scene.host(&locate), Host::Gone(Gone::Exited));
    scene.process(7, 1, 'S', 1000, 0);
    scene.write("cgroup/system.slice/mail.service/cgroup.procs", "7\n");
    assert_eq!(scene.pid(&locate), Some(7));
}

#[test]
fn without_control_groups_the_machine_is_the_limit_and_memory_has_none() {
    let mut scene = Scene::new();
    scene.process(7, 1, 'S', 1000, 0);
    fs::remove_file(scene.path("proc/7/cgroup")).unwrap();
    let found = scene.look(&Locate::Pid(7)).unwrap();
    assert_eq!((found.numbers.memory_bytes, found.numbers.memory_limit_bytes), (Some(256 << 20), None));
    assert_eq!(&*found.notes[0], "process 7 (python3); CPU is of 4.00 cores");
}
