//! RQ: see `verdict/src/read/rq.rs` for the layout.

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult};
use verdict::evidence::{Observation, QueueReport};
use verdict::read::hash::Hash;
use verdict::read::{rq, stamp};

use super::super::connect::Refusal;
use super::super::{pattern, queue};
use super::{BATCH, FrameworkSource, Walk, head, queue_names};

/// What is asked of a job that is worked on. Its arguments stay where they are.
const OF_A_JOB: &[&str] = &[
    "timeout",
    "success_callback_name",
    "success_callback_timeout",
    "failure_callback_name",
    "failure_callback_timeout",
    "stopped_callback_name",
    "stopped_callback_timeout",
];

/// A worker that is busy: where it stands among the records, and the keys of what it works on.
struct Busy {
    record: usize,
    executions: String,
    current_job: Option<String>,
}

impl FrameworkSource {
    pub(super) async fn rq(&self, redis: &mut MultiplexedConnection) -> Result<Walk, Refusal> {
        let mut walk = Walk::default();
        let prefix = &self.prefix;
        let found = self.records(redis, &format!("{prefix}:workers"), <[u8]>::to_vec, &mut walk).await?;
        let before = format!("{prefix}:worker:");
        let mut busy = Vec::new();
        for found in found {
            let Some(name) = found.entry.strip_prefix(before.as_bytes()).map(pattern::name) else { continue };
            let Some(worker) = rq::worker(&name, &found.hash, &found.around(&self.fleet)) else { continue };
            if worker.numbers.in_flight == Some(1) {
                busy.push(Busy {
                    record: walk.records.len(),
                    executions: format!("{before}{name}:executions"),
                    current_job: found.hash.text("current_job").map(str::to_owned),
                });
            }
            walk.records.push(worker);
        }
        for batch in busy.chunks(BATCH) {
            self.jobs(redis, batch, &mut walk.records).await?;
        }
        walk.queues = queue_names(redis, &format!("{prefix}:queues"), &format!("{prefix}:queue:")).await?;
        Ok(walk)
    }

    /// What the busy ones hold. A right that lacks here costs only this.
    async fn jobs(
        &self,
        redis: &mut MultiplexedConnection,
        busy: &[Busy],
        records: &mut [Observation],
    ) -> Result<(), Refusal> {
        let mut pipe = Pipeline::new();
        for worker in busy {
            pipe.cmd("SMEMBERS").arg(&worker.executions);
        }
        pipe.ignore_errors();
        let answers: Vec<RedisResult<Vec<String>>> = pipe.query_async(redis).await?;
        let mut held = Vec::new();
        for (worker, answer) in busy.iter().zip(answers) {
            let executions = answer.unwrap_or_default();
            let Some(record) = records.get_mut(worker.record) else { continue };
            match (executions.as_slice(), &worker.current_job) {
                ([one], _) => held.push((worker.record, one.clone(), rq::job_of(one).to_owned())),
                ([], Some(job)) => held.push((worker.record, job.clone(), job.clone())),
                ([], None) => {}
                // One that works on several at once does not say how many it could.
                (several, _) => {
                    record.numbers.in_flight = Some(several.len() as u64);
                    for of_type in &mut record.types {
                        of_type.used = Some(several.len() as u64);
                        of_type.available = None;
                    }
                }
            }
        }
        let mut pipe = Pipeline::new();
        for (_, _, job) in &held {
            pipe.cmd("HMGET").arg(format!("{}:job:{job}", self.prefix)).arg(OF_A_JOB);
        }
        if held.is_empty() {
            return Ok(());
        }
        pipe.ignore_errors();
        let answers: Vec<RedisResult<Vec<Option<Vec<u8>>>>> = pipe.query_async(redis).await?;
        for ((record, execution, _), answer) in held.into_iter().zip(answers) {
            let (Some(record), Ok(values)) = (records.get_mut(record), answer) else { continue };
            let fields =
                OF_A_JOB.iter().zip(values).filter_map(|(name, value)| Some((name.as_bytes().to_vec(), value?)));
            record.held = Some(rq::held(&execution, &Hash::of(fields)));
        }
        Ok(())
    }

    /// A list of job ids, served at the left; when a job began to wait stands in its own hash.
    pub(super) async fn rq_queue(&self, redis: &mut MultiplexedConnection, name: &str) -> Result<QueueReport, Refusal> {
        let (mut report, head, now) = head(redis, &format!("{}:queue:{name}", self.prefix), 0).await?;
        if let Some(job) = head {
            let key = [format!("{}:job:", self.prefix).as_bytes(), &job].concat();
            let since: Option<Vec<u8>> = redis::cmd("HGET").arg(key).arg("enqueued_at").query_async(redis).await?;
            let stamp = since.and_then(|since| stamp::text(std::str::from_utf8(&since).ok()?).time());
            report.backlog_age = queue::age(stamp, now);
        }
        Ok(report)
    }
}
