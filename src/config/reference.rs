//! The reference page `docs/config.md`, made from the table.

use std::time::Duration;

use verdict::read::health::Fields;

use super::keys::{Absent, Group, KEYS, Key, Kind};
use super::quantity::{show_size, show_span};

const HEAD: &str = "# Configuration

<!-- Made from the table in src/config/keys.rs. Do not edit: `UPDATE_DOCS=1 cargo test --test config` writes it. -->

One YAML file, given with `--config.file`. Without a file the exporter watches the Temporal namespace that the
`TEMPORAL_*` environment points at. `worker-exporter check FILE` says every mistake of a file at once, with line,
column, reason and a hint; `/config` of a running exporter shows what is in force. Commented examples are in
`deploy/examples/`.

- A duration has units: `500ms`, `15s`, `1h30m`, `26h`, `1d`.
- A ratio is a number from 0 to 1 or a percentage: `0.9`, `90%`.
- A size is in bytes or has a unit: `65536`, `64KiB`.
- `{warning: …, critical: …}`: the check warns at or above the first, and is critical at or above the second, which is
  the higher one. A half that is left out comes from `defaults`, then from this page.
- Secrets are never written in clear. A key that ends in `_file` names a file, one that ends in `_env` a variable of the
  environment; give one of the two.
- Relative paths start at the folder of the file.
";

const ENVIRONMENT: &str = "## The environment, without a file

`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS`, `TEMPORAL_TLS_SERVER_NAME`,
`TEMPORAL_TLS_DISABLE_HOST_VERIFICATION`, `TEMPORAL_GRPC_META_*`, and as `_PATH` or `_DATA`
`TEMPORAL_TLS_SERVER_CA_CERT`, `TEMPORAL_TLS_CLIENT_CERT`, `TEMPORAL_TLS_CLIENT_KEY`, with the meaning that they have for
Temporal's own tools. An API key or any TLS setting switches TLS on unless `TEMPORAL_TLS=false`. A file is explicit: with
`--config.file` none of these is read, unless the file names it.

What none of these says is taken from `temporal.toml`, as Temporal's tools do: the file that `TEMPORAL_CONFIG_FILE` names,
or `temporalio/temporal.toml` in the folder of the user's configuration (`$XDG_CONFIG_HOME`, `~/.config`), and in it the
profile that `TEMPORAL_PROFILE` names, or `default`. A file or a profile that is named must be there. With a file of ours a
Temporal source names a profile with `profile:`.
";

/// The page.
#[must_use]
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for group in Group::ALL {
        page.push_str(&format!("\n## {}\n\n{}\n\n", capital(group.title()), group.about()));
        page.push_str("| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
        KEYS.iter().filter(|key| key.group == *group).for_each(|key| page.push_str(&row(key)));
    }
    page.push_str("\n## Names for `fields`\n\n| field | meaning |\n| --- | --- |\n");
    Fields::meanings().for_each(|(name, meaning)| page.push_str(&format!("| `{name}` | {meaning} |\n")));
    page.push('\n');
    page.push_str(ENVIRONMENT);
    page
}

fn row(key: &Key) -> String {
    let default = match key.absent {
        Absent::Required => "**required**".to_owned(),
        Absent::Nothing => String::new(),
        Absent::Value(yaml) => format!("`{yaml}`"),
        Absent::Says(says) => says.to_owned(),
    };
    format!("| `{}` | {} | {default} | {} |\n", key.name, kind(key.kind), key.meaning)
}

/// The type, with its range, and a link to the section that a mapping is.
fn kind(of: Kind) -> String {
    match of {
        Kind::Whole { least, most } => format!("whole number, {least} to {most}"),
        Kind::Number { least, most } => format!("number, {least} to {most}"),
        Kind::Size { least, most } => format!("size, {} to {}", show_size(least), show_size(most)),
        Kind::Span { least, .. } if least > Duration::from_millis(1) => {
            format!("duration, at least {}", show_span(least))
        }
        Kind::Section(group) => link(group),
        Kind::AnySource => link(Group::Source),
        Kind::List(of) => format!("list: {}", kind(*of)),
        of => of.says(),
    }
}

fn link(group: Group) -> String {
    let anchor = group.title().replace(' ', "-").replace('`', "");
    format!("[{}](#{anchor})", group.title())
}

fn capital(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
