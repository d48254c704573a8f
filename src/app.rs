//! The one file that knows all rooms: puts them together and takes them down.
//!
//! Start: listeners, then sources, discovery, schedule and ledger, then the web. End: ticks, looks, ledger, then the
//! web, each bounded, so that what was seen last can still be read while the rest ends.

mod config_file;
pub mod engine;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a fixture fails its test by panicking")]
mod fixture;
mod listen;
mod parts;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verdict::ledger::Change;

use crate::config::{Settings, WebSettings};
use crate::door::{self, Connections, Door};
use crate::fleet::{Clock, Readiness};
use crate::observe::schedule::descriptor_limit;
use crate::web::{self, ReloadStatus, Site};
use config_file::Nudge;
pub use config_file::Watched;
use engine::Engine;

/// Answers that are under way when we are stopped may finish for this long. Event streams never finish.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Reads the configuration anew. Every mistake, with its place, is one line for people.
pub type Load = Arc<dyn Fn() -> Result<Settings, Vec<String>> + Send + Sync>;

/// What the program is started with.
pub struct Launch {
    /// The first configuration.
    pub settings: Settings,
    /// How to read it anew; `None` where there is nothing to read.
    pub load: Option<Load>,
    /// The file whose change loads it anew; `None` to wait until it is asked for.
    pub watch: Option<Watched>,
    /// Addresses, paths and prefixes.
    pub web: WebSettings,
    /// TLS and users of our own listeners.
    pub door: Door,
}

/// Why the program cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// An address cannot be opened.
    #[error("cannot listen on {address}: {error}\n  hint: {advice}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
        /// What to do next.
        advice: &'static str,
    },
    /// The system gives no thread, event queue or signal.
    #[error("the system does not let this program start: {0}")]
    System(#[from] io::Error),
    /// The part that observes and judges has ended by itself.
    #[error(
        "nothing is judged any more: a fault of this program, please report it with the log\n  hint: start it again; it forgets what it saw, and judges anew"
    )]
    Engine,
}

/// The whole program, running.
pub struct App {
    engine: Engine,
    load: Option<Load>,
    addresses: Vec<SocketAddr>,
    servers: TaskTracker,
    stop_serving: CancellationToken,
    reloads: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
    nudges: mpsc::Receiver<Nudge>,
    reload_status: Arc<ArcSwap<ReloadStatus>>,
    clock: Clock,
    signals: Signals,
    hang_up: Signal,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl App {
    /// Starts everything. When this returns, the addresses are open.
    ///
    /// # Errors
    /// See [`Broken`].
    pub async fn start(launch: Launch) -> Result<Self, Broken> {
        let clock = Clock::start();
        let signals = Signals::take()?;
        let hang_up = signal(SignalKind::hangup())?;
        let listeners = listen::open(&launch.web.listen).await?;
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let (latch, readiness) = Readiness::latched();
        let engine = Engine::start(launch.settings, &latch, clock).await?;
        let (reload, reloads) = mpsc::channel(4);
        let loaded = ReloadStatus { successful: true, last_success: Some(clock.wall()) };
        let reload_status = Arc::new(ArcSwap::from_pointee(loaded));
        let settings_of_web = launch.web.clone();
        let router = web::router(Arc::new(Site {
            present: engine.present(),
            changes: engine.changes(),
            settings: engine.settings(),
            reload,
            reload_status: Arc::clone(&reload_status),
            ready: Arc::new(move || readiness.is_ready()),
            web: launch.web,
            clock,
        }));
        let door = Arc::new(launch.door);
        let router = web::guarded(router, door.config(), &settings_of_web)?;
        let servers = TaskTracker::new();
        let stop_serving = CancellationToken::new();
        servers.spawn(Arc::clone(&door).keep(stop_serving.clone()));
        let connections = Arc::new(Connections::within(descriptor_limit()));
        for listener in listeners {
            let (router, door, connections) = (router.clone(), Arc::clone(&door), Arc::clone(&connections));
            servers.spawn(door::serve(listener, router, door, connections, stop_serving.clone()));
        }
        let (nudge, nudges) = mpsc::channel(1);
        if let Some(watched) = launch.watch {
            servers.spawn(config_file::watch(watched, nudge, stop_serving.clone()));
        }
        servers.close();
        // The configuration is loaded and the listeners are open: what is left of readiness is with the sources.
        drop(latch);
        Ok(Self {
            engine,
            load: launch.load,
            addresses,
            servers,
            stop_serving,
            reloads,
            nudges,
            reload_status,
            clock,
            signals,
            hang_up,
        })
    }

    /// The addresses that are open, with the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Each change of state from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.engine.changes().subscribe()
    }

