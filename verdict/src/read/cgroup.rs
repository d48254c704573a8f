//! What the files of a control group say, in version 1 and version 2, and which groups a process is in.

use std::time::Duration;

/// Version 1 writes "no limit" as the largest number of whole pages, which depends on the page size. No machine has as
/// much memory as this.
const UNLIMITED: u64 = 1 << 60;

/// The control groups of a process: one path for each hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    rows: Vec<(String, String)>,
}

impl Membership {
    /// Its path in the hierarchy of `controller` and the name of that hierarchy's folder: `cpu,cpuacct`. `None` where
    /// version 1 does not have the controller.
    #[must_use]
    pub fn of(&self, controller: &str) -> Option<(&str, &str)> {
        self.rows
            .iter()
            .find(|(names, _)| names.split(',').any(|name| name == controller))
            .map(|(names, path)| (names.as_str(), path.as_str()))
    }

    /// Its path in the one hierarchy of version 2.
    #[must_use]
    pub fn unified(&self) -> Option<&str> {
        self.rows.iter().find(|(names, _)| names.is_empty()).map(|(_, path)| path.as_str())
    }
}

/// Reads `/proc/<pid>/cgroup`. Paths that lead out of our own namespace are left out: they name nothing that we can see.
#[must_use]
pub fn membership(bytes: &[u8]) -> Membership {
    let row = |line: &[u8]| {
        let mut parts = std::str::from_utf8(line).ok()?.splitn(3, ':');
        let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let ours = path.starts_with('/') && !path.split('/').any(|part| part == "..");
        ours.then(|| (names.to_owned(), path.to_owned()))
    };
    Membership { rows: bytes.split(|byte| *byte == b'\n').filter_map(row).collect() }
}

/// A limit in bytes; `None` when there is none (`max`, or version 1's largest number).
#[must_use]
pub fn limit(bytes: &[u8]) -> Option<u64> {
    number(bytes).filter(|limit| *limit < UNLIMITED)
}

/// A file with one whole number.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?.trim_ascii();
    digits(text)
}

/// The number beside `key` in a file of `key number` lines: `memory.events`, `memory.stat`, `memory.oom_control`,
/// `cpu.stat`.
#[must_use]
pub fn keyed(bytes: &[u8], key: &str) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| digits(value.trim_ascii()))?
    })
}

/// Cores that `cpu.max` of version 2 allows: `quota period`; `None` when it says `max`.
#[must_use]
pub fn cpu_max(bytes: &[u8]) -> Option<f64> {
    let mut parts = std::str::from_utf8(bytes).ok()?.split_ascii_whitespace();
    cores(digits(parts.next()?)?, digits(parts.next()?)?)
}

/// Cores that `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1 allow; `None` when the quota is -1.
#[must_use]
pub fn cfs(quota: &[u8], period: &[u8]) -> Option<f64> {
    cores(number(quota)?, number(period)?)
}

fn cores(quota: u64, period: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a second")]
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// CPU time from `cpu.stat` of version 2.
#[must_use]
pub fn usage(bytes: &[u8]) -> Option<Duration> {
    keyed(bytes, "usage_usec").map(Duration::from_micros)
}

/// CPU time from `cpuacct.usage` of version 1.
#[must_use]
pub fn usage_v1(bytes: &[u8]) -> Option<Duration> {
    number(bytes).map(Duration::from_nanos)
}

/// How many CPUs a list such as `0-3,7` names; `None` when it is empty or no list.
#[must_use]
pub fn cpus(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?.trim_ascii();
    let mut count = 0_u64;
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (digits(from)?, digits(to)?);
        count = count.checked_add(to.checked_sub(from)?.checked_add(1)?)?;
    }
    Some(count)
}

