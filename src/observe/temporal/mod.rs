//! Temporal: the worker registry and the task queues of one namespace.
//!
//! `fetch` asks within a deadline and a budget, `read` turns the answers into evidence, `naming` says which worker a
//! record belongs to, `budget` how much may be asked, `details` about whom to ask one by one, `versions` which version of
//! the workers is given tasks, `deployments` what to ask about them and how seldom, `partitions` who polls where,
//! `timeouts` how many
//! workflows ran out of time, `complaints` what the log says of it; `own` is the view of a sidecar, of one worker.

mod budget;
mod client;
mod complaints;
mod deployments;
mod details;
mod failure;
mod fetch;
mod naming;
mod own;
mod pages;
mod partitions;
mod read;
mod timeouts;
mod tls;
mod versions;

pub use fetch::TemporalSource;
pub use own::{OwnPoll, OwnSeen, OwnWorker, Whose};
