//! What the files of `/proc/<pid>` say, and what a pid file says. Linux writes them; a process may choose its own name in
//! them, so nothing here trusts a blank or a bracket.

use std::time::Duration;

/// Ticks a second in `/proc/<pid>/stat`: fixed in the interface to programs, whatever the kernel's own clock does.
pub const TICKS: u64 = 100;

/// What a process is doing, by the letter in its `stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// `R`, `S`, `I` and whatever else lets it go on.
    Able,
    /// `D`: it waits for a device or a file system, and not even SIGKILL wakes it.
    Waiting,
    /// `T`: stopped by a signal. It does nothing until it is continued.
    Stopped,
    /// `t`: stopped by a debugger.
    Traced,
    /// `Z` or `X`: it has exited, and nobody has collected it yet.
    Zombie,
}

impl RunState {
    fn of(letter: u8) -> Self {
        match letter {
            b'D' => Self::Waiting,
            b'T' => Self::Stopped,
            b't' => Self::Traced,
            b'Z' | b'X' | b'x' => Self::Zombie,
            _ => Self::Able,
        }
    }
}

/// One process, as its `stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its id, in the namespace of whoever mounted this `/proc`.
    pub pid: u32,
    /// Its name, at most 15 bytes of it.
    pub name: String,
    /// What it is doing.
    pub state: RunState,
    /// Its parent.
    pub parent: u32,
    /// CPU time of its own and of the children that it has collected.
    pub cpu: Duration,
    /// When it started, in ticks since the machine did. With the pid it names an incarnation: pids are used again.
    pub started: u64,
    /// Address space, bytes.
    pub address_space: u64,
}

/// Reads `/proc/<pid>/stat`.
#[must_use]
pub fn stat(bytes: &[u8]) -> Option<Stat> {
    // The name may hold anything, brackets too: the last one closes it.
    let open = bytes.iter().position(|byte| *byte == b'(')?;
    let close = bytes.iter().rposition(|byte| *byte == b')')?;
    let pid = number(text(bytes.get(..open)?)?)?;
    let name = String::from_utf8_lossy(bytes.get(open + 1..close)?).into_owned();
    let fields: Vec<&str> = text(bytes.get(close + 1..)?)?.split_ascii_whitespace().collect();
    let field = |at: usize| fields.get(at).copied();
    let ticks = |at: usize| -> Option<u64> { number(field(at)?) };
    // utime, stime, cutime, cstime; the last two are signed in the interface and never negative.
    let cpu = (11..15).try_fold(0_u64, |sum, at| Some(sum.saturating_add(ticks(at)?)))?;
    Some(Stat {
        pid: u32::try_from(pid).ok()?,
        name,
        state: RunState::of(*field(0)?.as_bytes().first()?),
        parent: u32::try_from(number(field(1)?)?).ok()?,
        cpu: Duration::from_millis(cpu.saturating_mul(1000 / TICKS)),
        started: ticks(19)?,
        address_space: ticks(20)?,
    })
}

/// The pid in a pid file: a number on its first line, whatever follows (postmaster.pid has more lines).
#[must_use]
pub fn pid_file(bytes: &[u8]) -> Option<u32> {
    let line = text(bytes.split(|byte| *byte == b'\n').next()?)?.trim();
    let pid = u32::try_from(number(line)?).ok()?;
    (pid > 0).then_some(pid)
}

/// When the machine started, in seconds since 1970, by its wall clock now: `btime` of `/proc/stat`.
#[must_use]
pub fn boot_time(bytes: &[u8]) -> Option<u64> {
    row(bytes, "btime").and_then(number)
}

/// How many CPUs are online: the `cpu0`, `cpu1` … of `/proc/stat`.
#[must_use]
pub fn online(bytes: &[u8]) -> usize {
    let is_cpu = |line: &&[u8]| {
        line.strip_prefix(b"cpu").and_then(|rest| rest.first()).is_some_and(|byte| byte.is_ascii_digit())
    };
    bytes.split(|byte| *byte == b'\n').filter(is_cpu).count()
}

/// Resident memory from `/proc/<pid>/status`, bytes. A zombie has none.
#[must_use]
pub fn resident(bytes: &[u8]) -> Option<u64> {
    kibibytes(row(bytes, "VmRSS:")?)
}

/// Its share of memory from `/proc/<pid>/smaps_rollup`, bytes: what several processes share is divided among them.
#[must_use]
pub fn share(bytes: &[u8]) -> Option<u64> {
    kibibytes(row(bytes, "Pss:")?)
}

/// The soft limit on its address space from `/proc/<pid>/limits`, bytes; `None` when unlimited.
#[must_use]
pub fn address_space_limit(bytes: &[u8]) -> Option<u64> {
    number(row(bytes, "Max address space")?.split_ascii_whitespace().next()?)
}

