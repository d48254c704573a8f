//! Room: demo.

use tokio_util::sync::CancellationToken;

use crate::config::Settings;

/// Starts the simulated workers and says where they are.
///
/// # Errors
/// The simulation is not there yet.
pub async fn start(_stop: CancellationToken) -> std::io::Result<Settings> {
    Err(std::io::ErrorKind::Unsupported.into())
}
