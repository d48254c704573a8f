//! Answers that are no JSON: one word, the verbose lists of Kubernetes, a page of HTML.

use super::body::Claim;
use super::words::{self, Phase};
use crate::evidence::Said;

/// What a text says; `None` when it says nothing that is understood.
pub(super) fn claim(text: &str) -> Option<Claim> {
    let text = text.trim();
    if text.starts_with("[+]") || text.starts_with("[-]") {
        return Some(listed(text));
    }
    let meaning = words::leading(text)?;
    Some(Claim {
        said: Some(meaning.said),
        starting: meaning.phase == Phase::Starting,
        goodbye: meaning.phase == Phase::Goodbye,
        ..Claim::default()
    })
}

/// `/readyz?verbose` of Kubernetes: `[+]ping ok`, `[-]etcd failed: reason withheld`, and a last line that sums up.
fn listed(text: &str) -> Claim {
    let mut claim = Claim { said: Some(Said::Up), ..Claim::default() };
    for line in text.lines() {
        let (said, rest) = match (line.strip_prefix("[+]"), line.strip_prefix("[-]")) {
            (Some(rest), _) => (Said::Up, rest),
            (_, Some(rest)) => (Said::Down, rest),
            _ if line.ends_with("check failed") => {
                claim.said = Some(Said::Down);
                continue;
            }
            _ => continue,
        };
        claim.said = claim.said.max(Some(said));
        let name = rest.split_whitespace().next().unwrap_or_default();
        claim.parts.insert(name.chars().take(64).collect(), said);
    }
    claim
}

/// What an HTML page says. Almost always it is a login page or an error page of a proxy, and says nothing of the
/// worker: only a page whose whole text is one known word counts, and the coloured page of Rails' `/up`.
pub(super) fn html(page: &str) -> Option<Claim> {
    let lower = page.to_ascii_lowercase();
    let coloured = |colour: &str| lower.contains(&format!("background-color: {colour}"));
    let text = visible(&lower);
    let said = match (text.trim().is_empty(), coloured("green"), coloured("red")) {
        (true, true, false) => Said::Up,
        (true, false, true) => Said::Down,
        (false, ..) => return claim(&text),
        _ => return None,
    };
    Some(Claim { said: Some(said), ..Claim::default() })
}

/// The text between the tags.
fn visible(page: &str) -> String {
    let mut inside = false;
    page.chars()
        .filter(|c| match c {
            '<' => {
                inside = true;
                false
            }
            '>' => {
                inside = false;
                false
            }
            _ => !inside,
        })
        .collect()
}

/// True when a body is HTML or XML, by its content type or its first characters.
pub(super) fn is_markup(content_type: &str, text: &str) -> bool {
    content_type.contains("html") || content_type.contains("xml") || text.trim_start().starts_with('<')
}
