//! Zero config: one Temporal source from the `TEMPORAL_*` environment, as Temporal's own tools read it.

use std::collections::BTreeMap;
use std::path::Path;

use super::keys::Group;
use super::mistake::{Mistake, Mistakes, Place};
use super::profile::{self, Layered, Profile};
use super::reader::Reader;
use super::secret::Secret;
use super::section::{Field, Section, Value};
use super::settings::{Detail, Settings, Tls};

/// Where variables are looked up. Any function from a name to a value will do; only the process's own environment and
/// [`Variables`] can list their names, which `TEMPORAL_GRPC_META_*` needs.
pub trait Environment {
    /// The value of a variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// The names that begin with `prefix`, sorted.
    fn names(&self, prefix: &str) -> Vec<String> {
        let _ = prefix;
        Vec::new()
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn variable(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let all = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut names: Vec<String> = all.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names
    }
}

/// Variables in memory.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.0.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }
}

pub(super) const META: &str = "TEMPORAL_GRPC_META_";

/// One part of the TLS material.
struct Material {
    /// Its key in a file.
    key: &'static str,
    /// Variables that name a file, ours and that of older tools.
    paths: [&'static str; 2],
    /// Variables that hold the PEM itself.
    data: [&'static str; 2],
}

const MATERIAL: [Material; 3] = [
    Material {
        key: "ca_file",
        paths: ["TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_CA"],
        data: ["TEMPORAL_TLS_SERVER_CA_CERT_DATA", "TEMPORAL_TLS_CA_DATA"],
    },
    Material {
        key: "cert_file",
        paths: ["TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CERT"],
        data: ["TEMPORAL_TLS_CLIENT_CERT_DATA", "TEMPORAL_TLS_CERT_DATA"],
    },
    Material {
        key: "key_file",
        paths: ["TEMPORAL_TLS_CLIENT_KEY_PATH", "TEMPORAL_TLS_KEY"],
        data: ["TEMPORAL_TLS_CLIENT_KEY_DATA", "TEMPORAL_TLS_KEY_DATA"],
    },
];

impl Settings {
    /// Watches the namespace that the `TEMPORAL_*` environment points at, and below it the profile of `temporal.toml`;
    /// `127.0.0.1:7233`, `default` without any.
    ///
    /// # Errors
    /// Every mistake of the environment, each with the variable's name, and of the profile with its place.
    pub fn from_environment(env: &dyn Environment) -> Result<Self, Mistakes> {
        let profile = profile::of_environment(env).map_err(|(origin, mistakes)| Mistakes::new(origin, mistakes))?;
        let Some(profile) = profile else {
            return alone(env).map_err(|mistakes| Mistakes::new("environment", mistakes));
        };
        let file = profile.file.display();
        let mut settings = layered(env, &profile).map_err(|mistakes| Mistakes::new(file.to_string(), mistakes))?;
        let header = format!("# what the environment does not say is from profile {:?} of {file}\n", profile.name);
        settings.shown.insert_str(0, &header);
        Ok(settings)
    }
}

fn alone(env: &dyn Environment) -> Result<Settings, Vec<Mistake>> {
    // Paths of the environment start at the working directory, as those of a shell do.
    let reader = Reader { env, base: Path::new(""), mistakes: Vec::new() };
    ZeroConfig { reader }.settings()
}

/// What `env` says, and below it `profile`.
pub(super) fn layered(env: &dyn Environment, profile: &Profile) -> Result<Settings, Vec<Mistake>> {
    alone(&Layered { env, profile }).map_err(|mut mistakes| {
        mistakes.iter_mut().for_each(|mistake| profile.place(mistake, env));
        mistakes
    })
}

struct ZeroConfig<'a> {
    reader: Reader<'a>,
}

impl ZeroConfig<'_> {
    fn settings(mut self) -> Result<Settings, Vec<Mistake>> {
        let mut source = Section::new(Group::Temporal, Place::File);
        source.set("name", Value::Text("temporal".to_owned()));
        source.set("kind", Value::Text("temporal".to_owned()));
        for (key, variable) in [("address", "TEMPORAL_ADDRESS"), ("namespace", "TEMPORAL_NAMESPACE")] {
            self.checked(&mut source, key, variable);
        }
        if self.is_set("TEMPORAL_API_KEY") {
            source.set("api_key_env", Value::Text("TEMPORAL_API_KEY".to_owned()));
        }
        let metadata = self.metadata();
        if !metadata.is_empty() {
            source.set("metadata", Value::Entries(metadata));
        }
        let (tls, data) = self.tls();
        let wanted = self.switch("TEMPORAL_TLS");
        let with_key = source.has("api_key_env");
        let on = wanted.unwrap_or(!tls.fields.is_empty() || data != Tls::default() || with_key);
        if on {
            source.set("tls", Value::Section(tls));
        }

        let mut file = Section::new(Group::File, Place::File);
        let only = Field { place: Place::File, value: Value::Section(source) };
        file.set("sources", Value::List(vec![only]));
        let in_memory: Vec<&str> =
            MATERIAL.iter().flat_map(|part| part.data).filter(|name| on && self.is_set(name)).collect();
        // From here on the same checked conversion as for a file.
        let mut settings = self.reader.settings(file)?;
        if let Some(Detail::Temporal(temporal)) = settings.sources.first_mut().map(|source| &mut source.detail) {
            // An API key alone switches TLS on, and only the environment can switch it off again.
            temporal.tls = temporal.tls.take().filter(|_| on).map(|tls| Tls {
                ca_data: data.ca_data,
                cert_data: data.cert_data,
                key_data: data.key_data,
                ..tls
            });
        }
        if !on && with_key {
            settings.shown.push_str("# TEMPORAL_TLS: false, so that the API key is sent in plaintext\n");
        }
        for variable in in_memory {
            settings.shown.push_str(&format!("# {variable}: <secret>\n"));
        }
        Ok(settings)
    }

