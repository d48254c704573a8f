//! The worker as our child: started, given its signals, reaped, and answered for.
//!
//! We may be process 1 of a container, so whoever loses its parent becomes ours to reap. There is one reaper and it waits
//! for everybody; a library that waits for its own child beside it would race with it for the status.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{self, SignalKind};

/// What is passed on, and whether it asks the worker to leave.
const FORWARDED: [(Signal, Meaning); 6] = [
    (Signal::TERM, Meaning::Leave),
    (Signal::INT, Meaning::Leave),
    (Signal::QUIT, Meaning::Leave),
    (Signal::HUP, Meaning::Other),
    (Signal::USR1, Meaning::Other),
    (Signal::USR2, Meaning::Other),
];

/// What a signal means to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It shall finish and go.
    Leave,
    /// Its own affair.
    Other,
}

/// Something happened to the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal was passed on.
    Signalled(Meaning),
    /// It ended; this is what we end with.
    Ended(u8),
}

/// The child, and the signals that are meant for it.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    signals: Vec<(Signal, Meaning, unix::Signal)>,
    ended: unix::Signal,
}

impl Child {
    /// Starts `command`. It gets our standard streams and our environment.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(command: &[OsString]) -> io::Result<Self> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command"))?;
        // Before the child is there: a signal that comes in between waits for it instead of ending us.
        let ended = unix::signal(SignalKind::child())?;
        let mut signals = Vec::with_capacity(FORWARDED.len());
        for (signal, meaning) in FORWARDED {
            signals.push((signal, meaning, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        }
        // Not everywhere: without it orphans go to process 1, which is where they went before us.
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            tracing::debug!(%error, "orphans of the worker are not ours to reap");
        }
        // A group of its own, so that Ctrl-C on a terminal reaches it once, through us, and not twice.
        let started = Command::new(program).args(arguments).process_group(0).spawn()?;
        let pid = i32::try_from(started.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the child has no process id"))?;
        Ok(Self { pid, signals, ended })
    }

    /// Its process id.
    #[must_use]
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for what happens next. To be called again until it has ended.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            // First: it may have ended before anybody listened.
            if let Some(code) = self.reap() {
                return Event::Ended(code);
            }
            let (ended, signals) = (&mut self.ended, &mut self.signals);
            let came = std::future::poll_fn(|cx| {
                for (signal, meaning, stream) in signals.iter_mut() {
                    if stream.poll_recv(cx).is_ready() {
                        return std::task::Poll::Ready(Some((*signal, *meaning)));
                    }
                }
                ended.poll_recv(cx).map(|_| None)
            });
            if let Some((signal, meaning)) = came.await {
                self.pass_on(signal);
                return Event::Signalled(meaning);
            }
        }
    }

    /// To the child alone, as an orchestrator would: its own children are its own affair. A process group would end the
    /// pool of a Celery worker in the middle of its tasks.
    fn pass_on(&self, signal: Signal) {
        match rustix::process::kill_process(self.pid, signal) {
            Ok(()) => tracing::info!(signal = signal.as_raw(), "signal passed on to the worker"),
            // It has ended; the next round reaps it.
            Err(error) => tracing::debug!(%error, "signal not passed on"),
        }
    }

    /// Takes notice of everybody who has ended. The child's exit code, when it is among them.
    fn reap(&self) -> Option<u8> {
        let mut code = None;
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => code = ended_with(status).or(code),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return code,
            }
        }
    }
}

/// Its exit code, or 128 and the signal that ended it, as a shell says it.
fn ended_with(status: WaitStatus) -> Option<u8> {
    let by_signal = || status.terminating_signal().map(|signal| signal + 128);
    status.exit_status().or_else(by_signal).map(|code| u8::try_from(code).unwrap_or(1))
}
