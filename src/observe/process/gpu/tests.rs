//! Judged on a fake driver: most machines have no GPU, and none has one that hangs when it is told to. The library itself
//! is loaded for real, from a stand-in with the same functions, in `tests/real/test_process_gpu.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn user(pid: u32, memory: u64, busy: Option<f64>) -> User {
    User { pid, memory: Some(memory), busy }
}

fn device(id: &str, busy: Option<f64>, used: u64, users: Vec<User>) -> Device {
    Device { id: id.into(), name: "H".into(), busy, memory: Some((used << 30, 80 << 30)), users }
}

/// Answers as it is told to.
struct Fake(VecDeque<Answer>);

impl Driver for Fake {
    fn devices(&mut self) -> Result<Vec<Device>, Failure> {
        self.0.pop_front().map_or(Ok(Vec::new()), |answer| answer())
    }
}

type Answer = Box<dyn FnOnce() -> Result<Vec<Device>, Failure> + Send>;

/// A machine whose driver gives these answers, one after the other, over all sessions; and how often it was opened.
fn gpus(answers: Vec<Answer>) -> (Gpus, Arc<AtomicUsize>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let answers = Mutex::new(answers);
    let open = move || -> Opened {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Box::new(Fake(answers.lock().unwrap().drain(..).collect()))))
    };
    (Gpus::new(open), opened)
}

#[test]
fn of_two_devices_the_busiest_and_the_fullest_count_and_those_of_others_do_not() {
    let devices = [
        device("0", Some(0.9), 40, vec![user(7, 1 << 30, Some(0.3)), user(8, 1 << 30, Some(0.6))]),
        device("1", Some(0.2), 72, vec![user(7, 2 << 30, Some(0.2))]),
        device("2", Some(1.0), 79, vec![user(9, 1 << 30, Some(1.0))]),
    ];
    let usage = of_worker(&devices, &[7, 70]);
    assert_eq!((usage.busy, usage.memory), (Some(0.3), Some(0.9)), "its own share; the device as it is full");
    assert_eq!(
        usage.notes.iter().map(|note| &**note).collect::<Vec<_>>(),
        [
            "GPU 0 (H): busy 90 %, its share 30 %, memory 50 % full, its own 1024 MiB",
            "GPU 1 (H): busy 20 %, its share 20 %, memory 90 % full, its own 2048 MiB",
        ]
    );
}

#[test]
fn a_worker_of_several_processes_has_the_sum_of_their_shares() {
    let devices = [device("0", Some(0.9), 8, vec![user(7, 1, Some(0.5)), user(8, 1, Some(0.6))])];
    assert_eq!(of_worker(&devices, &[7, 8]).busy, Some(1.0), "samples of several moments may add up to more");
}

#[test]
fn where_the_driver_tells_no_shares_the_device_speaks_and_a_slice_has_only_memory() {
    let whole = [device("0", Some(0.4), 8, vec![user(7, 1, None)])];
    assert_eq!(of_worker(&whole, &[7]).busy, Some(0.4));
    let slice = [device("0/1", None, 20, vec![user(7, 1, None)])];
    let usage = of_worker(&slice, &[7]);
    assert_eq!((usage.busy, usage.memory), (None, Some(0.25)));
    assert_eq!(&*usage.notes[0], "GPU 0/1 (H): memory 25 % full, its own 0 MiB");
}

#[test]
fn a_worker_without_a_gpu_has_no_figures_and_not_zero() {
    assert_eq!(of_worker(&[device("0", Some(0.4), 8, vec![user(9, 1, None)])], &[7]), Use::default());
    let unknown = Device { memory: Some((5, 0)), users: vec![user(7, 1, None)], ..Device::default() };
    assert_eq!(of_worker(&[unknown], &[7]).memory, None);
}

#[tokio::test]
async fn a_machine_without_a_driver_works_and_is_asked_once_in_a_while() {
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let gpus = Gpus::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(None)
    });
    for _ in 0..3 {
        assert_eq!(gpus.read(LONG).await, Ok(None));
        // What was read is no longer fresh.
        *gpus.last.lock().await = None;
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn many_looks_at_once_are_one_question_to_the_driver() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let (gpus, _) = gpus(vec![Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(vec![Device::default()])
    })]);
    let (one, two, three) = tokio::join!(gpus.read(LONG), gpus.read(LONG), gpus.read(LONG));
    assert_eq!([one, two, three].map(|reading| reading.unwrap().unwrap().len()), [1, 1, 1]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_driver_that_hangs_is_a_timeout_at_its_deadline_then_at_once_and_answers_when_it_is_back() {
    let (release, hangs) = mpsc::channel::<()>();
    let (gpus, opened) = gpus(vec![
        Box::new(move || {
            let _ = hangs.recv();
            Ok(Vec::new())
        }),
        Box::new(|| Ok(vec![Device::default()])),
    ]);
    assert_eq!(gpus.read(Duration::from_millis(30)).await, Err(Failure::Timeout));
    let since = Instant::now();
    for _ in 0..50 {
        *gpus.last.lock().await = None;
        assert_eq!(gpus.read(LONG).await, Err(Failure::Timeout));
    }
    assert!(since.elapsed() < LONG);
    assert_eq!(opened.load(Ordering::SeqCst), 1, "one session, one thread");
    drop(release);
    let back = async {
        loop {
            *gpus.last.lock().await = None;
            match gpus.read(LONG).await {
                Ok(devices) => return devices.unwrap().len(),
                Err(failure) => assert_eq!(failure, Failure::Timeout),
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(tokio::time::timeout(LONG, back).await.unwrap(), 1);
}

#[tokio::test]
async fn a_driver_that_fails_is_asked_anew_in_another_session() {
    let (gpus, opened) = gpus(vec![Box::new(|| Err(Failure::Internal))]);
    assert_eq!(gpus.read(LONG).await, Err(Failure::Internal));
    *gpus.last.lock().await = None;
    assert_eq!(gpus.read(LONG).await, Ok(Some(Arc::new(Vec::new()))));
    assert_eq!(opened.load(Ordering::SeqCst), 2);
}
