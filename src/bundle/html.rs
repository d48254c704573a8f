//! A runbook as a web page: Markdown in, HTML out. HTML that stands in the Markdown is shown as text, and a link leads to
//! another runbook, into the page, to the exporter or to Grafana, or it is no link.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::links::GRAFANA;

/// The body of the page, without the heading of the first level, which the page around it has. The query, `?fleet=orders`,
/// is carried over to other runbooks.
#[must_use]
pub fn page(markdown: &str, query: &str) -> String {
    let events = anchored(Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(harmless).collect());
    let mut open = Vec::new();
    let events = events.into_iter().filter_map(|event| match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let target = target(&dest_url, query);
            open.push(target.is_some());
            Some(Event::Start(Tag::Link { link_type, dest_url: target?.into(), title, id }))
        }
        Event::End(TagEnd::Link) => open.pop().unwrap_or(false).then_some(event),
        other => Some(other),
    });
    let mut page = String::with_capacity(markdown.len() * 2);
    html::push_html(&mut page, events);
    page
}

/// No HTML of the text's own, and no pictures: what somebody wrote is what is read.
fn harmless(event: Event<'_>) -> Option<Event<'_>> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::HtmlBlock | Tag::Image { .. }) | Event::End(TagEnd::HtmlBlock | TagEnd::Image) => None,
        other => Some(other),
    }
}

/// The same with an anchor at each heading, and without the title of the page.
fn anchored(mut events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let title = events.iter().position(|event| matches!(event, Event::End(TagEnd::Heading(HeadingLevel::H1))));
    if let Some(end) = title {
        events.drain(..=end);
    }
    let words = |events: &[Event<'_>]| -> String {
        let inside = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
        inside
            .filter_map(|event| if let Event::Text(text) | Event::Code(text) = event { Some(&**text) } else { None })
            .collect()
    };
    let anchors: Vec<(usize, String)> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| matches!(event, Event::Start(Tag::Heading { .. })))
        .map(|(at, _)| (at, anchor(&words(events.get(at..).unwrap_or_default()))))
        .collect();
    for (at, anchor) in anchors {
        if let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(at) {
            *id = Some(CowStr::from(anchor));
        }
    }
    events
}

/// `Does it answer?` → `does-it-answer`, as Git hosts make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// Where a link leads, if it leads anywhere.
fn target(link: &str, query: &str) -> Option<String> {
    if link.starts_with('#') {
        return Some(link.to_owned());
    }
    if link.starts_with("https://") || link.starts_with("http://") {
        // A place that nobody told us of, and a label that nobody filled in.
        let link = if link.contains('$') { link.split('?').next().unwrap_or_default() } else { link };
        return (!link.starts_with(GRAFANA)).then(|| link.to_owned());
    }
    let (file, fragment) = link.split_once('#').map_or((link, String::new()), |(file, at)| (file, format!("#{at}")));
    let name = file.strip_suffix(".md").filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric()))?;
    Some(format!("{name}{query}{fragment}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Links, Values, all};
    use super::*;

    fn html(markdown: &str) -> String {
        page(markdown, "?fleet=a")
    }

    #[test]
    fn html_in_a_text_is_shown_and_not_obeyed() {
        let page = html("a <b>c</b> <script>alert(1)</script>\n\n<img src=x onerror=y>\n\n![i](https://evil/x.png)\n");
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }

    #[test]
    fn a_link_leads_to_a_runbook_into_the_page_or_to_a_known_place_or_nowhere() {
        for (link, expected) in [
            ("WorkerStuck.md", Some("WorkerStuck?fleet=a")),
            ("WorkerStuck.md#dump-its-stacks", Some("WorkerStuck?fleet=a#dump-its-stacks")),
            ("#meaning", Some("#meaning")),
            ("https://grafana.example/d/x", None),
            ("https://mon.example.org/d/x?var-fleet=$FLEET", Some("https://mon.example.org/d/x")),
            ("javascript:alert(1)", None),
            ("../docs/redis.md", None),
            ("//evil.example/x.md", None),
            ("data:text/html,x", None),
        ] {
            let page = html(&format!("[words]({link})"));
            let expected =
                expected.map_or("<p>words</p>\n".to_owned(), |to| format!("<p><a href=\"{to}\">words</a></p>\n"));
            assert_eq!(page, expected, "{link}");
        }
    }

    #[test]
    fn headings_have_the_anchors_that_links_name() {
        let page = html("# Title\n\ntext\n\n## False positives and tuning\n\n### What `it` said?\n");
        assert_eq!(
            page,
            "<p>text</p>\n<h2 id=\"false-positives-and-tuning\">False positives and tuning</h2>\n<h3 id=\"what-it-said\">What <code>it</code> said?</h3>\n"
        );
    }

    #[test]
    fn every_runbook_becomes_a_page_whose_inner_links_have_their_anchors() {
        for runbook in all() {
            let page = html(&runbook.filled(&Values::default(), &Links::default()));
            for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                if let Some(anchor) = link.strip_prefix('#') {
                    assert!(page.contains(&format!("id=\"{anchor}\"")), "{}: {link}", runbook.name);
                }
            }
            assert!(page.contains("id=\"escalation\"") && !page.contains("grafana.example"), "{}", runbook.name);
        }
    }
}
