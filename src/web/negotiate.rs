//! What a scraper may be sent: format by `Accept`, coding by `Accept-Encoding`, both with their q-values.

use axum::http::{HeaderMap, HeaderName, header};

/// The two formats of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Text,
}

impl Format {
    /// Exactly what Prometheus 3 wants to read: it fails a scrape whose type it does not know.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The two codings of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
}

/// One element of an `Accept`-like header.
struct Choice<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// Thousandths, as RFC 9110 allows three digits.
    q: u32,
}

/// All elements of all headers of this name. What cannot be read is left out: a scraper with an odd header
/// still gets the default.
fn choices<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<Choice<'a>> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?;
            let mut parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let q = parameters.iter().position(|(key, _)| key.eq_ignore_ascii_case("q"));
            let q = match q {
                Some(at) => thousandths(parameters.remove(at).1)?,
                None => 1000,
            };
            Some(Choice { name, parameters, q })
        })
        .collect()
}

/// `0.25` → 250; `None` when it is no weight between 0 and 1.
fn thousandths(q: &str) -> Option<u32> {
    let q: f64 = q.trim().parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000, just checked")]
    (0.0..=1.0).contains(&q).then_some((q * 1000.0).round() as u32)
}

/// The format to answer in. Nothing that we have is acceptable: text, because a scraper that gets an answer it may not
/// like is better off than one that gets none.
#[must_use]
pub(super) fn format(headers: &HeaderMap) -> Format {
    let choices = choices(headers, &header::ACCEPT);
    let version = |choice: &Choice<'_>, wanted: &str| {
        choice
            .parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("version"))
            .is_none_or(|(_, value)| value.trim_matches('"') == wanted)
    };
    // The most specific range decides about a type, whatever its weight.
    let weight = |ranges: [&dyn Fn(&Choice<'_>) -> bool; 3]| {
        ranges
            .into_iter()
            .find_map(|matches| choices.iter().filter(|choice| matches(choice)).map(|choice| choice.q).max())
            .unwrap_or(0)
    };
    let is = |name: &'static str| move |choice: &Choice<'_>| choice.name.eq_ignore_ascii_case(name);
    let open = weight([
        &|choice| is("application/openmetrics-text")(choice) && version(choice, "1.0.0"),
        &is("application/*"),
        &|_| false,
    ]);
    let text = weight([&|choice| is("text/plain")(choice) && version(choice, "0.0.4"), &is("text/*"), &is("*/*")]);
    if open > 0 && open >= text { Format::OpenMetrics } else { Format::Text }
}

/// The forms of a text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prose {
    Html,
    Markdown,
    /// Markdown, for who asked for plain text.
    Plain,
}

/// The form to answer in: a page, unless one of the others is asked for by name and no page is liked better.
#[must_use]
pub(super) fn prose(headers: &HeaderMap) -> Prose {
    let choices = choices(headers, &header::ACCEPT);
    let of = |name: &str| {
        choices.iter().filter(|choice| choice.name.eq_ignore_ascii_case(name)).map(|choice| choice.q).max()
    };
    let html = of("text/html").or_else(|| of("text/*")).or_else(|| of("*/*")).unwrap_or(0);
    let (markdown, plain) = (of("text/markdown").unwrap_or(0), of("text/plain").unwrap_or(0));
    if markdown > html && markdown >= plain {
        Prose::Markdown
    } else if plain > html {
        Prose::Plain
    } else {
        Prose::Html
    }
}

/// The coding to answer in.
#[must_use]
pub(super) fn coding(headers: &HeaderMap) -> Coding {
    let choices = choices(headers, &header::ACCEPT_ENCODING);
    let of = |name: &str| choices.iter().find(|choice| choice.name.eq_ignore_ascii_case(name)).map(|choice| choice.q);
    let gzip = of("gzip").or_else(|| of("x-gzip")).or_else(|| of("*")).unwrap_or(0);
    if gzip > 0 && gzip >= of("identity").unwrap_or(0) { Coding::Gzip } else { Coding::Identity }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_format_follows_the_accept_header() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, expected) in [
            (prometheus_3, Format::OpenMetrics),
            ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", Format::OpenMetrics),
            ("application/openmetrics-text; version=2.0.0", Format::Text),
            ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9", Format::Text),
            ("application/openmetrics-text;version=1.0.0;q=0,*/*", Format::Text),
            ("application/*", Format::OpenMetrics),
            ("text/plain;version=0.0.4", Format::Text),
            ("text/plain, application/openmetrics-text", Format::OpenMetrics),
            ("*/*", Format::Text),
            (browser, Format::Text),
            ("image/png", Format::Text),
            ("", Format::Text),
            (";;q=,,=", Format::Text),
            ("application/openmetrics-text;q=7", Format::Text),
        ] {
            assert_eq!(format(&headers(header::ACCEPT, accept)), expected, "Accept: {accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn a_text_is_a_page_unless_something_else_is_asked_for_by_name() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, expected) in [
            (browser, Prose::Html),
            ("*/*", Prose::Html),
            ("", Prose::Html),
            ("text/markdown", Prose::Markdown),
            ("text/markdown, text/plain;q=0.9, */*;q=0.1", Prose::Markdown),
            ("text/plain", Prose::Plain),
            ("text/plain;q=0.5, text/html", Prose::Html),
            ("text/markdown, */*", Prose::Html),
            ("text/markdown;q=0", Prose::Html),
        ] {
            assert_eq!(prose(&headers(header::ACCEPT, accept)), expected, "Accept: {accept}");
        }
    }

    #[test]
    fn the_coding_follows_the_accept_encoding_header() {
        for (accept, expected) in [
            ("gzip", Coding::Gzip),
            ("GZIP, deflate, br", Coding::Gzip),
            ("deflate, gzip;q=0.5", Coding::Gzip),
            ("*", Coding::Gzip),
            ("gzip;q=0", Coding::Identity),
            ("gzip;q=0, *", Coding::Identity),
            ("gzip;q=0.2, identity;q=0.9", Coding::Identity),
            ("identity", Coding::Identity),
            ("br", Coding::Identity),
            ("", Coding::Identity),
        ] {
            assert_eq!(coding(&headers(header::ACCEPT_ENCODING, accept)), expected, "Accept-Encoding: {accept}");
        }
        assert_eq!(coding(&HeaderMap::new()), Coding::Identity);
    }
}
