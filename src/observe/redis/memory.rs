//! What one look at a Redis leaves behind for the next: expiries, the server's identity, its count of flushes.
//!
//! A worker that does `SET key 1 EX 30` each ten seconds never changes the value; what it moves is the moment at which
//! the key will expire. Between looks that moment is fixed unless somebody wrote, so it is compared as an interval: the
//! server answered between our sending and our receiving, hence the expiry lies between `sent + ttl` and
//! `received + ttl`. Only when the two intervals lie apart was the key written. Pure: time is an argument.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use verdict::time::Moment;

/// The server's clock may be slewed against ours by 500 parts in a million, the most that NTP does.
const SLEW: u32 = 2000;
/// Redis counts in milliseconds, rounds, and reads its clock once for a batch.
const GRAIN: Duration = Duration::from_millis(20);

/// One key at one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    /// Before the request was sent.
    pub(super) sent: Moment,
    /// When the answer was complete.
    pub(super) received: Moment,
    /// Its time to live; `None` when it has none.
    pub(super) ttl: Option<Duration>,
}

/// What the server says of itself, as far as we may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Server {
    /// Changes with every start of the server, and with the server behind the address.
    pub(super) run_id: Option<String>,
    /// How often FLUSHALL and FLUSHDB were called since it started.
    pub(super) flushes: Option<u64>,
    /// It is a replica, and has no link to its master: it shows the past.
    pub(super) cut_off: bool,
    /// It is a node of a cluster.
    pub(super) cluster: bool,
    /// It follows a master.
    pub(super) replica: bool,
    /// It is a Sentinel, which watches servers and holds no keys.
    pub(super) sentinel: bool,
}

/// A key since it was last seen to be written.
#[derive(Debug, Clone, Copy)]
struct Held {
    written: Sighting,
    refreshes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memory {
    server: Server,
    keys: HashMap<Vec<u8>, Held>,
    looks: u64,
}

impl Memory {
    /// How often the expiry of `key` was set anew up to this sighting. For a key that appears after the first look the
    /// count begins above every earlier one, so that a worker that expired and came back with the same value has moved.
    pub(super) fn refreshes(&self, key: &[u8], sighting: &Sighting) -> u64 {
        let Some(held) = self.keys.get(key) else { return self.looks };
        held.refreshes + u64::from(moved(&held.written, sighting))
    }

    /// True when the server has lost its memory since the last look: another run, or a flush that took all we knew of.
    pub(super) fn lost<'k>(&self, server: &Server, now: Moment, mut seen: impl Iterator<Item = &'k [u8]>) -> bool {
        let other_run = matches!((&self.server.run_id, &server.run_id), (Some(a), Some(b)) if a != b);
        let flushed = matches!((self.server.flushes, server.flushes), (Some(a), Some(b)) if b > a);
        let lives = |held: &Held| held.written.ttl.is_none_or(|ttl| held.written.sent + ttl > now);
        let unexpired = || self.keys.values().any(lives);
        other_run || (flushed && unexpired() && !seen.any(|key| self.keys.contains_key(key)))
    }

    /// Keys that were there at the last look and are not among these.
    pub(super) fn missing<'k>(&self, seen: impl Iterator<Item = &'k [u8]>) -> Vec<Vec<u8>> {
        let seen: HashSet<_> = seen.collect();
        self.keys.keys().filter(|key| !seen.contains(key.as_slice())).cloned().collect()
    }

    /// Takes the place of what was known: the keys of this look, and no others.
    pub(super) fn replace(&mut self, server: Server, seen: impl Iterator<Item = (Vec<u8>, Sighting)>) {
        let keys = seen
            .map(|(key, sighting)| {
                let refreshes = self.refreshes(&key, &sighting);
                let held = match self.keys.get(&key) {
                    // The first sighting stays the reference, so that small shifts add up and none is lost.
                    Some(held)
                        if held.refreshes == refreshes && held.written.ttl.is_some() == sighting.ttl.is_some() =>
                    {
                        *held
                    }
                    _ => Held { written: sighting, refreshes },
                };
                (key, held)
            })
            .collect();
        self.keys = keys;
        self.looks += 1;
        // A look at which we may not ask does not make us forget what the server said before.
        self.server.run_id = server.run_id.or(self.server.run_id.take());
        self.server.flushes = server.flushes.or(self.server.flushes);
    }
}

