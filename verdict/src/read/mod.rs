//! The pure halves of the readers: from what came over the wire to an observation.

pub mod celery;
pub mod cgroup;
pub mod dramatiq;
pub mod exposition;
pub mod file;
pub mod grpc;
pub mod hash;
pub mod health;
pub mod heartbeat;
mod numbers;
pub mod proc;
pub mod queue;
pub mod rq;
pub mod sidekiq;
pub mod stamp;
pub mod worker_metrics;

/// Lower case, without what people join or end words with: `Partially Available`, `OUT_OF_SERVICE` and `Alive!` lose
/// what differs. Anything else stays, so that `po\0ng` is no `pong`.
fn fold(word: &str) -> String {
    let joins = |c: &char| !matches!(c, ' ' | '_' | '-' | '\'' | '!' | '.');
    word.trim().chars().filter(joins).flat_map(char::to_lowercase).collect()
}
