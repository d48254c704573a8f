//! The files of `/proc/<pid>`, and pid files. A process chooses its own name and arguments in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::read::proc;

fuzz_target!(|data: &[u8]| {
    if let Some(stat) = proc::stat(data) {
        assert_eq!(Some(&stat), proc::stat(data).as_ref());
        // Whatever a process calls itself, its numbers are those behind the last bracket.
        let mut renamed = Vec::from(format!("{} (", stat.pid));
        renamed.extend_from_slice(b") R 1 (a) b) ");
        let close = data.iter().rposition(|byte| *byte == b')').expect("it was read");
        renamed.extend_from_slice(&data[close..]);
        let other = proc::stat(&renamed).expect("only its name is another");
        assert_eq!(
            (other.pid, other.parent, other.started, other.cpu),
            (stat.pid, stat.parent, stat.started, stat.cpu)
        );
    }
    assert_ne!(proc::pid_file(data), Some(0));
    for bytes in [proc::resident(data), proc::share(data)].into_iter().flatten() {
        assert_eq!(bytes % 1024, 0, "{bytes} bytes in whole KiB");
    }
    let _ = (proc::boot_time(data), proc::address_space_limit(data));
    let arguments = proc::arguments(data);
    assert!(arguments.len() <= data.len().max(1));
    assert_eq!(arguments.is_empty(), data.is_empty() || data == b"\0");
});
