//! Prometheus HTTP SD: target groups from a web server, asked now and then.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::file_sd::parse::{self, Format};
use super::{Report, Told};
use crate::config::{Access, HttpSd, HttpTarget, Secret, Targets};

/// No list of targets is larger.
pub const LARGEST: usize = 16 * 1024 * 1024;
/// One answer, from the name of the server to the last byte.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug)]
pub struct Page {
    /// HTTP status.
    pub code: u16,
    /// As the server says it.
    pub content_type: Option<String>,
    /// At most as long as was asked for.
    pub body: Vec<u8>,
}

/// Gets one page within [`LARGEST`] and [`DEADLINE`], following no redirect. What went wrong is a sentence without any
/// secret.
pub trait Fetch: Send + Sync {
    /// Gets it.
    fn get<'a>(
        &'a self,
        url: &'a Url,
        access: &'a Arc<Access>,
    ) -> Pin<Box<dyn Future<Output = Result<Page, String>> + Send + 'a>>;
}

/// Asks again and again, and reports each full list. A failure reports nothing, so that the last good list stands.
pub(super) async fn run(source: Targets, sd: HttpSd, fetch: Arc<dyn Fetch>, report: Report, cancel: CancellationToken) {
    let access = Arc::new(with_interval(&sd));
    let mut told = Told::default();
    loop {
        let found = async {
            let page = fetch.get(&sd.url, &access).await?;
            read(&page, &source, &report.fleet, sd.most)
        };
        let Some(found) = cancel.run_until_cancelled(found).await else { return };
        let outcome = match found {
            Ok((targets, refused)) => {
                if !report.send(targets).await {
                    return;
                }
                refused.join("; ")
            }
            Err(why) => format!("not used, the last good list stays in force: {why}"),
        };
        // The address as configured has no userinfo, and a query with a secret is refused there.
        told.say(&report.source, "HTTP SD", outcome);
        if cancel.run_until_cancelled(tokio::time::sleep(sd.refresh)).await.is_none() {
            return;
        }
    }
}

/// Servers may answer with what has changed since, or want to know how old their answer will be.
fn with_interval(sd: &HttpSd) -> Access {
    let mut access = Access::clone(&sd.access);
    let seconds = sd.refresh.as_secs_f64().to_string();
    access.headers.push(("X-Prometheus-Refresh-Interval-Seconds".to_owned(), Secret::held(seconds)));
    access
}

type Read = (Vec<HttpTarget>, Vec<String>);

/// The targets of a page, and a sentence for each that is refused. Pure.
fn read(page: &Page, source: &Targets, fleet: &Arc<str>, most: usize) -> Result<Read, String> {
    if page.code != 200 {
        let hint = match page.code {
            300..=399 => "; redirects are not followed: configure the final address",
            401 | 403 | 407 => "; our credentials were refused",
            _ => "",
        };
        return Err(format!("the server answers {}{hint}", page.code));
    }
    let kind = page.content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err("the answer is not of type application/json".to_owned());
    }
    let text = std::str::from_utf8(&page.body).map_err(|_| "the answer is not UTF-8".to_owned())?;
    let groups = parse::groups(Format::Json, text).map_err(|mistake| mistake.to_string())?;
    let count: usize = groups.iter().map(|group| group.targets.len()).sum();
    if count > most {
        return Err(format!("it has {count} targets, more than `max_targets` {most}"));
    }
    let (targets, refused) = parse::targets(&groups, source, fleet);
    // One sentence for each kind of refusal is enough, however many there are.
    let refused: BTreeMap<String, ()> = refused.into_iter().take(10).map(|why| (why, ())).collect();
    Ok((targets, refused.into_keys().collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    fn page(code: u16, content_type: &str, body: &str) -> Page {
        Page { code, content_type: Some(content_type.to_owned()), body: body.into() }
    }

    fn ids(page: &Page) -> Result<Vec<String>, String> {
        let read = read(page, &Targets::of(Vec::new(), "/health"), &Arc::from("night"), 2);
        read.map(|(targets, _)| targets.iter().map(|target| target.id.to_string()).collect())
    }

    #[test]
    fn only_a_whole_good_answer_is_a_list() {
        let good = r#"[{"targets":["a:1"],"labels":{"__meta_x":"y"}},{"targets":["b:1"]}]"#;
        assert_eq!(ids(&page(200, "application/json; charset=utf-8", good)).unwrap(), ["a:1", "b:1"]);
        assert_eq!(ids(&page(200, "application/json", "[]")).unwrap(), Vec::<String>::new(), "nobody is a list, too");
        for (page, why) in [
            (page(503, "application/json", good), "answers 503"),
            (page(302, "application/json", ""), "redirects are not followed"),
            (page(401, "application/json", ""), "our credentials were refused"),
            (page(200, "text/html", good), "not of type application/json"),
            (page(200, "application/json", ""), "empty"),
            (page(200, "application/json", &good[..20]), "line 1 column 20"),
            (page(200, "application/json", r#"[{"targets":["a:1","b:1","c:1"]}]"#), "more than `max_targets` 2"),
        ] {
            let said = ids(&page).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let page = Page { code: 200, content_type: Some("application/json".to_owned()), body };
            let _ = ids(&page);
        }
    }
}
