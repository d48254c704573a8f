//! One simulated worker's HTTP server. Written by hand, because its faults are what no HTTP library will do: close the
//! listener and open it again, accept and never answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use verdict::time::WallTime;

use super::lives::Conduct;
use super::shapes::{Names, Shape};
use super::{DEADLINE, Simulated};

/// How often a worker looks whether its life has turned.
const TURN: Duration = Duration::from_millis(50);
/// A request must be complete within this.
const REQUEST: Duration = Duration::from_secs(2);
/// Headers of a look are a few hundred bytes.
const LARGEST_REQUEST: usize = 8 * 1024;
/// Connections of one worker at a time; a person who hammers a demo waits.
const CONNECTIONS: usize = 32;

/// The clock that all simulated workers live by, and where it stood on the wall when they began.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) clock: Instant,
    /// How far into its lives the stage is entered; tests skip ahead.
    pub(super) ahead: Duration,
    pub(super) started: WallTime,
}

/// One worker on it.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) simulated: Simulated,
    pub(super) number: u32,
    pub(super) shape: Shape,
    pub(super) address: SocketAddr,
    pub(super) stage: Arc<Stage>,
}

impl Actor {
    fn conduct(&self) -> Conduct {
        self.simulated.life.conduct(self.number, self.stage.ahead + self.stage.clock.elapsed())
    }
}

/// Lives until it is dropped, and its connections with it.
pub(super) async fn live(actor: Actor, listener: TcpListener) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match (actor.conduct(), &listener) {
            (Conduct::Refuse, _) => {
                listener = None;
                connections.abort_all();
                sleep(TURN).await;
            }
            // Somebody else may have taken the port meanwhile; it is tried until it is free again.
            (_, None) => match TcpListener::bind(actor.address).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => sleep(TURN).await,
            },
            (_, Some(open)) if connections.len() < CONNECTIONS => {
                if let Ok(Ok((stream, _))) = timeout(TURN, open.accept()).await {
                    connections.spawn(answer(actor.clone(), stream));
                }
            }
            (_, Some(_)) => sleep(TURN).await,
        }
    }
}

async fn answer(actor: Actor, mut stream: TcpStream) {
    if timeout(REQUEST, request(&mut stream)).await != Ok(Some(())) {
        return;
    }
    while actor.conduct() == Conduct::Hang {
        sleep(TURN).await;
    }
    let Conduct::Answer(telling) = actor.conduct() else { return };
    sleep(DEADLINE.mul_f64(telling.takes)).await;
    let release = actor.simulated.life.release(telling.incarnation);
    let names = Names { fleet: actor.simulated.fleet, id: actor.simulated.id, number: actor.number, release };
    let (code, body) = actor.shape.write(&names, &telling, actor.stage.started);
    let body = body.to_string();
    let reason = if code == 200 { "OK" } else { "Service Unavailable" };
    let head = format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        actor.shape.content_type(),
        body.len(),
    );
    // Who asked may have gone; nobody else is interested.
    let _ = stream.write_all((head + &body).as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads up to the empty line; the request itself does not matter.
async fn request(stream: &mut TcpStream) -> Option<()> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if read.len() > LARGEST_REQUEST || stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}
