//! The file of `--web.config.file`: TLS, users, headers and the rate limit of our own listeners, in the format that
//! Prometheus' exporters share. What of that format this program cannot do is a mistake, never ignored.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use saphyr::Scalar;
use secrecy::ExposeSecret;

use super::keys::{Group, Kind};
use super::mistake::{Mistakes, Place};
use super::reader::{Reader, nearest};
use super::secret::Secret;
use super::section::{Field, Section, Value};
use super::tree::{self, Data, Key, Node, quoted};

/// The web configuration, whole and valid.
#[derive(Debug, Clone, PartialEq)]
pub struct WebConfig {
    /// TLS; `None` is plain HTTP.
    pub tls: Option<WebTls>,
    /// HTTP/2 is offered, with TLS.
    pub http2: bool,
    /// Headers that every answer carries.
    pub headers: Vec<(String, String)>,
    /// Users and the hashes of their passwords. Empty: nobody is asked.
    pub users: BTreeMap<String, Hash>,
    /// How many requests are answered; `None` is all.
    pub rate: Option<Rate>,
}

impl Default for WebConfig {
    /// What holds without a file: plain HTTP, open to all.
    fn default() -> Self {
        Self { tls: None, http2: true, headers: Vec::new(), users: BTreeMap::new(), rate: None }
    }
}

/// TLS of our own listeners.
#[derive(Debug, Clone, PartialEq)]
pub struct WebTls {
    /// Where it stands in the file, for what only its content can show to be wrong.
    pub place: Place,
    /// Our certificate chain.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
    /// Authorities of client certificates. There whenever `client_auth` looks at any.
    pub client_ca: Option<Pem>,
    /// Only clients with one of these names in their certificate; empty is any.
    pub allowed_names: Vec<String>,
    /// Versions that are spoken.
    pub versions: TlsVersions,
    /// Suites of TLS 1.2 in our order, by Go's names; empty is all.
    pub cipher_suites: Vec<String>,
    /// The order of ours counts, not that of the client.
    pub own_order: bool,
    /// Curves in our order, by Go's names; empty is all.
    pub curves: Vec<String>,
}

/// PEM, in a file or in the configuration itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Pem {
    /// In a file, read again when it changes.
    File(PathBuf),
    /// In the configuration.
    Held(Secret),
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    Nobody,
    /// They need none; one that is shown must be good.
    IfGiven,
    /// They must, and it must be good.
    Everybody,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
    /// Both.
    Both,
}

/// A bcrypt hash. Never printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Hash {
    secret: Secret,
    cost: u32,
}

impl Hash {
    /// How many times its work doubles.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Its text, for the comparison only.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.secret.reveal().map(|text| text.expose_secret().to_owned()).unwrap_or_default()
    }
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A token more each time this has passed.
    pub interval: Duration,
    /// So many tokens at most.
    pub burst: u32,
}

/// Costs above it make one check last for seconds, and each costs that much of our CPU.
const HIGHEST_COST: u32 = 16;

/// Suites of TLS 1.2 that this program has, by Go's names.
pub(crate) const SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
const SUITES_OF_13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
/// Curves that this program has, by Go's names.
pub(crate) const CURVES: [&str; 3] = ["X25519", "CurveP256", "CurveP384"];

/// The headers that may be set, the same as everywhere in the format, and the values of those that have a closed set.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Reads a web configuration: `origin` is its name in messages, relative paths start at `base`.
///
/// # Errors
/// Every mistake of it.
pub fn parse_web(bytes: &[u8], origin: &str, base: &Path) -> Result<WebConfig, Mistakes> {
    let nothing = |_: &str| None;
    let mut reader = Reader { env: &nothing, base, mistakes: Vec::new() };
    let root = super::text(bytes, &mut reader).and_then(|text| root(text, &mut reader));
    let config = root.and_then(|root| reader.section(Group::Web, &root)).map(|mut file| reader.web(&mut file));
    match config {
        Some(Some(config)) if reader.mistakes.is_empty() => Ok(config),
        _ => Err(Mistakes::new(origin, reader.mistakes)),
    }
}

