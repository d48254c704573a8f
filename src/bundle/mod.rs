//! What comes with the program: alerts, dashboards and runbooks of exactly this version, with links and labels filled in.
//!
//! The files in the repository are read and edited by people, and name two places that nobody has: [`EXPORTER`] and
//! [`GRAFANA`]. Whoever hands a file out puts real ones there. Pure but for [`write`](fn@write).

mod advice;
mod fill;
mod html;
mod links;
mod runbook;
mod table;
mod write;

pub use advice::advice;
pub use fill::{LABELS, Mistake, Values};
pub use html::page;
pub use links::{EXPORTER, GRAFANA, Links};
pub use runbook::{Runbook, all, find};
pub use write::{Failed, Overwrite, write};