/// The key was written between these two sightings, as far as its expiry shows. An expiry that was given or taken away
/// as a whole is no beat: that is PERSIST and EXPIRE, by which operators keep a key or let it go.
fn moved(before: &Sighting, now: &Sighting) -> bool {
    let (Some(then), Some(left)) = (before.ttl, now.ttl) else { return false };
    let doubt = GRAIN + now.received.since(before.sent) / SLEW;
    now.sent + left > before.received + then + doubt || before.sent + then > now.received + left + doubt
}

/// Reads the answers of `INFO server`, `INFO commandstats` and `INFO replication`.
pub(super) fn read_info(text: &str) -> Server {
    let mut server = Server::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once(':') else { continue };
        match name {
            "run_id" => server.run_id = Some(value.to_owned()),
            "master_link_status" => server.cut_off = value == "down",
            // Valkey calls it `server_mode`.
            "redis_mode" | "server_mode" => {
                (server.cluster, server.sentinel) = (value == "cluster", value == "sentinel");
            }
            "role" => server.replica = value == "slave",
            "redis_version" => server.flushes = server.flushes.or(Some(0)),
            "cmdstat_flushall" | "cmdstat_flushdb" => {
                let calls = value.strip_prefix("calls=").and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
                server.flushes = Some(server.flushes.unwrap_or(0) + calls.unwrap_or(0));
            }
            _ => {}
        }
    }
    server
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(sent: u64, ttl: Option<u64>) -> Sighting {
        let sent = Moment::START + ms(sent);
        Sighting { sent, received: sent + ms(3), ttl: ttl.map(ms) }
    }

    /// The refresh counts of one key over these looks.
    fn counts(looks: &[Option<Sighting>]) -> Vec<Option<u64>> {
        let mut memory = Memory::default();
        looks
            .iter()
            .map(|look| {
                let count = look.map(|sighting| memory.refreshes(b"k", &sighting));
                memory.replace(Server::default(), look.iter().map(|sighting| (b"k".to_vec(), *sighting)));
                count
            })
            .collect()
    }

    #[test]
    fn a_key_that_only_runs_down_does_not_beat() {
        let looks: Vec<_> = (0..12).map(|n| Some(at(n * 2000, Some(30_000 - n * 2000 + n % 3)))).collect();
        assert!(counts(&looks).iter().all(|count| *count == Some(0)));
    }

    #[test]
    fn a_worker_that_beats_in_step_with_our_looks_is_seen_to_beat() {
        // The time to live reads the same at every look: only its moment of expiry moves.
        let looks: Vec<_> = (0..4).map(|n| Some(at(n * 10_000, Some(25_000)))).collect();
        assert_eq!(counts(&looks), [Some(0), Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn a_slow_answer_is_not_a_beat() {
        let mut slow = at(2000, Some(28_000));
        slow.received = slow.received + ms(900);
        assert_eq!(counts(&[Some(at(0, Some(30_000))), Some(slow), Some(at(4000, Some(26_000)))]), [Some(0); 3]);
    }

    #[test]
    fn a_shift_counts_from_just_above_the_doubt_about_clocks_and_answers() {
        // 3 ms to answer, 20 ms of grain, half a millisecond of slew in a second.
        assert_eq!(counts(&[Some(at(0, Some(30_000))), Some(at(1000, Some(29_023)))]), [Some(0), Some(0)]);
        assert_eq!(counts(&[Some(at(0, Some(30_000))), Some(at(1000, Some(29_024)))]), [Some(0), Some(1)]);
    }

    #[test]
    fn an_hour_of_slew_is_no_beat_and_small_beats_add_up() {
        let slewed: Vec<_> = (0..120).map(|n| Some(at(n * 30_000, Some(3_600_000 - n * 30_000 + n * 15)))).collect();
        assert!(counts(&slewed).iter().all(|count| *count == Some(0)));
        let small: Vec<_> = (0..9).map(|n| Some(at(n * 10, Some(30_000)))).collect();
        assert_eq!(counts(&small).last(), Some(&Some(2)));
    }

    #[test]
    fn a_shorter_expiry_is_a_write_too() {
        assert_eq!(counts(&[Some(at(0, Some(60_000))), Some(at(5000, Some(30_000)))]), [Some(0), Some(1)]);
    }

    #[test]
    fn neither_persist_nor_a_first_expiry_is_a_beat() {
        assert_eq!(counts(&[Some(at(0, Some(9000))), Some(at(1000, None)), Some(at(2000, Some(9000)))]), [Some(0); 3]);
    }

    #[test]
    fn a_key_that_came_back_has_moved() {
        let seen = counts(&[Some(at(0, Some(5000))), Some(at(2000, Some(5000))), None, Some(at(9000, Some(5000)))]);
        assert_eq!(seen, [Some(0), Some(1), None, Some(3)]);
    }

    fn server(run_id: &str, flushes: u64) -> Server {
        Server { run_id: Some(run_id.to_owned()), flushes: Some(flushes), ..Server::default() }
    }

    fn remembering(ttl: Option<u64>) -> Memory {
        let mut memory = Memory::default();
        memory.replace(server("a", 1), [(b"k".to_vec(), at(0, ttl))].into_iter());
        memory
    }

    #[test]
    fn another_run_of_the_server_has_lost_its_memory() {
        let now = Moment::START + ms(1000);
        assert!(remembering(None).lost(&server("b", 0), now, std::iter::empty()));
        assert!(!remembering(None).lost(&server("a", 1), now, std::iter::empty()));
        assert!(!remembering(None).lost(&Server::default(), now, std::iter::empty()));
        assert!(!Memory::default().lost(&server("a", 1), now, std::iter::empty()));
    }

    #[test]
    fn a_flush_that_took_living_keys_is_a_loss_and_a_flush_elsewhere_is_not() {
        let now = Moment::START + ms(1000);
        assert!(remembering(Some(9000)).lost(&server("a", 2), now, std::iter::empty()));
        assert!(remembering(None).lost(&server("a", 2), now, [b"other".as_slice()].into_iter()));
        assert!(!remembering(Some(9000)).lost(&server("a", 2), now, [b"k".as_slice()].into_iter()));
        assert!(!remembering(Some(500)).lost(&server("a", 2), now, std::iter::empty()));
    }

    #[test]
    fn who_may_not_ask_once_still_knows_what_was_said_before() {
        let mut memory = remembering(None);
        memory.replace(Server::default(), std::iter::empty());
        assert!(memory.lost(&server("b", 0), Moment::START, std::iter::empty()));
    }

    #[test]
    fn the_info_of_a_real_server_is_read() {
        let text = "# Server\r\nredis_version:7.0.15\r\nrun_id:ab12\r\n# Commandstats\r\n\
                    cmdstat_flushall:calls=2,usec=10\r\ncmdstat_flushdb:calls=1,usec=3\r\ncmdstat_get:calls=9,usec=1\r\n";
        assert_eq!(read_info(text), server("ab12", 3));
        assert_eq!(read_info("redis_version:7.0.15\r\nrun_id:x\r\n"), server("x", 0));
        assert_eq!(read_info(""), Server::default());
        let replica = |link| read_info(&format!("role:slave\r\nmaster_link_status:{link}\r\n")).cut_off;
        assert!(replica("down") && !replica("up") && !read_info("role:master\r\n").cut_off);
        assert!(read_info("role:slave\r\n").replica && !read_info("role:master\r\n").replica);
        assert!(read_info("redis_mode:cluster\r\n").cluster && !read_info("redis_mode:standalone\r\n").cluster);
        assert!(read_info("redis_mode:sentinel\r\n").sentinel && !read_info("redis_mode:cluster\r\n").sentinel);
    }

    #[test]
    fn keys_that_were_there_and_are_not_are_missing() {
        let memory = remembering(None);
        assert_eq!(memory.missing(std::iter::empty()), [b"k".to_vec()]);
        assert!(memory.missing([b"k".as_slice()].into_iter()).is_empty());
    }
}
