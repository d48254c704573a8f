//! Version 2 cannot be had on a machine that has version 1, so that both are judged on folders with the files that the
//! kernel writes. Version 1 is tried for real in `tests/real/test_process.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;

use tempfile::TempDir;

use super::*;

fn machine(files: &[(&str, &str)]) -> (TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let machine = Machine::at(folder.path().join("proc"), folder.path().to_path_buf());
    (folder, machine)
}

const SECOND: &[(&str, &str)] = &[
    ("cgroup.controllers", "cpuset cpu memory\n"),
    ("system.slice/memory.max", "1073741824\n"),
    ("system.slice/cpu.max", "max 100000\n"),
    ("system.slice/cpuset.cpus.effective", "0-3\n"),
    ("system.slice/mail.service/memory.current", "300000000\n"),
    ("system.slice/mail.service/memory.max", "2147483648\n"),
    ("system.slice/mail.service/memory.stat", "anon 1\nfile 2\ninactive_file 100000000\n"),
    ("system.slice/mail.service/memory.events", "low 0\nmax 9\noom 2\noom_kill 2\n"),
    ("system.slice/mail.service/cpu.max", "150000 100000\n"),
    ("system.slice/mail.service/cpu.stat", "usage_usec 2500000\nuser_usec 1\nsystem_usec 1\n"),
    ("system.slice/mail.service/cgroup.procs", ""),
    ("system.slice/mail.service/child/cgroup.procs", "4711\n4712\n"),
];

#[test]
fn version_2_is_read_with_the_limits_of_the_groups_around_it() {
    let (_folder, machine) = machine(SECOND);
    let group = Group::at(&machine, "/system.slice/mail.service").unwrap();
    let memory = Memory { used: Some(200_000_000), limit: Some(1 << 30) };
    assert_eq!(group.memory(), memory, "without the cache, under the slice's limit");
    assert_eq!(group.oom_kills(), Some(2));
    assert_eq!(group.cpu_time(), Some(Duration::from_millis(2500)));
    assert_eq!(group.cores(), Some(1.5));
    assert_eq!(group.processes(), Ok(vec![4711, 4712]), "those of the groups inside it");
}

#[test]
fn a_process_of_version_2_is_in_one_group_for_all() {
    let (_folder, machine) = machine(SECOND);
    let group = Group::of_process(&machine, &cgroup::membership(b"0::/system.slice/mail.service\n"));
    assert_eq!(group.memory().limit, Some(1 << 30));
    assert_eq!(group.cores(), Some(1.5));
    let elsewhere = Group::of_process(&machine, &cgroup::membership(b"0::/../../pod\n"));
    assert_eq!((elsewhere.memory(), elsewhere.cores()), (Memory::default(), None), "not in our namespace");
}

#[test]
fn without_a_quota_the_set_of_cpus_is_the_limit_and_without_both_there_is_none() {
    let (_folder, machine) = machine(SECOND);
    assert_eq!(Group::at(&machine, "system.slice").unwrap().cores(), Some(4.0));
    let (_folder, bare) = self::machine(&[("cgroup.controllers", ""), ("a/cgroup.procs", "1\n")]);
    let group = Group::at(&bare, "/a").unwrap();
    assert_eq!(
        (group.cores(), group.memory(), group.cpu_time(), group.oom_kills()),
        (None, Memory::default(), None, None)
    );
}

const FIRST: &[(&str, &str)] = &[
    ("memory/jobs/memory.limit_in_bytes", "536870912\n"),
    ("memory/jobs/a/memory.limit_in_bytes", "9223372036854771712\n"),
    ("memory/jobs/a/memory.usage_in_bytes", "90000000\n"),
    ("memory/jobs/a/memory.stat", "cache 5\ninactive_file 1\ntotal_inactive_file 40000000\n"),
    ("memory/jobs/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
    ("memory/jobs/a/cgroup.procs", "7\n"),
    ("cpu,cpuacct/jobs/a/cpu.cfs_quota_us", "50000\n"),
    ("cpu,cpuacct/jobs/a/cpu.cfs_period_us", "100000\n"),
    ("cpu,cpuacct/jobs/a/cpuacct.usage", "1500000000\n"),
    ("cpuset/jobs/a/cpuset.effective_cpus", "1\n"),
    ("systemd/system.slice/mail.service/cgroup.procs", "9\n"),
    ("unified/cgroup.controllers", ""),
];

#[test]
fn version_1_is_read_from_the_hierarchy_of_each_controller() {
    let (_folder, machine) = machine(FIRST);
    let by_path = Group::at(&machine, "jobs/a").unwrap();
    let by_process = Group::of_process(
        &machine,
        &cgroup::membership(b"4:memory:/jobs/a\n3:cpuset:/jobs/a\n2:cpu,cpuacct:/jobs/a\n0::/\n"),
    );
    for group in [&by_path, &by_process] {
        assert_eq!(group.memory(), Memory { used: Some(50_000_000), limit: Some(512 << 20) });
        assert_eq!(group.oom_kills(), Some(3));
        assert_eq!(group.cpu_time(), Some(Duration::from_millis(1500)));
        assert_eq!(group.cores(), Some(0.5));
    }
    assert_eq!(by_path.processes(), Ok(vec![7]));
    assert_eq!(Group::at(&machine, "/jobs/b"), None);
}

#[test]
fn a_unit_is_found_in_whatever_slice_it_is() {
    let (_folder, machine) = machine(FIRST);
    assert_eq!(unit(&machine, "mail.service"), Ok(Some("system.slice/mail.service".into())));
    assert_eq!(unit(&machine, "other.service"), Ok(None));
    let (_folder, machine) = self::machine(&[
        ("cgroup.controllers", ""),
        ("system.slice/system-mail.slice/mail@1.service/cgroup.procs", "1\n"),
        ("user.slice/user-1000.slice/user@1000.service/app.slice/own.service/cgroup.procs", "1\n"),
        ("user.slice/user-1000.slice/user@1000.service/app.slice/both.service/cgroup.procs", "1\n"),
        ("user.slice/user-1001.slice/user@1001.service/app.slice/both.service/cgroup.procs", "1\n"),
        ("hidden/mail.service/cgroup.procs", "1\n"),
    ]);
    let instance = "system.slice/system-mail.slice/mail@1.service";
    assert_eq!(unit(&machine, "mail@1.service"), Ok(Some(instance.into())));
    let own = "user.slice/user-1000.slice/user@1000.service/app.slice/own.service";
    assert_eq!(unit(&machine, "own.service"), Ok(Some(own.into())));
    assert_eq!(unit(&machine, "both.service"), Err(Failure::InvalidArgument), "which of the two?");
    assert_eq!(unit(&machine, "mail.service"), Ok(None), "a group that is in no slice is no unit");
}
