//! What the world sees: metrics, API, page, events. All render the same `Arc<Snapshot>`, so they can never disagree,
//! and nothing is observed while somebody asks.

mod api;
mod guard;
pub mod metrics;
mod negotiate;
mod openapi;
mod page;
mod problem;
mod query;
pub mod reference;
mod routes;
mod runbooks;
mod site;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use guard::{Seldom, guarded};
pub use site::{Reload, ReloadStatus, Site, router};
