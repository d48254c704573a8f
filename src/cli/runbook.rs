//! `runbook [NAME]`: what to do about an alert, for a terminal.

use clap::Args;
use url::Url;

use super::{Failed, explain, say};
use crate::bundle::{self, LABELS, Links, Values};

#[derive(Clone, Debug, Args)]
pub(super) struct RunbookFlags {
    /// The alert. Without it all runbooks are listed.
    #[arg(value_name = "ALERT")]
    alert: Option<String>,
    /// A label of the alert, such as fleet=orders. Can be repeated.
    #[arg(long, value_name = "LABEL=VALUE", requires = "alert")]
    set: Vec<String>,
    /// Where the exporter is, for commands and links.
    #[arg(long, env = "WORKER_EXPORTER_EXPORTER_URL", value_name = "URL")]
    exporter_url: Option<Url>,
    /// Where Grafana is, for links.
    #[arg(long, env = "WORKER_EXPORTER_GRAFANA_URL", value_name = "URL")]
    grafana_url: Option<Url>,
}

pub(super) fn run(flags: &RunbookFlags) -> Result<(), Failed> {
    let links = Links::new(flags.exporter_url.as_ref(), flags.grafana_url.as_ref()).map_err(Failed::Usage)?;
    let Some(name) = &flags.alert else {
        say(&list());
        return Ok(());
    };
    let values = values(&flags.set)?;
    let runbook = bundle::find(name).ok_or_else(|| Failed::Usage(unknown(name)))?;
    say(runbook.filled(&values, &links).trim_end());
    Ok(())
}

fn list() -> String {
    let longest = bundle::all().map(|runbook| runbook.name.len()).max().unwrap_or(0);
    let lines = bundle::all().map(|runbook| format!("{:longest$}  {}", runbook.name, runbook.meaning()));
    lines.collect::<Vec<_>>().join("\n")
}

fn unknown(name: &str) -> String {
    let close = explain::close_names(name, bundle::all().map(|runbook| runbook.name));
    let hint = if close.is_empty() {
        "`worker-exporter runbook` lists all".to_owned()
    } else {
        format!("did you mean {}?", close.join(", "))
    };
    format!("there is no runbook {name:?}\n  hint: {hint}")
}

fn values(set: &[String]) -> Result<Values, Failed> {
    let mut values = Values::default();
    for pair in set {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            let known = LABELS.join(", ");
            Failed::Usage(format!("--set {pair:?} has no =\n  hint: write LABEL=VALUE; the labels are {known}"))
        })?;
        values.set(name, value).map_err(|mistake| Failed::Usage(format!("--set: {mistake}")))?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_list_has_each_alert_with_its_meaning_on_a_line() {
        let list = list();
        assert_eq!(list.lines().count(), bundle::all().count());
        assert!(list.contains("WorkerDown  ") && list.lines().all(|line| line.ends_with('.')));
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_close_ones() {
        let text = unknown("Workerdown");
        assert!(text.starts_with("there is no runbook \"Workerdown\"\n  hint: did you mean WorkerDown"), "{text}");
        assert!(unknown("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz").contains("lists all"));
    }

    #[test]
    fn a_value_may_have_any_sign_and_a_label_must_be_known() {
        let set = |pair: &str| values(&[pair.to_owned()]);
        assert_eq!(set("worker=a=b").unwrap().get("worker"), Some("a=b"));
        for bad in ["worker", "path=x", "=x"] {
            assert!(matches!(set(bad), Err(Failed::Usage(_))), "{bad}");
        }
    }
}
