#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::mpsc;

use verdict::evidence::{Gone, Host, Numbers};

use super::gpu::{Device, Driver, User};
use super::*;
use crate::config::{Detail, ProcessWorker, Source};

const LONG: Duration = Duration::from_secs(20);

fn source(locate: Locate, timeout: Duration, gpus: Option<Arc<Gpus>>) -> ProcessSource {
    let process = config::ProcessSource {
        workers: vec![ProcessWorker { id: "mail-1".into(), fleet: "mail".into(), locate }],
        gpu: gpus.is_some(),
        host: Some("here".into()),
        proc: PathBuf::from("/proc"),
        cgroups: PathBuf::from("/sys/fs/cgroup"),
    };
    let source = Source {
        name: "host".into(),
        fleet: None,
        timeout,
        minimum_interval: Duration::from_secs(1),
        maximum_interval: Duration::from_secs(30),
        match_host_pid: true,
        detail: Detail::Process(process.clone()),
    };
    ProcessSource::with(&source, &process, gpus)
}

async fn look(source: &ProcessSource) -> Observation {
    match source.look(&Scope::Worker(WorkerKey::new("mail", "mail-1"))).await {
        Ok(Report::Worker(observation)) => *observation,
        other => panic!("{other:?}"),
    }
}

fn ours() -> Locate {
    Locate::Pid(std::process::id())
}

/// FAKE: no machine of ours has a GPU.
struct Fake<F>(F);

impl<F: FnMut() -> Result<Vec<Device>, Failure> + Send> Driver for Fake<F> {
    fn devices(&mut self) -> Result<Vec<Device>, Failure> {
        (self.0)()
    }
}

fn gpus<F: FnMut() -> Result<Vec<Device>, Failure> + Send + 'static>(answer: F) -> Arc<Gpus> {
    let answer = Mutex::new(Some(answer));
    Arc::new(Gpus::new(move || {
        let answer = answer.lock().unwrap().take().unwrap();
        Ok(Some(Box::new(Fake(answer))))
    }))
}

fn device(pid: u32) -> Device {
    let users = vec![User { pid, memory: Some(1 << 30), busy: Some(0.5) }];
    Device { id: "0".into(), name: "H".into(), busy: Some(0.7), memory: Some((9, 10)), users }
}

#[tokio::test]
async fn this_very_process_has_its_figures_and_the_name_under_which_others_may_know_it() {
    let source = source(ours(), LONG, None);
    let seen = look(&source).await;
    assert_eq!(seen.host, Some(Host::Able));
    assert_eq!(seen.alias.as_deref(), Some(&*format!("here/{}", std::process::id())));
    assert_eq!(
        (seen.info.pid.as_deref(), seen.info.host.as_deref()),
        (Some(&*std::process::id().to_string()), Some("here"))
    );
    assert!(seen.info.start_time.is_some());
    assert!(seen.numbers.memory_bytes.unwrap() > 1 << 20);
    let disk = seen.numbers.disk_ratio.unwrap();
    assert!((0.0..=1.0).contains(&disk), "{disk}");
    assert_eq!((seen.unread, seen.numbers.gpu_ratio), (Vec::new(), None));
}

#[tokio::test]
async fn a_process_that_is_gone_has_no_figures() {
    let source = source(Locate::PidFile(PathBuf::from("/nonexistent/mail.pid")), LONG, None);
    let seen = look(&source).await;
    assert_eq!(seen.host, Some(Host::Gone(Gone::Exited)));
    assert_eq!((seen.numbers, seen.alias), (Numbers::default(), None));
}

#[tokio::test]
async fn its_gpu_is_read_and_no_longer_known_when_it_uses_none_any_more() {
    let mut times = 0;
    let source = source(
        ours(),
        LONG,
        Some(gpus(move || {
            times += 1;
            Ok(vec![device(if times == 1 { std::process::id() } else { 1 })])
        })),
    );
    let seen = look(&source).await;
    assert_eq!((seen.numbers.gpu_ratio, seen.numbers.gpu_memory_ratio), (Some(0.5), Some(0.9)));
    assert!(seen.notes.iter().any(|note| note.starts_with("GPU 0 (H): busy 70 %")), "{:?}", seen.notes);
    let gone = async {
        loop {
            let seen = look(&source).await;
            if !seen.unread.is_empty() {
                return seen;
            }
        }
    };
    let seen = tokio::time::timeout(LONG, gone).await.unwrap();
    assert_eq!((seen.unread, seen.numbers.gpu_ratio), (vec![(Part::Gpu, None)], None));
    assert!(look(&source).await.unread.is_empty(), "said once");
}

#[tokio::test]
async fn a_driver_that_hangs_takes_its_own_figures_and_nothing_else() {
    let (release, hangs) = mpsc::channel::<()>();
    let hung = gpus(move || {
        let _ = hangs.recv();
        Ok(Vec::new())
    });
    let source = source(ours(), Duration::from_secs(1), Some(hung));
    let began = Instant::now();
    let seen = look(&source).await;
    assert!(began.elapsed() < Duration::from_secs(1), "inside its deadline: {:?}", began.elapsed());
    assert_eq!(seen.unread, [(Part::Gpu, Some(Failure::Timeout))]);
    assert_eq!((seen.host, seen.numbers.gpu_ratio), (Some(Host::Able), None));
    assert!(seen.numbers.memory_bytes.is_some() && seen.numbers.disk_ratio.is_some());
    let note = "GPU could not be read: timeout, No complete answer before the deadline of the look.";
    assert!(seen.notes.iter().any(|line| &**line == note), "{:?}", seen.notes);
    drop(release);
}

#[tokio::test]
async fn nobody_is_looked_at_whom_the_configuration_does_not_name() {
    let source = source(ours(), LONG, None);
    let stranger = Scope::Worker(WorkerKey::new("mail", "mail-2"));
    assert_eq!(source.look(&stranger).await.unwrap_err(), Failure::NotFound);
    assert_eq!(source.look(&Scope::Listing).await.unwrap_err(), Failure::Unimplemented);
}

#[test]
fn a_disk_is_as_full_as_df_says_and_one_without_blocks_is_none() {
    assert!((0.0..=1.0).contains(&fill(Path::new("/")).unwrap().unwrap()));
    assert_eq!(fill(Path::new("/proc")), Ok(None));
    assert_eq!(fill(Path::new("/nonexistent")), Ok(None), "a process that ended meanwhile");
}
