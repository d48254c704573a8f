//! Passwords against bcrypt hashes, without handing our CPU to whoever guesses.
//!
//! bcrypt is slow on purpose. So: a password that was right is remembered (as a keyed digest, never itself) and costs
//! nothing again; all others wait for their turn, one at a time, off the runtime; and a wrong one is followed by a rest
//! three times as long as its check, so that guessing takes a quarter of one core at most. Those who are remembered
//! never wait: Prometheus goes on scraping while somebody guesses.
//!
//! A name that no user has costs the same as a wrong password, or the time would tell which names there are. Users may
//! have hashes of different cost, so every refusal is made as long as the most expensive one.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::config::Hash;

/// More than these do not wait; they are told to come again.
const WAITING: usize = 32;
/// And for no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);
/// The rest after a wrong password, in times of its check.
const REST: u32 = 3;
/// Work that compares nothing needs some salt.
const NO_SALT: [u8; 16] = *b"worker-exporter.";

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The password of that user.
    Right,
    /// No such user, or not its password.
    Wrong,
    /// Not checked: too many wait.
    Busy(Duration),
}

#[derive(Debug)]
pub(super) struct Passwords {
    key: hmac::Key,
    /// For a name without an entry, so that it costs the same to look it up.
    nobody: hmac::Tag,
    /// The last right password of each user.
    right: Arc<Mutex<HashMap<String, hmac::Tag>>>,
    turn: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Passwords {
    pub(super) fn new() -> io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        Ok(Self {
            nobody: hmac::sign(&key, b""),
            key,
            right: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Semaphore::new(WAITING),
        })
    }

    pub(super) async fn check(&self, users: &BTreeMap<String, Hash>, user: &str, password: &[u8]) -> Answer {
        let hash = users.get(user).cloned();
        let message = message(user, hash.as_ref(), password);
        let known = self.right.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied();
        // In constant time. The hash is part of what is compared, so that a changed password is asked for anew.
        let remembered = hmac::verify(&self.key, &message, known.unwrap_or(self.nobody).as_ref()).is_ok();
        if remembered && hash.is_some() {
            return Answer::Right;
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Answer::Busy(PATIENCE) };
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Answer::Busy(PATIENCE) };
        let highest = users.values().map(Hash::cost).max().unwrap_or_default();
        let (answer, told) = oneshot::channel();
        let password = password.to_vec();
        // A task of its own keeps the turn until the rest is over, also when whoever asked has gone.
        tokio::spawn(async move {
            let began = Instant::now();
            let compared = tokio::task::spawn_blocking(move || compare(hash.as_ref(), highest, &password)).await;
            let took = began.elapsed();
            let right = compared.unwrap_or(false);
            let _ = answer.send(right);
            if !right {
                tokio::time::sleep(took * REST).await;
            }
            drop(turn);
        });
        if !told.await.unwrap_or(false) {
            return Answer::Wrong;
        }
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.retain(|name, _| users.contains_key(name));
        right.insert(user.to_owned(), hmac::sign(&self.key, &message));
        Answer::Right
    }
}

/// With lengths in front, so that no two triples are one message.
fn message(user: &str, hash: Option<&Hash>, password: &[u8]) -> Vec<u8> {
    let hash = hash.map(Hash::reveal).unwrap_or_default();
    let mut message = Vec::new();
    for part in [user.as_bytes(), hash.as_bytes(), password] {
        message.extend_from_slice(&part.len().to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

/// Every refusal is `2^highest` steps of work: a hash of cost c is `2^c`, and one of each cost from c on the rest.
pub(super) fn compare(hash: Option<&Hash>, highest: u32, password: &[u8]) -> bool {
    let done = match hash {
        Some(hash) if bcrypt::verify(password, &hash.reveal()).unwrap_or(false) => return true,
        Some(hash) => hash.cost(),
        None => {
            waste(highest);
            highest
        }
    };
    (done..highest).for_each(waste);
    false
}

fn waste(cost: u32) {
    black_box(bcrypt::bcrypt(cost, NO_SALT, black_box(b"nobody\0")));
}