fn root(text: &str, reader: &mut Reader<'_>) -> Option<Node> {
    let node = tree::read(text, &mut reader.mistakes);
    match &node {
        Some(node) if matches!(node.data, Data::Map(_)) => return Some(node.clone()),
        Some(node) if !node.written().is_empty() || matches!(node.data, Data::List(_)) => {
            let reason = format!("the file must be a mapping, not {}", node.shape());
            reader.say(node.place.clone(), reason, "begin with `tls_server_config:` or `basic_auth_users:`");
        }
        _ if !reader.mistakes.is_empty() => {}
        // A file that is being written is empty for a moment, and must not open the door.
        _ => reader.say(Place::File, "the file is empty", "write `{}` if nothing is to be protected"),
    }
    None
}

impl Reader<'_> {
    /// Defaults and cross-checks. `None` when something is wrong, which has then been said.
    fn web(&mut self, file: &mut Section) -> Option<WebConfig> {
        file.inherit(&Section::defaults(Group::Web));
        let tls = file.section_mut("tls_server_config").map(|tls| {
            tls.inherit(&Section::defaults(Group::WebTls));
            self.web_tls(tls)
        });
        if let Some(http) = file.section_mut("http_server_config") {
            http.inherit(&Section::defaults(Group::WebHttp));
        }
        let http = file.section("http_server_config");
        let texts = |field: &Field| match &field.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let pairs = |entries: &[(String, Field)]| -> Vec<(String, String)> {
            entries.iter().filter_map(|(name, field)| Some((name.clone(), texts(field)?))).collect()
        };
        let hash = |text: String| {
            let cost = bcrypt::HashParts::from_str(&text).ok()?.get_cost();
            Some(Hash { secret: Secret::held(text), cost })
        };
        let tls = match tls {
            Some(tls) => Some(tls?),
            None => None,
        };
        Some(WebConfig {
            tls,
            http2: http.is_none_or(|http| http.switch("http2")),
            headers: http.map(|http| pairs(http.entries("headers"))).unwrap_or_default(),
            users: pairs(file.entries("basic_auth_users"))
                .into_iter()
                .filter_map(|(user, text)| Some((user, hash(text)?)))
                .collect(),
            rate: file.section("rate_limit").and_then(|rate| self.rate(rate)),
        })
    }

    fn rate(&mut self, rate: &Section) -> Option<Rate> {
        let interval = rate.span("interval");
        if interval.is_zero() {
            return None;
        }
        if !rate.has("burst") && !rate.faulty.iter().any(|name| name == "burst") {
            let hint = "add `burst:`, at least 1: so many requests may come at once";
            self.say(rate.place.clone(), "\"interval\" without \"burst\" would refuse every request", hint);
        }
        Some(Rate { interval, burst: u32::try_from(rate.whole("burst")).unwrap_or(u32::MAX) })
    }

    fn web_tls(&mut self, tls: &Section) -> Option<WebTls> {
        let certificate = self.pem(tls, "cert", "cert_file");
        let key = self.pem(tls, "key", "key_file");
        for (found, one, file) in [(&certificate, "cert", "cert_file"), (&key, "key", "key_file")] {
            let wrong = tls.has(one) || tls.has(file) || tls.faulty.iter().any(|name| name == one || name == file);
            if found.is_none() && !wrong {
                let reason = format!("{} needs \"{file}\" or \"{one}\"", tls.group.title());
                self.say(tls.place.clone(), reason, format!("add `{file}: PATH`, PEM"));
            }
        }
        let client_ca = self.pem(tls, "client_ca", "client_ca_file");
        let client_auth = self.client_auth(tls, client_ca.is_some());
        self.allowed_names(tls, client_auth);
        self.known(tls, "curve_preferences", &CURVES, |name| match name {
            "CurveP521" | "X25519MLKEM768" => Some("this program's TLS does not have it"),
            _ => None,
        });
        self.known(tls, "cipher_suites", &SUITES, |name| match name {
            _ if SUITES_OF_13.contains(&name) => Some("the suites of TLS 1.3 are always on and cannot be chosen"),
            _ if name.contains("_CBC_") || name.starts_with("TLS_RSA_") => {
                Some("this program's TLS has no suites without forward secrecy or with CBC")
            }
            _ => None,
        });
        let versions = self.versions(tls);
        if versions == TlsVersions::Only13 && tls.has("cipher_suites") {
            let hint = "remove it, or allow TLS 1.2 with `min_version: TLS12`";
            self.say(tls.at("cipher_suites"), "\"cipher_suites\" are of TLS 1.2, which is not spoken", hint);
        }
        let texts = |name| tls.texts(name).map(str::to_owned).collect();
        Some(WebTls {
            place: tls.at_either("cert_file", "cert"),
            certificate: certificate?,
            key: key?,
            client_auth,
            client_ca,
            allowed_names: texts("client_allowed_sans"),
            versions,
            cipher_suites: texts("cipher_suites"),
            own_order: tls.switch("prefer_server_cipher_suites"),
            curves: texts("curve_preferences"),
        })
    }

    fn pem(&mut self, tls: &Section, held: &str, file: &str) -> Option<Pem> {
        match (tls.find_text(held), tls.find_text(file)) {
            (Some(_), Some(_)) => {
                self.say(tls.at(held), format!("both \"{held}\" and \"{file}\""), "keep one of them");
                None
            }
            (Some(text), None) => Some(Pem::Held(Secret::held(text))),
            (None, Some(path)) => Some(Pem::File(self.path(path))),
            (None, None) => None,
        }
    }

    fn client_auth(&mut self, tls: &Section, has_ca: bool) -> ClientAuth {
        let at = tls.at("client_auth_type");
        let auth = match tls.text("client_auth_type") {
            "VerifyClientCertIfGiven" => ClientAuth::IfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::Everybody,
            "NoClientCert" | "" => ClientAuth::Nobody,
            word => {
                let reason = format!("\"client_auth_type\" {word} would believe any certificate that anybody makes");
                self.say(at, reason, "write RequireAndVerifyClientCert and name the authority with `client_ca_file:`");
                return ClientAuth::Nobody;
            }
        };
        let ca_wrong = ["client_ca", "client_ca_file"].iter().any(|name| {
            // Both at once have been refused already.
            tls.has(name) || tls.faulty.iter().any(|faulty| faulty == name)
        });
        if auth == ClientAuth::Nobody && has_ca && !tls.faulty.iter().any(|name| name == "client_auth_type") {
            let place = tls.at_either("client_ca_file", "client_ca");
            let hint = "add `client_auth_type: RequireAndVerifyClientCert`";
            self.say(place, "authorities of client certificates, and no client is asked for one", hint);
        }
        if auth != ClientAuth::Nobody && !has_ca && !ca_wrong {
            let hint = "add `client_ca_file:` with the authorities, PEM";
            self.say(at, "no authority to verify client certificates with", hint);
        }
        auth
    }

    fn allowed_names(&mut self, tls: &Section, auth: ClientAuth) {
        if !tls.has("client_allowed_sans") {
            return;
        }
        if auth != ClientAuth::Everybody && !tls.faulty.iter().any(|name| name == "client_auth_type") {
            let hint = "add `client_auth_type: RequireAndVerifyClientCert`";
            self.say(tls.at("client_allowed_sans"), "\"client_allowed_sans\" needs clients with a certificate", hint);
        }
        for field in tls.list("client_allowed_sans") {
            let Value::Text(name) = &field.value else { continue };
            if name.contains('@') && !name.contains("://") && name.parse::<IpAddr>().is_err() {
                let hint = "name the client by a DNS name, an IP address or a URI of its certificate";
                self.say(
                    field.place.clone(),
                    format!("{} is an e-mail address, which is not compared", quoted(name)),
                    hint,
                );
            }
        }
    }

    /// Holds the texts of a list against what this program has.
    fn known(&mut self, tls: &Section, key: &str, ours: &[&str], why_not: impl Fn(&str) -> Option<&'static str>) {
        if tls.has(key) && tls.list(key).is_empty() {
            self.say(tls.at(key), format!("\"{key}\" is empty"), "remove it, and all that this program has are on");
        }
        for field in tls.list(key) {
            let Value::Text(name) = &field.value else { continue };
            if ours.contains(&name.as_str()) {
                continue;
            }
            let hint = match (why_not(name), nearest(name, ours)) {
                (Some(why), _) => format!("{why}; it has {}", ours.join(", ")),
                (None, Some(near)) => format!("did you mean \"{near}\"?"),
                (None, None) => format!("write of {}", ours.join(", ")),
            };
            self.say(field.place.clone(), format!("\"{key}\" has {}, which is not supported", quoted(name)), hint);
        }
    }

    fn versions(&mut self, tls: &Section) -> TlsVersions {
        for key in ["min_version", "max_version"] {
            if let old @ ("TLS10" | "TLS11") = tls.text(key) {
                let hint =
                    "write TLS12 or TLS13: the older ones are broken, and this program's TLS does not speak them";
                self.say(tls.at(key), format!("\"{key}\" {old} is not supported"), hint);
                return TlsVersions::Both;
            }
        }
        match (tls.text("min_version"), tls.text("max_version")) {
            ("TLS13", "TLS12") => {
                let hint = "lower the oldest or raise the newest";
                self.say(tls.at("min_version"), "\"min_version\" is newer than \"max_version\"", hint);
                TlsVersions::Both
            }
            ("TLS13", _) => TlsVersions::Only13,
            (_, "TLS12") => TlsVersions::Only12,
            _ => TlsVersions::Both,
        }
    }

    /// Users and hashes. Neither is repeated: people write the password itself here.
    pub(super) fn users(&mut self, entries: &[(Key, Node)]) -> Value {
        let mut read = Vec::new();
        for (name, node) in entries {
            if name.name.is_empty() || name.name.contains(':') || name.name.chars().any(char::is_control) {
                let hint = "a name has no colon, since basic authentication ends it there";
                self.say(name.place.clone(), "not the name of a user", hint);
                continue;
            }
            let parts = match node.scalar() {
                Some(Scalar::String(text)) => bcrypt::HashParts::from_str(&text).ok().map(|parts| (text, parts)),
                _ => None,
            };
            match parts {
                Some((_, parts)) if !(4..=HIGHEST_COST).contains(&parts.get_cost()) => {
                    let reason = format!("the hash of user {} has the cost {}", quoted(&name.name), parts.get_cost());
                    let hint = format!("make it anew with a cost from 10 to {HIGHEST_COST}: `htpasswd -nBC 10 USER`");
                    self.say(node.place.clone(), reason, hint);
                }
                Some((text, _)) => {
                    let value = Value::Text(text.into_owned());
                    read.push((name.name.clone(), Field { place: node.place.clone(), value }));
                }
                None => {
                    let reason = format!("the value of user {} is not a bcrypt hash", quoted(&name.name));
                    self.say(node.place.clone(), reason, Kind::Users.example());
                }
            }
        }
        Value::Entries(read)
    }

    pub(super) fn response_headers(&mut self, entries: &[(Key, Node)]) -> Value {
        let names = HEADERS.map(|(name, _)| name);
        let mut read = Vec::new();
        for (name, node) in entries {
            let known = HEADERS.iter().find(|(known, _)| *known == name.name);
            let text = match node.scalar() {
                Some(Scalar::String(text)) => Some(text.into_owned()),
                // `X-XSS-Protection: 0` is what its documentation says to write.
                Some(Scalar::Integer(number)) => Some(number.to_string()),
                _ => None,
            };
            let fit = |text: &String| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            match (known, text.filter(fit)) {
                (None, _) => {
                    let hint = nearest(&name.name, &names).map_or_else(
                        || format!("the headers are {}", names.join(", ")),
                        |near| format!("did you mean \"{near}\"?"),
                    );
                    self.say(name.place.clone(), format!("the header {} cannot be set", quoted(&name.name)), hint);
                }
                (Some((name, _)), None) => {
                    let reason = format!("\"{name}\" must be text on one line");
                    self.say(node.place.clone(), reason, Kind::ResponseHeaders.example());
                }
                (Some((name, values)), Some(text)) => {
                    if !values.is_empty() && !text.is_empty() && !values.contains(&text.as_str()) {
                        let reason = format!("\"{name}\" is {}", quoted(&text));
                        self.say(node.place.clone(), reason, format!("write {}", values.join(" or ")));
                    } else if !text.is_empty() {
                        let value = Value::Text(text);
                        read.push(((*name).to_owned(), Field { place: node.place.clone(), value }));
                    }
                }
            }
        }
        Value::Entries(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_key_with_its_default() {
        let page = include_str!("../../docs/web-config.md");
        for key in Group::WEB.iter().flat_map(|group| group.keys()) {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
            assert!(row.is_some(), "docs/web-config.md has no row for {}", key.name);
            if let Some(default) = key.default().filter(|default| *default != "{}") {
                assert!(row.is_some_and(|row| row.contains(&format!("`{default}`"))), "{}: {default}", key.name);
            }
        }
        for name in SUITES.into_iter().chain(CURVES) {
            assert!(page.contains(&format!("`{name}`")), "docs/web-config.md does not name {name}");
        }
    }
}