    /// Runs until `stop`, SIGTERM or SIGINT; then ends everything in order. A second signal ends it at once.
    ///
    /// # Errors
    /// When the part that observes and judges has ended by itself.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Broken> {
        loop {
            tokio::select! {
                () = self.engine.broke_down() => return Err(Broken::Engine),
                () = stop.cancelled() => break,
                () = self.signals.asked_to_end() => break,
                _ = self.hang_up.recv() => {
                    // Already logged; nobody waits for an answer to a signal.
                    let _ = self.reload().await;
                }
                Some(why) = self.nudges.recv() => {
                    if why == Nudge::Changed || !self.reload_status.load().successful {
                        // Already logged; nobody waits for an answer.
                        let _ = self.reload().await;
                    }
                }
                Some(answer) = self.reloads.recv() => {
                    let outcome = self.reload().await;
                    // Who asked may have gone.
                    let _ = answer.send(outcome);
                }
            }
        }
        tracing::info!("stopping: no more looks, those that run may finish");
        let Self { engine, mut signals, servers, stop_serving, .. } = self;
        let impatient = tokio::spawn(async move {
            signals.asked_to_end().await;
            std::process::exit(1);
        });
        engine.stop().await;
        stop_serving.cancel();
        if tokio::time::timeout(LAST_ANSWERS, servers.wait()).await.is_err() {
            tracing::debug!("some connections were still open");
        }
        impatient.abort();
        tracing::info!("stopped");
        Ok(())
    }

    async fn reload(&mut self) -> Result<(), String> {
        let Some(load) = self.load.clone() else {
            let why = "there is no configuration file to reload: start with --config.file";
            tracing::warn!("{why}");
            return Err(why.into());
        };
        let loaded = tokio::task::spawn_blocking(move || load()).await;
        let mistakes = match loaded {
            Ok(Ok(settings)) => {
                self.engine.apply(settings).await;
                let status = ReloadStatus { successful: true, last_success: Some(self.clock.wall()) };
                self.reload_status.store(Arc::new(status));
                tracing::info!("configuration reloaded");
                return Ok(());
            }
            Ok(Err(mistakes)) => mistakes,
            Err(_panic) => vec!["reading the configuration panicked: a fault of this program".into()],
        };
        for mistake in &mistakes {
            tracing::error!(mistake = %mistake, "configuration not reloaded, the one before stays in force");
        }
        let last_success = self.reload_status.load().last_success;
        self.reload_status.store(Arc::new(ReloadStatus { successful: false, last_success }));
        Err(mistakes.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use std::sync::Mutex;

    use super::*;

    /// Far more than any of this takes; reached only when a test fails.
    const SOON: Duration = Duration::from_secs(20);

    async fn started(load: Option<Load>) -> App {
        App::start(Launch {
            settings: fixture::settings(&["a"]),
            load,
            watch: None,
            web: fixture::web(),
            door: Door::open(),
        })
        .await
        .unwrap()
    }

    /// Gives out these outcomes in this order.
    fn loads(outcomes: Vec<Result<Settings, Vec<String>>>) -> Option<Load> {
        let outcomes = Mutex::new(outcomes.into_iter());
        Some(Arc::new(move || outcomes.lock().unwrap().next().unwrap()))
    }

    async fn status(address: SocketAddr, path: &str) -> u16 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn until_ready(address: SocketAddr) {
        let ready = async {
            while status(address, "/-/ready").await != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // 30 s is the other way to become ready; this must be the first.
        tokio::time::timeout(SOON, ready).await.unwrap();
    }

    #[tokio::test]
    async fn it_stops_in_order_when_it_is_told_to_and_closes_its_port() {
        let app = started(None).await;
        let address = *app.addresses().first().unwrap();
        status(address, "/-/ready").await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(app.run(stop.clone()));
        stop.cancel();
        tokio::time::timeout(SOON, running).await.unwrap().unwrap().unwrap();
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_port_that_is_taken_says_so_and_what_to_do() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut web = fixture::web();
        web.listen = vec![taken.local_addr().unwrap()];
        let launch = Launch { settings: fixture::settings(&["a"]), load: None, watch: None, web, door: Door::open() };
        let Err(broken) = App::start(launch).await else { panic!("it started") };
        let text = broken.to_string();
        assert!(text.contains(&taken.local_addr().unwrap().to_string()), "{text}");
        assert!(text.contains("another program listens there"), "{text}");
    }

    #[tokio::test]
    async fn a_broken_file_keeps_the_configuration_and_says_every_mistake() {
        let mistakes = vec!["a.yml:1:2: wrong".to_owned(), "a.yml:3:4: bad".to_owned()];
        let mut app = started(loads(vec![Err(mistakes)])).await;
        let before = app.engine.settings().load_full();
        let loaded = app.reload_status.load().last_success;
        assert_eq!(app.reload().await, Err("a.yml:1:2: wrong\na.yml:3:4: bad".into()));
        assert!(Arc::ptr_eq(&before, &app.engine.settings().load_full()));
        assert_eq!(**app.reload_status.load(), ReloadStatus { successful: false, last_success: loaded });
    }

    #[tokio::test]
    async fn a_good_file_after_a_broken_one_comes_into_force_whole() {
        let good = fixture::settings(&["a", "b"]);
        let mut app = started(loads(vec![Err(vec!["wrong".into()]), Ok(good)])).await;
        assert!(app.reload().await.is_err());
        assert_eq!(app.reload().await, Ok(()));
        assert!(app.reload_status.load().successful);
        let names: Vec<_> = app.engine.settings().load().sources.iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[tokio::test]
    async fn without_a_file_a_reload_is_refused_and_changes_nothing() {
        let mut app = started(None).await;
        assert!(app.reload().await.unwrap_err().contains("--config.file"));
        assert!(app.reload_status.load().successful);
    }

    #[tokio::test]
    async fn it_is_ready_once_its_source_was_tried_though_the_worker_refuses() {
        let app = started(None).await;
        until_ready(*app.addresses().first().unwrap()).await;
    }
}
