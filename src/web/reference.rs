//! The reference pages, written from the tables. A test compares them with `docs/`; `UPDATE_DOCS=1` rewrites them.

use std::fmt::Write as _;

use verdict::words::{ChannelKind, Check, Failure, Reason, SourceKind, State, Status, TaskFailure, TaskType};

use super::api::schema::{Null, SHAPES};
use super::metrics::table::{FAMILIES, WORKER_SERIES};
use super::routes::ROUTES;

const HEAD: &str = "<!-- Written from the tables in the code: change those, then run `UPDATE_DOCS=1 cargo test --lib reference`. -->\n";

/// Text that may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

macro_rules! words {
    ($page:expr, $($set:ident),+) => {
        $(
            let _ = write!($page, "\n### {}\n\n| word | meaning |\n|---|---|\n", stringify!($set));
            for value in $set::ALL {
                let _ = writeln!($page, "| `{}` | {} |", value.word(), cell(value.meaning()));
            }
        )+
    };
}

/// `docs/metrics.md`.
#[must_use]
pub fn metrics() -> String {
    let mut page = format!(
        "{HEAD}# Metrics\n\nSeconds, bytes, ratios from 0 to 1; timestamps rather than ages; stamps are of the exporter's own clock where \
         nothing else is said. What is not known is absent, never 0 and never NaN. A worker has at most {WORKER_SERIES} series; the \
         rows of a worker stand in the order of their worth, and the last ones yield, counted by \
         `worker_exporter_series_dropped_total`. `stable` names stay within a major version.\n"
    );
    let subjects = [
        ("worker", "Per worker", "From the snapshot: a worker that left has no series."),
        ("fleet", "Per fleet", "A fleet that is configured or expected never vanishes."),
        ("queue", "Per queue", "Of Temporal, and of Redis-backed frameworks."),
        ("exporter", "Of the exporter", "Rendered at each scrape, so that a frozen snapshot shows."),
    ];
    for (subject, title, note) in subjects {
        let _ = write!(
            page,
            "\n## {title}\n\n{note}\n\n| name | kind | labels | stability | meaning |\n|---|---|---|---|---|\n"
        );
        for family in FAMILIES.iter().filter(|family| family.subject() == subject) {
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} |",
                family.name,
                family.kind.word(),
                labels.join(" "),
                family.stability.word(),
                cell(family.help)
            );
        }
    }
    page.push_str("\n## Label values\n\nClosed sets; every other label value is a name from the configuration or from discovery.\n");
    words!(page, State, Reason, Check, Failure, TaskFailure, TaskType, SourceKind);
    page
}

/// `docs/api.md`.
#[must_use]
pub fn api() -> String {
    let mut page = format!(
        "{HEAD}# HTTP\n\nEverything renders the same snapshot as `/metrics`. All paths stand under `--web.route-prefix`. Errors are \
         `application/problem+json` (RFC 9457). An unknown query parameter is an error. `HEAD` works wherever `GET` does. The same as \
         OpenAPI 3.1: `/openapi.json`.\n\n| path | answer |\n|---|---|\n"
    );
    for route in ROUTES {
        let _ = writeln!(page, "| `{} {}` | {} |", route.method, route.path, cell(route.summary));
    }
    for route in ROUTES.iter().filter(|route| !route.parameters.is_empty() || !route.errors.is_empty()) {
        let _ = write!(page, "\n## `{} {}`\n\n{}\n\n", route.method, route.path, route.summary);
        for parameter in route.parameters {
            let _ = writeln!(page, "- `{}`: {}", parameter.name, parameter.meaning);
        }
        for (status, when) in route.errors {
            let _ = writeln!(page, "- {status}: {when}");
        }
        if let Some(shape) = route.shape {
            let _ = writeln!(page, "- Answer: [{}](#{})", shape.name, shape.name.to_lowercase());
        }
    }
    page.push_str("\n## Shapes\n\n`null` is: not known.\n");
    for shape in SHAPES {
        let _ = write!(page, "\n### {}\n\n| field | type | meaning |\n|---|---|---|\n", shape.name);
        for field in shape.fields {
            let null = match field.null {
                Null::Never => "",
                Null::Unknown => " or null",
                Null::Absent => ", left out if not known",
            };
            let _ = writeln!(page, "| `{}` | {}{null} | {} |", field.name, field.kind.prose(), cell(field.meaning));
        }
    }
    page.push_str("\n## Words\n");
    words!(page, Status, State, Reason, Check, Failure, ChannelKind, TaskType, SourceKind);
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test may stop at what it did not expect")]
    use std::path::Path;

    fn compare(name: &str, page: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, page).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "docs/{name} is not what the tables say: run UPDATE_DOCS=1 cargo test --lib reference"
        );
    }

    #[test]
    fn the_reference_of_the_metrics_is_what_the_table_says() {
        compare("metrics.md", &super::metrics());
    }

    #[test]
    fn the_reference_of_the_api_is_what_the_tables_say() {
        compare("api.md", &super::api());
    }
}
