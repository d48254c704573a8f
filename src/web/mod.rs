//! Room: web.

mod site;

pub use site::{Reload, ReloadStatus, Site};