/// The processes of `cgroup.procs`. 0 is a process that our namespace does not show.
#[must_use]
pub fn processes(bytes: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter_map(|line| u32::try_from(digits(line)?).ok()).collect()
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_process_of_version_1_has_a_path_for_each_controller() {
        let read = membership(
            b"12:name=systemd:/system.slice/mail.service\n4:memory:/system.slice/mail.service\n\
              2:cpu,cpuacct:/a:b\n0::/unified\n",
        );
        assert_eq!(read.of("memory"), Some(("memory", "/system.slice/mail.service")));
        assert_eq!(read.of("cpuacct"), Some(("cpu,cpuacct", "/a:b")));
        assert_eq!(read.of("name=systemd"), Some(("name=systemd", "/system.slice/mail.service")));
        assert_eq!(read.of("pids"), None);
        assert_eq!(read.unified(), Some("/unified"));
    }

    #[test]
    fn a_process_of_version_2_has_one_path() {
        let read = membership(b"0::/system.slice/mail.service\n");
        assert_eq!((read.unified(), read.of("memory")), (Some("/system.slice/mail.service"), None));
        assert_eq!(membership(b"0::/gone (deleted)\n").unified(), Some("/gone"));
    }

    #[test]
    fn a_path_that_leads_out_of_our_namespace_is_none() {
        assert_eq!(membership(b"0::/../../kubepods/x\n").unified(), None);
        assert_eq!(membership(b"0::relative\n").unified(), None);
        assert_eq!(membership(b"garbage\n\xff::\n").unified(), None);
    }

    #[test]
    fn no_limit_is_none_in_both_versions() {
        assert_eq!(limit(b"max\n"), None);
        assert_eq!(limit(b"9223372036854771712\n"), None, "pages of 4 KiB");
        assert_eq!(limit(b"9223372036854710272\n"), None, "pages of 64 KiB");
        assert_eq!(limit(b"536870912\n"), Some(512 << 20));
        for bytes in [&b""[..], b"-1\n", b"12 13\n", b"\xff"] {
            assert_eq!(limit(bytes).filter(|limit| *limit > 0), None);
        }
    }

    #[test]
    fn counters_stand_beside_their_keys() {
        let events = b"low 0\nhigh 3\nmax 7\noom 1\noom_kill 2\noom_group_kill 0\n";
        assert_eq!((keyed(events, "oom_kill"), keyed(events, "oom")), (Some(2), Some(1)));
        assert_eq!(keyed(b"oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill"), Some(1));
        assert_eq!(keyed(b"oom_kill\n", "oom_kill"), None);
        assert_eq!(usage(b"usage_usec 1500000\nuser_usec 1\n"), Some(Duration::from_millis(1500)));
        assert_eq!(usage_v1(b"1500000000\n"), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn quotas_are_cores() {
        assert_eq!(cpu_max(b"max 100000\n"), None);
        assert_eq!(cpu_max(b"150000 100000\n"), Some(1.5));
        assert_eq!(cfs(b"-1\n", b"100000\n"), None);
        assert_eq!(cfs(b"50000\n", b"100000\n"), Some(0.5));
        assert_eq!(cfs(b"50000\n", b"0\n"), None);
    }

    #[test]
    fn a_list_of_cpus_is_counted() {
        assert_eq!(cpus(b"0-3,7\n"), Some(5));
        assert_eq!(cpus(b"2\n"), Some(1));
        for bytes in [&b""[..], b"\n", b"3-1", b"a", b"0-18446744073709551615"] {
            assert_eq!(cpus(bytes).filter(|count| *count > 0), None, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn processes_stand_one_on_a_line() {
        assert_eq!(processes(b"1\n4711\n"), [1, 4711]);
        assert!(processes(b"").is_empty());
        assert_eq!(processes(b"x\n7\n"), [7]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (membership(&bytes), limit(&bytes), keyed(&bytes, "oom_kill"), cpu_max(&bytes), cfs(&bytes, &bytes));
            let _ = (usage(&bytes), usage_v1(&bytes), cpus(&bytes), processes(&bytes));
        }
    }
}
