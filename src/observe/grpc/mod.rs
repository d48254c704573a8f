//! Source: grpc. The health service of gRPC servers (`grpc.health.v1`), asked over a fresh connection each time, like a
//! health endpoint over HTTP.

mod check;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use verdict::evidence::{Observation, Report, Scope, WorkerKey};
use verdict::read::grpc::NotServing;
use verdict::read::health::HealthAnswer;
use verdict::words::Failure;

use self::check::Call;
use super::Observe;
use super::fetch::Visits;
use super::targets::Known;
use crate::config::{self, Access, HttpTarget};

/// What we say in the TLS handshake that we speak. Servers of gRPC refuse who does not.
const HTTP2: &[u8] = b"h2";

/// One configured source of gRPC health services.
pub struct GrpcSource {
    visits: Visits,
    service: String,
    not_serving: NotServing,
}

impl GrpcSource {
    /// A source over `known` targets.
    #[must_use]
    pub fn new(source: &config::Source, grpc: &config::GrpcSource, known: Known) -> Self {
        Self {
            visits: Visits::new(source, &grpc.targets, known, "gRPC health service").speaking(HTTP2),
            service: grpc.service.clone(),
            not_serving: grpc.not_serving,
        }
    }

    async fn look_at(&self, key: &WorkerKey) -> Result<Report, Failure> {
        let timeout = self.visits.timeout;
        let call = Call { service: &self.service, not_serving: self.not_serving, timeout };
        let asked =
            async |target: HttpTarget, access: Arc<Access>| call.of(&target.url, &access, &self.visits.keyring).await;
        let read = |answer: HealthAnswer, took, observation: &mut Observation| {
            answer.put_into(observation, took, timeout).map(|()| None)
        };
        Ok(Report::Worker(Box::new(self.visits.visit(key, asked, read).await?)))
    }
}

impl Observe for GrpcSource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Worker(key) => self.look_at(key).await,
                // A health service lists nobody and knows no queues.
                Scope::Listing | Scope::Queue(_) => Err(Failure::Unimplemented),
            }
        })
    }
}
