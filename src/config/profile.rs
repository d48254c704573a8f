//! Profiles of `temporal.toml`, the file that Temporal's own tools share.
//!
//! A profile says what the `TEMPORAL_*` environment can say, so that is what it is turned into: every value under the
//! name of its variable, with its place in the file. What it means is decided in one place, `environment`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::{Environment, META, layered};
use super::keys::Group;
use super::mistake::{Mistake, Place};
use super::reader::nearest;
use super::section::{Section, Value};
use super::settings::{Detail, TemporalSource};
use super::tree::quoted;

/// The profile that counts when none is named; it need not exist.
const DEFAULT: &str = "default";
/// A larger file is none of Temporal's.
const LARGEST: u64 = 1 << 20;

/// A profile, as the environment that would say the same.
#[derive(Debug)]
pub(super) struct Profile {
    /// Its file.
    pub(super) file: PathBuf,
    /// Its name.
    pub(super) name: String,
    values: BTreeMap<String, (String, Place)>,
}

/// Keys of a profile, of its `tls`, and the variable of each.
const KEYS: [(&str, &str); 3] =
    [("address", "TEMPORAL_ADDRESS"), ("namespace", "TEMPORAL_NAMESPACE"), ("api_key", "TEMPORAL_API_KEY")];
const TABLES: [&str; 3] = ["tls", "grpc_meta", "codec"];
const TLS: [(&str, &str); 7] = [
    ("client_cert_path", "TEMPORAL_TLS_CLIENT_CERT_PATH"),
    ("client_cert_data", "TEMPORAL_TLS_CLIENT_CERT_DATA"),
    ("client_key_path", "TEMPORAL_TLS_CLIENT_KEY_PATH"),
    ("client_key_data", "TEMPORAL_TLS_CLIENT_KEY_DATA"),
    ("server_ca_cert_path", "TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
    ("server_ca_cert_data", "TEMPORAL_TLS_SERVER_CA_CERT_DATA"),
    ("server_name", "TEMPORAL_TLS_SERVER_NAME"),
];
const TLS_SWITCHES: [&str; 2] = ["disabled", "disable_host_verification"];
/// Where one variable is set, the others of its row do not count: path and data, ours and those of older tools.
const TOGETHER: [[&str; 4]; 3] = [
    ["TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_CERT_DATA", "TEMPORAL_TLS_CERT", "TEMPORAL_TLS_CERT_DATA"],
    ["TEMPORAL_TLS_CLIENT_KEY_PATH", "TEMPORAL_TLS_CLIENT_KEY_DATA", "TEMPORAL_TLS_KEY", "TEMPORAL_TLS_KEY_DATA"],
    ["TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_SERVER_CA_CERT_DATA", "TEMPORAL_TLS_CA", "TEMPORAL_TLS_CA_DATA"],
];

/// Where Temporal's tools keep the file of this user.
fn default_file(env: &dyn Environment) -> Option<PathBuf> {
    let find = |name: &str| env.variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = if cfg!(target_os = "macos") {
        find("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        find("XDG_CONFIG_HOME").or_else(|| find("HOME").map(|home| home.join(".config")))
    };
    folder.map(|folder| folder.join("temporalio/temporal.toml"))
}

/// The profile that the environment names, or the default one. `None` where there is none, which is fine.
///
/// # Errors
/// Every mistake, with the name of the file.
pub(super) fn of_environment(env: &dyn Environment) -> Result<Option<Profile>, (String, Vec<Mistake>)> {
    let find = |name: &str| env.variable(name).filter(|value| !value.is_empty());
    let named_file = find("TEMPORAL_CONFIG_FILE").map(PathBuf::from);
    let named = find("TEMPORAL_PROFILE");
    let at = |variable: &str, reason: String, hint: &str| Mistake {
        place: Place::Variable(variable.to_owned()),
        reason,
        hint: hint.to_owned(),
    };
    let Some(file) = named_file.clone().or_else(|| default_file(env)) else {
        return match named {
            None => Ok(None),
            Some(_) => {
                let hint = "name the file with TEMPORAL_CONFIG_FILE, or unset TEMPORAL_PROFILE";
                let mistake = at("TEMPORAL_PROFILE", "names a profile, and there is no file of profiles".into(), hint);
                Err(("environment".to_owned(), vec![mistake]))
            }
        };
    };
    let origin = file.display().to_string();
    let text = match read(&file) {
        Ok(text) => text,
        Err(Unread::Missing) if named_file.is_none() && named.is_none() => return Ok(None),
        Err(unread) => {
            let variable = if named_file.is_some() { "TEMPORAL_CONFIG_FILE" } else { "TEMPORAL_PROFILE" };
            let reason = format!("cannot read the profiles of {origin}: {}", unread.says());
            return Err((origin, vec![at(variable, reason, "check the path and the permissions, or unset it")]));
        }
    };
    match parse(&text, named.as_deref().unwrap_or(DEFAULT)) {
        Ok(Some((name, values))) => Ok(Some(Profile { file, name, values })),
        Ok(None) => Ok(None),
        Err(Wrong::NoSuchProfile(_)) if named.is_none() => Ok(None),
        Err(Wrong::NoSuchProfile(hint)) => {
            let reason = format!("names a profile that {origin} does not have");
            Err((origin, vec![at("TEMPORAL_PROFILE", reason, &hint)]))
        }
        Err(Wrong::Mistakes(mistakes)) => Err((origin, mistakes)),
    }
}

/// The profile of this name in this file.
///
/// # Errors
/// Every mistake: a sentence with the place in that file, and a hint.
fn of_file(file: &Path, name: Option<&str>) -> Result<Profile, Vec<(String, String)>> {
    let origin = file.display();
    let text = read(file).map_err(|unread| {
        let hint = "check the path and the permissions; `profile_file:` names another file".to_owned();
        vec![(format!("cannot read the profiles of {origin}: {}", unread.says()), hint)]
    })?;
    let name = name.unwrap_or(DEFAULT);
    let found = parse(&text, name);
    let (name, values) = found
        .and_then(|found| found.ok_or_else(|| Wrong::NoSuchProfile("it has no profiles".to_owned())))
        .map_err(|wrong| match wrong {
            Wrong::NoSuchProfile(hint) => vec![(format!("{origin} has no profile {}", quoted(name)), hint)],
            Wrong::Mistakes(mistakes) => {
                mistakes.into_iter().map(|mistake| (said(file, &mistake), mistake.hint)).collect()
            }
        })?;
    Ok(Profile { file: file.to_owned(), name, values })
}

/// A mistake as one sentence with its place in `file`.
fn said(file: &Path, mistake: &Mistake) -> String {
    match (&mistake.place, file.display()) {
        (Place::At { line, column }, file) => format!("{file}:{line}:{column}: {}", mistake.reason),
        (_, file) => format!("{file}: {}", mistake.reason),
    }
}

enum Unread {
    Missing,
    Other(String),
}

impl Unread {
    fn says(self) -> String {
        match self {
            Self::Missing => "there is no such file".to_owned(),
            Self::Other(why) => why,
        }
    }
}

fn read(file: &Path) -> Result<String, Unread> {
    let size = fs::metadata(file).map(|meta| meta.len());
    if size.is_ok_and(|size| size > LARGEST) {
        return Err(Unread::Other("it is larger than 1 MiB".to_owned()));
    }
    fs::read_to_string(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unread::Missing,
        ErrorKind::InvalidData => Unread::Other("it is not UTF-8".to_owned()),
        kind => Unread::Other(kind.to_string()),
    })
}

#[derive(Debug)]
enum Wrong {
    /// With the hint that names those that there are.
    NoSuchProfile(String),
    Mistakes(Vec<Mistake>),
}

type Values = BTreeMap<String, (String, Place)>;

/// The values of one profile. `None` when the file has no profiles at all.
fn parse(text: &str, name: &str) -> Result<Option<(String, Values)>, Wrong> {
    let mut reader = Reader { text, mistakes: Vec::new(), values: BTreeMap::new() };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = error.span().map_or(Place::File, |span| reader.at(span.start));
        // The message of the parser names what it wanted, never what it found: that may be a secret.
        let reason = format!("not valid TOML: {}", error.message());
        reader.mistakes.push(Mistake { place, reason, hint: "put texts into quotes, one key on a line".to_owned() });
    }
    if !reader.mistakes.is_empty() {
        return Err(Wrong::Mistakes(reader.mistakes));
    }
    let Some(profiles) = root.get_ref().get("profile") else { return Ok(None) };
    let DeValue::Table(profiles) = profiles.get_ref() else {
        reader.wrong(profiles, "profile", "a table of profiles", "begin a profile with [profile.NAME]");
        return Err(Wrong::Mistakes(reader.mistakes));
    };
    let Some(profile) = profiles.get(name) else {
        let names: Vec<&str> = profiles.keys().map(|key| &**key.get_ref()).collect();
        let known = || format!("it has {}", names.join(", "));
        return Err(Wrong::NoSuchProfile(
            nearest(name, &names).map_or_else(known, |near| format!("did you mean \"{near}\"?")),
        ));
    };
    match profile.get_ref() {
        DeValue::Table(table) => reader.profile(table),
        _ => reader.wrong(profile, name, "a table", "begin a profile with [profile.NAME]"),
    }
    if reader.mistakes.is_empty() {
        Ok(Some((name.to_owned(), reader.values)))
    } else {
        Err(Wrong::Mistakes(reader.mistakes))
    }
}