/// The arguments from `/proc/<pid>/cmdline`, the program first. A process can overwrite them, with blanks even.
#[must_use]
pub fn arguments(bytes: &[u8]) -> Vec<String> {
    let ended = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if ended.is_empty() {
        return Vec::new();
    }
    ended.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// The rest of the first line that begins with `name`.
fn row<'b>(bytes: &'b [u8], name: &str) -> Option<&'b str> {
    bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes())).and_then(text).map(str::trim)
}

fn kibibytes(value: &str) -> Option<u64> {
    number(value.strip_suffix("kB")?.trim_end())?.checked_mul(1024)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim_ascii();
    // `+7` would parse, and is nothing that Linux or a pid file holds.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    const STAT: &[u8] = b"4711 (celery: worker (1)) S 1 4711 4711 0 -1 4194560 9000 80 0 0 120 30 7 3 20 0 5 0 123456 \
        1048576000 20000 18446744073709551615 1 1 0 0 0 0 0 16781312 17642 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn a_stat_with_brackets_and_blanks_in_its_name_is_read() {
        let read = stat(STAT).unwrap();
        assert_eq!((read.pid, read.parent, read.started), (4711, 1, 123_456));
        assert_eq!(read.name, "celery: worker (1)");
        assert_eq!(read.state, RunState::Able);
        assert_eq!(read.cpu, Duration::from_millis(1600), "its own and that of collected children");
        assert_eq!(read.address_space, 1_048_576_000);
    }

    #[test]
    fn each_letter_has_its_meaning() {
        let with = |letter: &str| {
            let text = String::from_utf8_lossy(STAT).replace(") S ", &format!(") {letter} "));
            stat(text.as_bytes()).unwrap().state
        };
        assert_eq!(with("R"), RunState::Able);
        assert_eq!(with("I"), RunState::Able);
        assert_eq!(with("D"), RunState::Waiting);
        assert_eq!(with("T"), RunState::Stopped);
        assert_eq!(with("t"), RunState::Traced);
        assert_eq!(with("Z"), RunState::Zombie);
        assert_eq!(with("X"), RunState::Zombie);
    }

    #[test]
    fn a_stat_that_was_cut_or_is_something_else_is_not_read() {
        for bytes in [&b""[..], b"4711", b"4711 (a", b"4711 (a) S", b")(", b"x (a) S 1 2 3", &STAT[..90]] {
            assert_eq!(stat(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_pid_file_holds_a_number_on_its_first_line() {
        assert_eq!(pid_file(b"4711"), Some(4711));
        assert_eq!(pid_file(b" 4711 \r\n/var/lib/data\n"), Some(4711));
        for bytes in [&b""[..], b"\n4711\n", b"0", b"-1", b"+7", b"4711 4712", b"abc", b"99999999999", b"\xff"] {
            assert_eq!(pid_file(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn rows_are_found_by_their_names() {
        assert_eq!(boot_time(b"cpu  1 2 3\nbtime 1764000000\nprocesses 9\n"), Some(1_764_000_000));
        assert_eq!(boot_time(b"cpu 1\n"), None);
        assert_eq!(online(b"cpu  9 9\ncpu0 4 4\ncpu1 5 5\nintr 7\n"), 2);
        assert_eq!(resident(b"Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2 << 20));
        assert_eq!(resident(b"Name:\tx\nState:\tZ (zombie)\n"), None);
        assert_eq!(
            share(b"0-f ---p 0 00:00 0 [rollup]\nRss: 100 kB\nPss:      50 kB\nPss_Dirty: 9 kB\n"),
            Some(51_200)
        );
        let limits =
            |value: &str| format!("Limit  Soft  Hard  Units\nMax address space         {value} unlimited bytes\n");
        assert_eq!(address_space_limit(limits("unlimited").as_bytes()), None);
        assert_eq!(address_space_limit(limits("1073741824").as_bytes()), Some(1 << 30));
    }

    #[test]
    fn arguments_are_split_where_they_end() {
        assert_eq!(arguments(b"python3\0-m\0celery worker\0"), ["python3", "-m", "celery worker"]);
        assert_eq!(
            arguments(b"nginx: worker process"),
            ["nginx: worker process"],
            "as a process may write them itself"
        );
        assert!(arguments(b"").is_empty(), "a kernel thread has none");
        assert_eq!(arguments(b"a\0\0b\0"), ["a", "", "b"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (stat(&bytes), pid_file(&bytes), boot_time(&bytes), resident(&bytes), share(&bytes));
            let _ = (address_space_limit(&bytes), arguments(&bytes), online(&bytes));
        }

        #[test]
        fn no_name_moves_the_other_fields(name in "\\PC{0,15}") {
            let text = String::from_utf8_lossy(STAT).replace("celery: worker (1)", &name);
            let read = stat(text.as_bytes()).unwrap();
            prop_assert_eq!((read.pid, read.parent, read.started), (4711, 1, 123_456));
            prop_assert_eq!(read.name, name);
        }
    }
}
