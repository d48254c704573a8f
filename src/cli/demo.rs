//! `demo`: the same program on workers that are simulated in this process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use verdict::ledger::Change;

use super::flags::{LogFlags, WebFlags};
use super::{Failed, runtime, say};
use crate::app::{App, Launch};
use crate::{demo, logging};

#[derive(Clone, Debug, Args)]
pub(super) struct DemoFlags {
    #[command(flatten)]
    web: WebFlags,
    #[command(flatten)]
    log: LogFlags,
}

pub(super) fn run(flags: &DemoFlags) -> Result<(), Failed> {
    // Simulated workers are nobody else's business: loopback only, unless it is asked for.
    let web = flags.web.settings("127.0.0.1:10860")?;
    let door = flags.web.door()?;
    // Changes of state are told on standard output here; the log would only say them twice.
    let level = match flags.log.level {
        logging::Level::Info => logging::Level::Warn,
        other => other,
    };
    let _log = logging::start(level, flags.log.format, logging::LINES);
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let settings = demo::start(stop.child_token())
            .await
            .map_err(|error| Failed::Run(format!("the simulated workers do not start: {error}")))?;
        let scheme = if door.is_tls() { "https" } else { "http" };
        let (prefix, metrics) = (web.route_prefix.clone(), web.telemetry_path.clone());
        let app = App::start(Launch { settings, load: None, watch: None, web, door })
            .await
            .map_err(|broken| Failed::Run(broken.to_string()))?;
        for address in app.addresses() {
            let base = format!("{scheme}://{}{prefix}", reachable(*address));
            say(&format!("page     {base}/"));
            say(&format!("metrics  {base}{metrics}"));
            say(&format!("status   {base}/health/workers"));
        }
        let tell = tokio::spawn(tell(app.changes()));
        let outcome = app.run(CancellationToken::new()).await;
        stop.cancel();
        tell.abort();
        outcome.map_err(|broken| Failed::Run(broken.to_string()))
    })?;
    runtime.shutdown_background();
    Ok(())
}

/// An address that can be opened in a browser: "every address" is none.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn tell(mut changes: broadcast::Receiver<std::sync::Arc<Change>>) {
    loop {
        match changes.recv().await {
            Ok(change) => say(&line(&change)),
            Err(broadcast::error::RecvError::Lagged(missed)) => say(&format!("({missed} changes not shown)")),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

pub(super) fn line(change: &Change) -> String {
    let from = change.from.map_or("new", |state| state.word());
    let to = change.to.map_or("left", |state| state.word());
    let Change { key, reason, detail, .. } = change;
    format!("{}/{}  {from} -> {to}  {reason}: {detail}", key.fleet, key.worker)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use verdict::evidence::WorkerKey;
    use verdict::time::WallTime;
    use verdict::words::{Reason, State};

    use super::*;

    #[test]
    fn a_change_is_one_line_with_its_reason() {
        let change = Change {
            key: WorkerKey::new("emails", "w-1"),
            from: Some(State::Healthy),
            to: Some(State::Down),
            reason: Reason::Refused,
            detail: "nothing listens on 127.0.0.1:9".into(),
            at: WallTime::default(),
        };
        assert_eq!(line(&change), "emails/w-1  healthy -> down  refused: nothing listens on 127.0.0.1:9");
    }

    #[test]
    fn every_address_is_shown_as_one_that_opens() {
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "127.0.0.1:1");
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()).to_string(), "127.0.0.1:1");
        assert_eq!(reachable("[::1]:1".parse().unwrap()).to_string(), "[::1]:1");
    }
}