    /// The value of a variable; an empty one counts as not set.
    fn find(&self, name: &str) -> Option<String> {
        self.reader.env.variable(name).filter(|value| !value.is_empty())
    }

    fn is_set(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn say(&mut self, variable: &str, reason: impl Into<String>, hint: impl Into<String>) {
        self.reader.say(Place::Variable(variable.to_owned()), reason, hint);
    }

    /// Reads a variable as the key of a file would be read.
    fn checked(&mut self, section: &mut Section, key: &'static str, variable: &str) {
        let Some(value) = self.find(variable) else { return };
        let Some(row) = section.group.key(key) else { return };
        if let Some(value) = self.reader.text(key, row.kind, Place::Variable(variable.to_owned()), value.trim()) {
            section.set(key, value);
        }
    }

    fn switch(&mut self, variable: &str) -> Option<bool> {
        match self.find(variable)?.to_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                self.say(variable, "is neither true nor false", "set it to true or false, or unset it");
                None
            }
        }
    }

    /// `TEMPORAL_GRPC_META_X_TENANT` is the header `x-tenant`.
    fn metadata(&mut self) -> Vec<(String, Field)> {
        let names = self.reader.env.names(META).into_iter().filter(|name| self.is_set(name));
        let entry = |variable: String| {
            let header = variable.trim_start_matches(META).to_lowercase().replace('_', "-");
            let place = Place::Variable(variable.clone());
            let mut reference = Section::new(Group::SecretRef, place.clone());
            reference.set("env", Value::Text(variable));
            (header, Field { place, value: Value::Section(reference) })
        };
        names.map(entry).collect()
    }

    /// What is named as files, and what is given in memory.
    fn tls(&mut self) -> (Section, Tls) {
        let mut section = Section::new(Group::Tls, Place::File);
        let mut held = [None, None, None];
        let mut given = [None, None, None];
        for ((part, held), given) in MATERIAL.iter().zip(&mut held).zip(&mut given) {
            let path = part.paths.into_iter().find(|name| self.is_set(name));
            let data = part.data.into_iter().find(|name| self.is_set(name));
            *given = path.or(data);
            match (path, data) {
                (Some(path), Some(data)) => {
                    self.say(data, format!("both {path} and {data} are set"), "unset one of them");
                }
                (Some(path), None) => self.checked(&mut section, part.key, path),
                (None, Some(data)) => *held = self.find(data).map(Secret::held),
                (None, None) => {}
            }
        }
        let [_, cert, key] = given;
        match (cert, key) {
            (Some(cert), None) => {
                self.say(cert, "a client certificate without its key", "set TEMPORAL_TLS_CLIENT_KEY_PATH");
            }
            (None, Some(key)) => {
                self.say(key, "a client key without its certificate", "set TEMPORAL_TLS_CLIENT_CERT_PATH");
            }
            _ => {}
        }
        self.checked(&mut section, "server_name", "TEMPORAL_TLS_SERVER_NAME");
        if self.switch("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION") == Some(true) {
            section.set("insecure_skip_verify", Value::Switch(true));
        }
        let [ca_data, cert_data, key_data] = held;
        (section, Tls { ca_data, cert_data, key_data, ..Tls::default() })
    }
}
