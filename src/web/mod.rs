//! Room: web.

mod site;

use std::sync::Arc;

pub use site::{Reload, ReloadStatus, Site};

/// The paths that `app` needs; the room's own router takes its place.
pub fn router(site: Arc<Site>) -> axum::Router {
    let prefix = site.web.route_prefix.trim_end_matches('/').to_owned();
    axum::Router::new().route(
        &format!("{prefix}/-/ready"),
        axum::routing::get(move || async move {
            if (site.ready)() { axum::http::StatusCode::OK } else { axum::http::StatusCode::SERVICE_UNAVAILABLE }
        }),
    )
}
