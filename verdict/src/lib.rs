//! The verdict: how evidence about a worker becomes a state, a score and a reason.
//!
//! Pure: no clock, no I/O, no task. `now` is an argument everywhere, so that a year of a fleet's life runs in seconds.
//! The order of thought is the order of the rooms: identity, evidence, silence, checks, score, state.

pub mod cadence;
pub mod channel;
pub mod checks;
pub mod evidence;
pub mod histogram;
mod host;
pub mod ledger;
pub mod progress;
pub mod queue;
pub mod read;
pub mod rules;
pub mod slots;
pub mod snapshot;
pub mod source;
pub mod state;
pub mod tally;
pub mod time;
pub mod versions;
pub mod window;
pub mod words;
pub mod work;
pub mod worker;
