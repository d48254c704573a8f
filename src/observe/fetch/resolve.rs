//! Names by the system's resolver, so that a worker's name means here what it means to every other program:
//! `/etc/hosts`, search domains and all.
//!
//! It blocks a thread for as long as the system allows: ten seconds and more where a name server is silent, and nothing
//! can end it from outside. So each name is asked for once at a time, however often the looks at it run out of time, and
//! all names together block no more than [`PLACES`] threads. Nothing is kept: the next look asks anew.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType};
use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::Semaphore;

use super::fault::is_own;

/// Names that may be asked for at a time. Tokio has 512 threads to block, and files and processes need some too.
const PLACES: usize = 256;

/// The system's, for the whole program: it is the program's threads that it blocks.
pub(super) static SYSTEM: LazyLock<Resolver> = LazyLock::new(|| Resolver::new(PLACES, ask));

/// Why there are no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// There is no such name, or it has no address: that is what was to be found out.
    NoSuchName,
    /// Whoever should know did not say. It tells nothing of the name.
    NoAnswer(Arc<str>),
    /// We lack a descriptor or memory to ask with.
    Own,
}

type Answer = Result<Arc<[IpAddr]>, Unresolved>;
type Lookup = Shared<Pin<Box<dyn Future<Output = Answer> + Send>>>;

/// Asks for names, each once at a time.
pub(super) struct Resolver {
    running: Arc<Mutex<HashMap<String, Lookup>>>,
    places: Arc<Semaphore>,
    ask: Arc<dyn Fn(&str) -> Answer + Send + Sync>,
}

impl Resolver {
    fn new(places: usize, ask: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self { running: Arc::default(), places: Arc::new(Semaphore::new(places)), ask: Arc::new(ask) }
    }

    /// The addresses of a name, in the system's order. Whoever asks bounds it; the question goes on without him.
    pub(super) fn resolve(&self, name: &str) -> impl Future<Output = Answer> + Send + use<> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = running.get(name) {
            return lookup.clone();
        }
        let (places, ask) = (Arc::clone(&self.places), Arc::clone(&self.ask));
        let entry = Entry { running: Arc::clone(&self.running), name: name.to_owned() };
        // A task of its own: a place that is waited for must be taken even when nobody waits for the name any more.
        let task = tokio::spawn(async move {
            let place = places.acquire_owned().await;
            let asked = entry.name.clone();
            let asked = tokio::task::spawn_blocking(move || {
                let answer = ask(&asked);
                drop(place);
                answer
            });
            let answer = asked.await;
            drop(entry);
            answer
        });
        let lookup: Lookup = async move {
            let ended = || Err(Unresolved::NoAnswer("the lookup was ended".into()));
            task.await.ok().and_then(Result::ok).unwrap_or_else(ended)
        }
        .boxed()
        .shared();
        running.insert(name.to_owned(), lookup.clone());
        lookup
    }
}

/// A name that is being asked for. Dropped with its answer, or with the runtime that asked.
struct Entry {
    running: Arc<Mutex<HashMap<String, Lookup>>>,
    name: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

fn ask(name: &str) -> Answer {
    // One entry for each address, not one for each type of socket.
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let found = dns_lookup::getaddrinfo(Some(name), None, Some(hints)).map_err(|error| because(&error))?;
    Ok(found.flatten().map(|entry| entry.sockaddr.ip()).collect())
}

/// Only the system can tell "there is none" from "nobody said", by its own codes.
fn because(error: &LookupError) -> Unresolved {
    // Without a descriptor it may say anything, also that there is no such name: so one is asked for here.
    let exhausted = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).is_err_and(|error| is_own(&error));
    match error.kind() {
        LookupErrorKind::Memory => Unresolved::Own,
        LookupErrorKind::System if is_own(&io::Error::last_os_error()) => Unresolved::Own,
        _ if exhausted() => Unresolved::Own,
        LookupErrorKind::NoName | LookupErrorKind::NoData => Unresolved::NoSuchName,
        _ => Unresolved::NoAnswer(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    /// Waits, bounded, until this holds.
    async fn until(holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, wait).await.unwrap();
    }

    /// A resolver that is silent until the first of these is dropped, and how often it was asked.
    ///
    /// What hangs is a channel: a name server that is silent is not to be had in a unit test.
    fn silent(places: usize, answer: Answer) -> (mpsc::Sender<()>, Arc<AtomicUsize>, Resolver) {
        let (release, silence) = mpsc::channel::<()>();
        let (silence, asked) = (Mutex::new(silence), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let resolver = Resolver::new(places, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = silence.lock().unwrap().recv();
            answer.clone()
        });
        (release, asked, resolver)
    }

    #[tokio::test]
    async fn a_name_that_hangs_is_asked_for_once_however_often_a_look_at_it_gives_up() {
        let (release, asked, resolver) = silent(2, Ok(Arc::from([IpAddr::V4(Ipv4Addr::LOCALHOST)])));
        for _ in 0..100 {
            assert!(tokio::time::timeout(Duration::from_millis(1), resolver.resolve("mail-1")).await.is_err());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let last = resolver.resolve("mail-1");
        drop(release);
        assert_eq!(last.await.unwrap().len(), 1);
        // Its answer is for those who waited; who comes later asks anew.
        until(|| resolver.running.lock().unwrap().is_empty()).await;
        resolver.resolve("mail-1").await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn names_that_hang_block_no_more_threads_than_there_are_places_and_free_them_when_they_end() {
        let (release, asked, resolver) = silent(2, Err(Unresolved::NoSuchName));
        for name in ["a", "b", "c", "d"] {
            assert!(tokio::time::timeout(SHORT, resolver.resolve(name)).await.is_err());
        }
        until(|| asked.load(Ordering::SeqCst) == 2).await;
        drop(release);
        // Nobody waits for them any more, and they come to an end all the same.
        until(|| asked.load(Ordering::SeqCst) == 4 && resolver.running.lock().unwrap().is_empty()).await;
    }

    #[tokio::test]
    async fn a_lookup_that_breaks_is_no_answer_and_the_next_one_asks_anew() {
        let resolver = Resolver::new(1, |_| panic!("on purpose"));
        for _ in 0..2 {
            assert!(matches!(resolver.resolve("mail-1").await, Err(Unresolved::NoAnswer(_))));
        }
    }

    /// The codes are those of Linux.
    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_code_for_no_such_name_says_that_there_is_none() {
        // EAI_NONAME and EAI_NODATA; EAI_AGAIN and EAI_FAIL.
        for code in [-2, -5] {
            assert_eq!(because(&LookupError::new(code)), Unresolved::NoSuchName, "{code}");
        }
        for code in [-3, -4] {
            assert!(matches!(because(&LookupError::new(code)), Unresolved::NoAnswer(_)), "{code}");
        }
        assert_eq!(because(&LookupError::new(-10)), Unresolved::Own);
    }

    #[test]
    fn a_name_of_this_machine_is_found_as_every_program_finds_it() {
        assert!(ask("localhost").unwrap().iter().all(IpAddr::is_loopback));
    }
}