struct Reader<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
    values: Values,
}

impl Reader<'_> {
    fn at(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place::At { line, column }
    }

    fn wrong(&mut self, value: &Spanned<DeValue<'_>>, key: &str, wanted: &str, hint: &str) {
        let place = self.at(value.span().start);
        // What stands there is not repeated: it may be a secret in the wrong place.
        let reason = format!("\"{key}\" must be {wanted}, not {}", shape(value.get_ref()));
        self.mistakes.push(Mistake { place, reason, hint: hint.to_owned() });
    }

    fn profile(&mut self, table: &DeTable<'_>) {
        let known: Vec<&str> = KEYS.iter().map(|(key, _)| *key).chain(TABLES).collect();
        for (key, value) in table {
            let name = &**key.get_ref();
            if let Some((_, variable)) = KEYS.iter().find(|(known, _)| *known == name) {
                self.value(name, variable, value);
            } else if !TABLES.contains(&name) {
                self.unknown(key, &known);
            } else if let DeValue::Table(table) = value.get_ref() {
                match name {
                    "tls" => self.tls(value, table),
                    "grpc_meta" => self.metadata(table),
                    // How payloads are decoded, which are never looked at.
                    _ => {}
                }
            } else {
                self.wrong(value, name, "a table", "begin it with [profile.NAME.tls], or with the name of the table");
            }
        }
    }

    fn tls(&mut self, at: &Spanned<DeValue<'_>>, table: &DeTable<'_>) {
        let known: Vec<&str> = TLS.iter().map(|(key, _)| *key).chain(TLS_SWITCHES).collect();
        // The table alone switches TLS on.
        let place = self.at(at.span().start);
        self.values.insert("TEMPORAL_TLS".to_owned(), ("true".to_owned(), place));
        for (key, value) in table {
            let name = &**key.get_ref();
            if let Some((_, variable)) = TLS.iter().find(|(known, _)| *known == name) {
                self.value(name, variable, value);
            } else if TLS_SWITCHES.contains(&name) {
                let DeValue::Boolean(on) = value.get_ref() else {
                    self.wrong(value, name, "true or false", "write true or false, without quotes");
                    continue;
                };
                let (variable, on) = match name {
                    "disabled" => ("TEMPORAL_TLS", !on),
                    _ => ("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", *on),
                };
                let place = self.at(value.span().start);
                self.values.insert(variable.to_owned(), (on.to_string(), place));
            } else {
                self.unknown(key, &known);
            }
        }
    }

    fn metadata(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = &**key.get_ref();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                let place = self.at(key.span().start);
                let reason = "a name under \"grpc_meta\" is not a valid header name".to_owned();
                let hint = "a name has letters, digits and -, such as x-tenant".to_owned();
                self.mistakes.push(Mistake { place, reason, hint });
                continue;
            }
            let variable = format!("{META}{}", name.to_uppercase().replace('-', "_"));
            self.value(name, &variable, value);
        }
    }

    fn value(&mut self, key: &str, variable: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::String(text) => {
                let place = self.at(value.span().start);
                self.values.insert(variable.to_owned(), (text.clone().into_owned(), place));
            }
            _ => self.wrong(value, key, "text", "write it in quotes"),
        }
    }

    /// What looks like a slip is a mistake. Other keys are other tools' business, and Temporal's own leave them alone.
    fn unknown(&mut self, key: &Spanned<toml::de::DeString<'_>>, known: &[&str]) {
        let name = &**key.get_ref();
        let Some(near) = nearest(&name.to_lowercase(), known) else { return };
        let place = self.at(key.span().start);
        let reason = format!("unknown key {}", quoted(name));
        self.mistakes.push(Mistake { place, reason, hint: format!("did you mean \"{near}\"?") });
    }
}

