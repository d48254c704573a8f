//! The process that a worker lives in, as whoever runs it shows it.
//!
//! That a process is there proves no work, so it saves no worker whose beat fell silent. That it is gone is the plainest
//! evidence there is, and no silence has to grow first; only what was heard of the worker since then outweighs it.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Channel, What};
use crate::checks;
use crate::evidence::{Gone, Hold, Host, Observation};
use crate::state::Pulse;
use crate::time::Moment;
use crate::words::{ChannelKind, Reason};
use crate::worker::{Around, POLL, QUEUE_INTERVAL, Seen, Worker};

/// What a worker did before it died may reach us this much later than the look after its death.
const MARGIN: Duration = Duration::from_secs(2);

/// What one source shows of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence {
    /// Looks that showed this incarnation there.
    pub looks: u32,
    /// How it ended, and when that was first seen.
    pub gone: Option<(Gone, Moment)>,
    /// It is there and does nothing.
    pub held: Option<Hold>,
}

impl Worker {
    /// A look at its process.
    pub(crate) fn host_seen(&mut self, source: &Arc<str>, host: Host, look: Seen) {
        let Some(sight) = self.sights.get_mut(source) else { return };
        let mut fresh = false;
        let channel = self.channels.entry((source.clone(), What::Host)).or_insert_with(|| {
            fresh = true;
            Channel::found(look.now, None)
        });
        let presence = &mut sight.host;
        match host {
            Host::Gone(gone) => {
                presence.gone.get_or_insert((gone, look.now));
                presence.held = None;
                sight.notes.clear();
                self.checked = Some((look.now, look.wall));
            }
            Host::Able | Host::Held(_) => {
                presence.gone = None;
                presence.looks = presence.looks.saturating_add(1);
                presence.held = if let Host::Held(hold) = host { Some(hold) } else { None };
            }
        }
        // First sight is not a move.
        if host == Host::Able && !fresh {
            channel.answered(look.now, look.wall);
        } else {
            channel.look(look.now, look.wall, look.interval, None, None);
        }
        sight.health.ended(look.now, look.wall, None);
    }

    /// Its process, all sources together.
    pub(crate) fn process(&self, around: Around<'_>) -> Pulse {
        self.freshest(ChannelKind::Host, around)
    }

    /// Nothing but its process is known of it, and a second look showed that it stays.
    pub(crate) fn is_only_there(&self) -> bool {
        self.channels.keys().all(|(_, what)| *what == What::Host) && self.sights.values().any(|s| s.host.looks > 1)
    }

    /// Row 1: it was there, it is gone for every source that shows it, and nothing was heard of it since.
    pub(crate) fn host_gone(&self, around: Around<'_>) -> Option<Reason> {
        let (gone, since) = self.gone(around)?;
        let there_once = self.sights.values().any(|s| s.host.looks > 0);
        let convicts = there_once && self.was_asked_since(since, around) && !self.spoke_after(since, around);
        convicts.then_some(match gone {
            Gone::Exited => Reason::Exited,
            Gone::OomKilled => Reason::OomKilled,
        })
    }

    /// Whoever has an endpoint is asked there before another's word convicts it.
    fn was_asked_since(&self, moment: Moment, around: Around<'_>) -> bool {
        self.channels
            .iter()
            .filter(|((source, what), c)| *what == What::Reach && !self.blind(source, *what, c, around))
            .all(|(_, c)| c.looked > moment)
    }

    /// What its process check reads.
    pub(crate) fn presence(&self, around: Around<'_>) -> Option<checks::Presence> {
        if let Some((_, since)) = self.gone(around) {
            let there_once = self.sights.values().any(|s| s.host.looks > 0);
            return match (self.spoke_after(since, around), there_once) {
                (true, _) => Some(checks::Presence::Contradicted),
                (false, true) => Some(checks::Presence::Gone),
                // Not there yet, and its grace decides on that.
                (false, false) => None,
            };
        }
        let shown = self.hosts(around).filter(|(_, _, presence)| presence.gone.is_none());
        let held = |(source, channel, presence): (&Arc<str>, &Channel, &Presence)| {
            let limits = self.limits(source, What::Host, channel, around);
            presence.held.map_or(checks::Presence::Able, |hold| {
                checks::Presence::Held(hold, checks::Silence { silent: channel.silent, limits })
            })
        };
        let mut all: Vec<_> = shown.map(held).collect();
        all.sort_by_key(|presence| matches!(presence, checks::Presence::Able));
        all.first().copied()
    }

    /// Told by a record of an incarnation that another source knows to be replaced.
    pub(crate) fn is_former(&self, observation: &Observation) -> bool {
        self.succession.as_ref().is_some_and(|(older, _)| observation.info.pid.as_ref() == Some(older))
    }

    /// Gone for all that show it; the last to see it go counts.
    fn gone(&self, around: Around<'_>) -> Option<(Gone, Moment)> {
        let mut last = None;
        for (_, _, presence) in self.hosts(around) {
            let gone = presence.gone?;
            last = Some(last.map_or(gone, |last: (Gone, Moment)| if gone.1 > last.1 { gone } else { last }));
        }
        last
    }

    /// The sources that show its process now.
    fn hosts<'w>(&'w self, around: Around<'w>) -> impl Iterator<Item = (&'w Arc<str>, &'w Channel, &'w Presence)> {
        self.sights.iter().filter_map(move |(source, sight)| {
            let channel = self.channels.get(&(source.clone(), What::Host))?;
            (!self.blind(source, What::Host, channel, around)).then_some((source, channel, &sight.host))
        })
    }

    /// It beat, worked or answered later than what it did before `moment` can have taken to reach us.
    fn spoke_after(&self, moment: Moment, around: Around<'_>) -> bool {
        self.channels.iter().filter(|((_, what), c)| *what != What::Host && c.believed()).any(|((source, what), c)| {
            let way = match what {
                What::Reach => Duration::ZERO,
                // The end of a poll that died with it is stamped up to a minute later.
                What::Access(_) => POLL + QUEUE_INTERVAL + MARGIN,
                _ => self.interval(source, around) + MARGIN,
            };
            c.moved.is_some_and(|(moved, _)| moved.since(moment) > way)
        })
    }
}
