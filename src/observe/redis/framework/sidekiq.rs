//! Sidekiq: see `verdict/src/read/sidekiq.rs` for the layout.

use redis::aio::MultiplexedConnection;
use verdict::evidence::QueueReport;
use verdict::read::sidekiq;

use super::super::connect::Refusal;
use super::super::{pattern, queue};
use super::{FrameworkSource, Walk, head, queue_names};

impl FrameworkSource {
    pub(super) async fn sidekiq(&self, redis: &mut MultiplexedConnection) -> Result<Walk, Refusal> {
        let mut walk = Walk::default();
        let before = self.before();
        let key = |entry: &[u8]| [before.as_bytes(), entry].concat();
        let found = self.records(redis, &format!("{before}processes"), key, &mut walk).await?;
        for found in found {
            let identity = pattern::name(&found.entry);
            let Some(mut process) = sidekiq::process(&identity, &found.hash, &found.around(&self.fleet)) else {
                continue;
            };
            // It took itself out of the index: a clean end, whose record expires by itself.
            process.says.goodbye |= !found.listed;
            walk.records.push(process);
        }
        walk.queues = queue_names(redis, &format!("{before}queues"), "").await?;
        Ok(walk)
    }

    /// A list of jobs, served at the right; each carries the time at which it was put there.
    pub(super) async fn sidekiq_queue(
        &self,
        redis: &mut MultiplexedConnection,
        name: &str,
    ) -> Result<QueueReport, Refusal> {
        let (mut report, head, now) = head(redis, &format!("{}queue:{name}", self.before()), -1).await?;
        report.backlog_age = queue::age(head.and_then(|job| verdict::read::queue::stamp(&job)), now);
        Ok(report)
    }

    /// What the gem redis-namespace puts in front of every key.
    fn before(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}:", self.prefix) }
    }
}
