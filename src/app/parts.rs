//! One row for each kind of source: who looks at it, and what it is told of workers that a list names. Adding a kind
//! is one row here.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verdict::evidence::WorkerKey;

use crate::config::{Detail, Source};
use crate::discovery::{self, Found};
use crate::observe::Observe;
use crate::observe::fetch::Lists;
use crate::observe::file::FileSource;
use crate::observe::grpc::GrpcSource;
use crate::observe::http::HttpSource;
use crate::observe::metrics::MetricsSource;
use crate::observe::process::ProcessSource;
use crate::observe::redis::RedisSource;
use crate::observe::redis::celery::CelerySource;
use crate::observe::redis::framework::FrameworkSource;
use crate::observe::targets::Known;
use crate::observe::temporal::TemporalSource;

/// Finds the targets of a source: see [`discovery::watch`].
pub(super) fn watch(source: &Source, tasks: &TaskTracker, cancel: CancellationToken) -> Option<mpsc::Receiver<Found>> {
    discovery::watch(source, tasks, cancel, Arc::new(Lists::default()))
}

/// What a source is made of.
pub(super) struct Part {
    /// Who looks.
    pub(super) observer: Arc<dyn Observe>,
    /// Tells the one who looks where the workers are. Does nothing where a source lists its own.
    pub(super) learn: Box<dyn Fn(&Found) + Send + Sync>,
}

/// Puts together what `source` needs. Called inside the runtime of the looks.
pub(super) fn part(source: &Source) -> Part {
    match &source.detail {
        Detail::Http(http) => asking(|known| HttpSource::new(source, http, known)),
        Detail::Metrics(metrics) => asking(|known| MetricsSource::new(source, metrics, known)),
        Detail::Grpc(grpc) => asking(|known| GrpcSource::new(source, grpc, known)),
        Detail::Temporal(temporal) => alone(Arc::new(TemporalSource::connect(source, temporal))),
        Detail::Process(process) => alone(Arc::new(ProcessSource::new(source, process))),
        Detail::Redis(redis) => alone(Arc::new(RedisSource::new(source, redis))),
        Detail::Celery(celery) => alone(Arc::new(CelerySource::new(source, celery))),
        Detail::Framework(framework) => alone(Arc::new(FrameworkSource::new(source, framework))),
        Detail::File(file) => alone(Arc::new(FileSource::new(source, file))),
    }
}

/// A source that asks each worker at the address that discovery found.
fn asking<O: Observe + 'static>(make: impl FnOnce(Known) -> O) -> Part {
    let known = Known::default();
    let observer = Arc::new(make(Arc::clone(&known)));
    Part { observer, learn: Box::new(move |found| learn(&known, found)) }
}

/// A source that lists its own workers, or knows them from the configuration.
fn alone(observer: Arc<dyn Observe>) -> Part {
    Part { observer, learn: Box::new(|_| ()) }
}

fn learn(known: &Known, found: &Found) {
    let by_key = found
        .targets
        .iter()
        .map(|target| (WorkerKey::new(Arc::clone(&target.fleet), Arc::clone(&target.id)), target.clone()));
    known.store(Arc::new(by_key.collect()));
}