fn shape(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl Profile {
    /// Whether this variable, and not the environment, says it.
    fn speaks(&self, name: &str, env: &dyn Environment) -> bool {
        let is_set = |name: &str| env.variable(name).is_some_and(|value| !value.is_empty());
        match TOGETHER.iter().find(|row| row.contains(&name)) {
            Some(row) => !row.iter().any(|name| is_set(name)),
            // An empty header in the environment takes it away; other empty variables are not set.
            None if name.starts_with(META) => env.variable(name).is_none(),
            None => !is_set(name),
        }
    }

    /// The place of a mistake: in the file, where its value came from there.
    pub(super) fn place(&self, mistake: &mut Mistake, env: &dyn Environment) {
        if let Place::Variable(name) = &mistake.place
            && let Some((_, place)) = self.values.get(name)
            && self.speaks(name, env)
        {
            mistake.place = place.clone();
        }
    }
}

/// The environment, and below it a profile.
pub(super) struct Layered<'a> {
    pub(super) env: &'a dyn Environment,
    pub(super) profile: &'a Profile,
}

impl Environment for Layered<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        match self.profile.values.get(name) {
            Some((value, _)) if self.profile.speaks(name, self.env) => Some(value.clone()),
            _ => self.env.variable(name),
        }
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let own = self.profile.values.keys().filter(|name| name.starts_with(prefix)).cloned();
        let mut names: Vec<String> = self.env.names(prefix).into_iter().chain(own).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl super::reader::Reader<'_> {
    /// What the profile says that this section names; its address and namespace are put where none is written.
    pub(super) fn profile(&mut self, section: &mut Section) -> Option<TemporalSource> {
        let faulty = section.faulty.iter().any(|name| name == "profile" || name == "profile_file");
        if section.group != Group::Temporal || faulty || !(section.has("profile") || section.has("profile_file")) {
            return None;
        }
        let place = section.at_either("profile", "profile_file");
        let file = match section.find_text("profile_file") {
            Some(path) => Some(self.path(path)),
            None => default_file(self.env),
        };
        let Some(file) = file else {
            self.say(place, "there is no folder of the user's configuration here", "add `profile_file:`");
            return None;
        };
        let found = of_file(&file, section.find_text("profile")).and_then(|profile| {
            let with_place = |mistake: Mistake| (said(&file, &mistake), mistake.hint);
            let nothing = |_: &str| None;
            layered(&nothing, &profile).map_err(|mistakes| mistakes.into_iter().map(with_place).collect())
        });
        let settings = match found {
            Ok(settings) => settings,
            Err(mistakes) => {
                mistakes.into_iter().for_each(|(reason, hint)| self.say(place.clone(), reason, hint));
                return None;
            }
        };
        let Some(Detail::Temporal(temporal)) = settings.sources.into_iter().next().map(|source| source.detail) else {
            return None;
        };
        if !section.has("address") {
            section.set("address", Value::Text(temporal.address.clone()));
        }
        if !section.has("namespace") {
            section.set("namespace", Value::Text(temporal.namespace.to_string()));
        }
        Some(temporal)
    }
}
