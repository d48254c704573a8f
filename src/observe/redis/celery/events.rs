//! The subscription to what workers say of themselves.
//!
//! Celery sends an event to a channel named after its routing key, `/{db}.celeryev/worker.heartbeat`, or, where that is
//! switched off, all of them to `/{db}.celeryev`. Nobody keeps an event: what is sent while nobody listens is lost. So
//! the connection is held between looks, and a look asks over the same connection whether it still stands: the answer
//! comes after everything that was sent before.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use redis::aio::PubSubSink;
use tokio::task::JoinHandle;
use verdict::read::celery;

use super::super::connect::{self, Refusal};
use super::super::meter::Allowance;
use super::super::pattern;
use super::store::Store;
use crate::config::RedisServer;
use crate::observe::Clock;

/// What may come between two events that are taken in. One has about a kilobyte, but ten thousand may wait for us after a
/// pause; a single one of this size closes the connection.
const BURST: usize = 16 << 20;
/// The exchange of events.
const EXCHANGE: &str = "celeryev";

/// A connection that is listened to until it is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    sink: Sink,
    pump: JoinHandle<()>,
}

/// The library's has no `Debug`.
struct Sink(PubSubSink);

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PubSubSink")
    }
}

impl Subscription {
    /// Connects and subscribes. From here on, what is heard goes into `store`.
    pub(super) async fn open(
        server: &RedisServer,
        prefix: &str,
        store: Arc<Mutex<Store>>,
        clock: Clock,
    ) -> Result<Self, Refusal> {
        let allowance = Allowance::default();
        allowance.fill(BURST);
        let (mut sink, mut messages) = connect::subscriber(server, allowance.clone()).await?.split();
        let exchange = channel(prefix, connect::database(server));
        let mut glob = Vec::new();
        pattern::escape(exchange.as_bytes(), &mut glob);
        glob.extend_from_slice(b"/worker.*");
        sink.psubscribe(glob).await?;
        sink.subscribe(exchange).await?;
        let pump = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let read = celery::event(message.get_payload_bytes());
                let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                match read {
                    Ok(Some(event)) => store.hear(event, clock.now()),
                    Ok(None) => {}
                    Err(failure) => store.mishear(failure),
                }
                drop(store);
                allowance.fill(BURST);
            }
        });
        Ok(Self { sink: Sink(sink), pump })
    }

    /// Whether it stands, and stood since the last time: then everything that was sent was heard.
    pub(super) async fn confirm(&mut self) -> Result<(), Refusal> {
        let _: redis::Value = self.sink.0.ping().await?;
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Where the events of the workers of this database are sent.
fn channel(prefix: &str, database: &str) -> String {
    format!("{prefix}/{database}.{EXCHANGE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sent_to_a_channel_of_the_database() {
        assert_eq!(channel("", "0"), "/0.celeryev");
        assert_eq!(channel("shop:", "12"), "shop:/12.celeryev");
    }
}
