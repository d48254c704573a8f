//! `bundle DIR`: writes alerts, dashboards and runbooks of exactly this version, with links filled in.

use std::path::PathBuf;

use clap::Args;
use url::Url;

use super::{Failed, say, say_error};
use crate::bundle::{self, EXPORTER, GRAFANA, Links, Overwrite};

#[derive(Clone, Debug, Args)]
pub(super) struct BundleFlags {
    /// Where to: a new or an empty folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where people reach the exporter: links to runbooks begin with it.
    #[arg(long, env = "WORKER_EXPORTER_EXPORTER_URL", value_name = "URL")]
    exporter_url: Option<Url>,
    /// Where they reach Grafana: links to dashboards begin with it.
    #[arg(long, env = "WORKER_EXPORTER_GRAFANA_URL", value_name = "URL")]
    grafana_url: Option<Url>,
    /// Replace files of these names, where the folder holds something already.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(flags: &BundleFlags) -> Result<(), Failed> {
    let links = Links::new(flags.exporter_url.as_ref(), flags.grafana_url.as_ref()).map_err(Failed::Usage)?;
    let overwrite = if flags.force { Overwrite::Ours } else { Overwrite::Never };
    let folder = flags.folder.display();
    let counts = bundle::write(&flags.folder, &links, overwrite).map_err(|failed| match failed {
        bundle::Failed::NotEmpty => Failed::Usage(format!(
            "{folder} holds something already\n  hint: name a new folder, or replace files of ours there with --force"
        )),
        bundle::Failed::System(path, error) => Failed::Run(format!("{} cannot be written: {error}", path.display())),
    })?;
    for (part, count) in counts {
        let noun = if count == 1 { "file" } else { "files" };
        say(&format!("{folder}/{part}: {count} {noun}"));
    }
    say(&format!("of worker-exporter {}", env!("CARGO_PKG_VERSION")));
    if !links.has_exporter() {
        say_error(&format!("links to runbooks begin with {EXPORTER}: give --exporter-url"));
    }
    if !links.has_grafana() {
        say_error(&format!("links to dashboards begin with {GRAFANA}: give --grafana-url"));
    }
    Ok(())
}
