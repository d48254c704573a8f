//! The two addresses that a static file cannot know.

use url::Url;

/// What the files say where the exporter's address belongs.
pub const EXPORTER: &str = "https://worker-exporter.example";
/// What they say where Grafana's belongs.
pub const GRAFANA: &str = "https://grafana.example";
/// What a dashboard says where the exporter's address belongs, once: Grafana shows it to whoever filled nothing in, and there
/// the exporter is on the machine where it runs.
const HERE: &str = "http://localhost:10860";

/// Real addresses, without a slash at the end. Only such that can stand in YAML, JSON, Markdown and a shell without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    exporter: Option<String>,
    grafana: Option<String>,
}

impl Links {
    /// These addresses; where there is none, the example stays. The error says what is wrong with which.
    pub fn new(exporter: Option<&Url>, grafana: Option<&Url>) -> Result<Self, String> {
        Ok(Self { exporter: exporter.map(plain).transpose()?, grafana: grafana.map(plain).transpose()? })
    }

    /// Grafana is known.
    #[must_use]
    pub const fn has_grafana(&self) -> bool {
        self.grafana.is_some()
    }

    /// The exporter is known.
    #[must_use]
    pub const fn has_exporter(&self) -> bool {
        self.exporter.is_some()
    }

    /// A text with the addresses in it.
    #[must_use]
    pub fn put_into(&self, text: &str) -> String {
        let exporter = self.exporter.as_deref().unwrap_or(EXPORTER);
        text.replace(EXPORTER, exporter).replace(GRAFANA, self.grafana.as_deref().unwrap_or(GRAFANA))
    }

    /// A dashboard with the exporter's address in it. To Grafana itself its links need none.
    #[must_use]
    pub fn put_into_dashboard(&self, json: &str) -> String {
        let Some(exporter) = &self.exporter else { return json.to_owned() };
        // With its quotes: the address is the whole value of a variable.
        json.replace(&format!("\"{HERE}\""), &format!("\"{exporter}\""))
    }
}

/// The address as text, if nothing in it could mean anything to whatever reads the file.
fn plain(url: &Url) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("{} cannot be linked to: {why}", without_userinfo(url)));
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return refuse("write http://host or https://host, with a path if there is one");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("links are read by many; leave user and password out");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("leave out what follows ? or #");
    }
    let text = url.as_str().trim_end_matches('/');
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._~:/%[]@+".contains(c);
    if text.chars().all(harmless) { Ok(text.to_owned()) } else { refuse("encode special characters with %") }
}

fn without_userinfo(url: &Url) -> String {
    let mut url = url.clone();
    // They fail only for addresses that have no place for it.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

    use super::*;

    fn links(exporter: &str) -> Result<Links, String> {
        Links::new(Some(&exporter.parse().unwrap()), None)
    }

    #[test]
    fn an_address_takes_the_place_of_the_example_with_its_path_and_without_a_slash_at_the_end() {
        let links = links("https://mon.example.org:8443/workers/").unwrap();
        let text =
            links.put_into("runbook_url: https://worker-exporter.example/runbooks/X https://grafana.example/d/y");
        assert_eq!(text, "runbook_url: https://mon.example.org:8443/workers/runbooks/X https://grafana.example/d/y");
    }

    #[test]
    fn what_could_mean_something_in_a_shell_or_in_yaml_is_refused() {
        let bad = [
            "ftp://a/",
            "https://a/?q=1",
            "https://a/#x",
            "https://a/';rm",
            "https://a/$(x)",
            "https://a/{{x}}'",
            "file:///x",
        ];
        for bad in bad {
            assert!(links(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let why = links("https://me:hunter2@a/").unwrap_err();
        assert!(!why.contains("hunter2") && !why.contains("me"), "{why}");
    }
}
