//! The files of a control group, and which groups a process is in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::read::cgroup;
use worker_exporter_fuzz::halves;

fuzz_target!(|data: &[u8]| {
    let membership = cgroup::membership(data);
    let paths = ["memory", "cpu", "cpuacct"].map(|name| membership.of(name).map(|(_, path)| path));
    for path in paths.into_iter().chain([membership.unified()]).flatten() {
        assert!(path.starts_with('/') && !path.split('/').any(|part| part == ".."), "it leads out: {path}");
    }
    let (first, second) = halves(data);
    for cores in [cgroup::cpu_max(data), cgroup::cfs(first, second)].into_iter().flatten() {
        assert!(cores.is_finite() && cores > 0.0, "{cores} cores");
    }
    assert!(cgroup::limit(data).is_none_or(|limit| limit < 1 << 60));
    let _ = (cgroup::usage(data), cgroup::usage_v1(data), cgroup::keyed(data, "oom_kill"));
    assert_ne!(cgroup::cpus(data), Some(0), "no CPU is no list");
    assert!(cgroup::processes(data).len() <= data.len());
});
