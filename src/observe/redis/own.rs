//! One key, by its name: for a sidecar, whose worker writes just this one. No SCAN, so that thousands of sidecars cost the
//! server next to nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use verdict::evidence::{Beat, Says};
use verdict::read::heartbeat;
use verdict::time::Moment;
use verdict::words::Failure;

use super::connect::Refusal;
use super::links::Links;
use super::memory::{Memory, Server, Sighting};
use super::{Entry, MAX_VALUE, entry};
use crate::config;

/// What a look may receive: the value, and what is said around it.
const RECEIVED: usize = MAX_VALUE + 4096;

/// A heartbeat key. Nothing happens before the first look.
#[derive(Debug)]
pub struct OwnKey {
    links: Links,
    key: String,
    born: Instant,
    memory: Mutex<Memory>,
}

impl OwnKey {
    /// The key `key` of `server`; `source` says by what name it is logged, and how long a look may take.
    #[must_use]
    pub fn new(source: &config::Source, server: &config::RedisServer, key: String) -> Self {
        Self { links: Links::new(source, server), key, born: Instant::now(), memory: Mutex::default() }
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.born.elapsed())
    }

    /// One look. `None`: there is no such key.
    ///
    /// # Errors
    /// When the server cannot be asked, or the key is no heartbeat.
    pub async fn look(&self) -> Result<Option<(Beat, Says)>, Failure> {
        let read = self.links.bounded("", async {
            let mut link = self.links.take(RECEIVED).await?;
            let read = self.read(&mut link.redis).await;
            self.links.done(link, read)
        });
        let (entry, sent, received) = read.await?;
        match entry {
            Entry::Held { value, .. } if value.len() > MAX_VALUE => Err(Failure::BodyTooLarge),
            Entry::Held { value, ttl } => Ok(Some(self.conclude(&value, Sighting { sent, received, ttl }))),
            // What another node has is refused before.
            Entry::Vanished | Entry::Elsewhere => {
                self.hold().replace(Server::default(), std::iter::empty());
                Ok(None)
            }
            Entry::Unreadable(failure) => Err(failure),
        }
    }

    async fn read(&self, redis: &mut MultiplexedConnection) -> Result<(Entry, Moment, Moment), Refusal> {
        let mut pipe = redis::Pipeline::with_capacity(2);
        // One byte more than is allowed tells the large from the largest that fits.
        pipe.cmd("GETRANGE").arg(&self.key).arg(0).arg(MAX_VALUE).cmd("PTTL").arg(&self.key).ignore_errors();
        let sent = self.now();
        let answers: Vec<RedisResult<Value>> = pipe.query_async(redis).await?;
        let received = self.now();
        let mut answers = answers.into_iter();
        let (Some(value), Some(ttl)) = (answers.next(), answers.next()) else {
            let why = "fewer answers than questions".to_owned();
            return Err(Refusal { failure: Failure::Protocol, why });
        };
        match entry(value, ttl)? {
            Entry::Elsewhere => {
                let why = "another node of the cluster has the key: give the address of the one that serves its slot";
                Err(Refusal { failure: Failure::ClusterDown, why: why.to_owned() })
            }
            entry => Ok((entry, sent, received)),
        }
    }

    fn conclude(&self, value: &[u8], sighting: Sighting) -> (Beat, Says) {
        let mut memory = self.hold();
        let reading = heartbeat::read(value);
        let key = self.key.as_bytes();
        let beat = Beat {
            mark: reading.mark(value, memory.refreshes(key, &sighting)),
            stamp: reading.stamp,
            declared: reading.declared,
            own_answer: false,
            on_trial: false,
        };
        memory.replace(Server::default(), std::iter::once((key.to_vec(), sighting)));
        (beat, reading.says)
    }

    fn hold(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
