//! `sources` to what discovery and the sources need.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;
use verdict::read::grpc::NotServing;
use verdict::read::worker_metrics::{Names, Series};

use super::discovery::networks;
use super::keys::Group;
use super::mistake::Place;
use super::quantity::show_span;
use super::reader::Reader;
use super::rules::{line, reference_hint, task_types};
use super::secret::Secret;
use super::section::{Section, Value};
use super::settings::{
    Access, CelerySource, Detail, FileSource, Framework, FrameworkSource, GrpcSource, HeartbeatFile, HttpSource,
    HttpTarget, Identity, MetricsSource, RedisServer, RedisSource, Source, Targets, TemporalSource, Tls,
};

impl Reader<'_> {
    /// Fills the sources of `file` with what is in force, checks them, and makes settings of them.
    pub(super) fn sources(&mut self, file: &mut Section) -> Vec<Source> {
        let timeout = file.section("global").map(|global| global.span("look_timeout")).unwrap_or_default();
        let fleets: Vec<String> = file.sections("fleets").map(|fleet| fleet.text("name").to_owned()).collect();
        if file.has("sources") && file.list("sources").is_empty() {
            self.say(file.at("sources"), "there are no sources, so nothing would be watched", "add a source");
        }
        let mut names = BTreeMap::new();
        let mut sources = Vec::new();
        for section in file.sections_mut("sources") {
            // Before the defaults, which it replaces as well.
            let profile = self.profile(section);
            section.inherit(&Section::defaults(section.group));
            if !section.has("timeout") {
                section.set("timeout", Value::Span(timeout));
            }
            self.unique("source", section, &mut names);
            self.known_fleet(section, &fleets);
            self.intervals(section);
            let name: Arc<str> = Arc::from(section.text("name"));
            let fleet = section.find_text("fleet").map(Arc::from);
            let detail = match section.group {
                Group::Http => Detail::Http(self.http(section, fleet.as_ref().unwrap_or(&name), &fleets)),
                Group::Metrics => Detail::Metrics(self.metrics(section, fleet.as_ref().unwrap_or(&name), &fleets)),
                Group::Grpc => Detail::Grpc(self.grpc(section, fleet.as_ref().unwrap_or(&name), &fleets)),
                Group::Temporal => Detail::Temporal(self.temporal(section, profile)),
                Group::Redis => match self.server(section) {
                    Some(server) => Detail::Redis(RedisSource { server, pattern: section.text("pattern").to_owned() }),
                    None => continue,
                },
                Group::Celery => match self.server(section) {
                    Some(server) => Detail::Celery(CelerySource {
                        server,
                        pattern: section.find_text("pattern").unwrap_or("{id}").to_owned(),
                        key_prefix: section.find_text("key_prefix").unwrap_or_default().to_owned(),
                    }),
                    None => continue,
                },
                Group::Process => Detail::Process(self.process(section, fleet.as_ref().unwrap_or(&name), &fleets)),
                Group::Rq | Group::Sidekiq | Group::Dramatiq => match self.framework(section) {
                    Some(framework) => Detail::Framework(framework),
                    None => continue,
                },
                Group::HeartbeatFiles => Detail::File(self.files(section, fleet.as_ref().unwrap_or(&name), &fleets)),
                _ => continue,
            };
            sources.push(Source {
                name,
                fleet,
                timeout: section.span("timeout"),
                minimum_interval: section.span("minimum_interval"),
                maximum_interval: section.span("maximum_interval"),
                match_host_pid: section.has("match"),
                detail,
            });
        }
        sources
    }

    pub(super) fn known_fleet(&mut self, section: &Section, fleets: &[String]) {
        let Some(fleet) = section.find_text("fleet") else { return };
        if !fleets.iter().any(|known| known == fleet) {
            let known: Vec<&str> = fleets.iter().map(String::as_str).collect();
            let hint = reference_hint(fleet, &known, "fleets");
            self.say(section.at("fleet"), format!("there is no fleet \"{fleet}\""), hint);
        }
    }

    fn intervals(&mut self, section: &Section) {
        let [timeout, least, most] = ["timeout", "minimum_interval", "maximum_interval"].map(|name| section.span(name));
        if least > most {
            self.say(
                section.at("minimum_interval"),
                format!(
                    "\"minimum_interval\" {} is longer than \"maximum_interval\" {}",
                    show_span(least),
                    show_span(most)
                ),
                "lower the minimum or raise the maximum",
            );
        } else if timeout > most {
            self.say(
                section.at("timeout"),
                format!("\"timeout\" {} is longer than \"maximum_interval\" {}", show_span(timeout), show_span(most)),
                "a look must be over before the next one is due: lower the timeout or raise the interval",
            );
        }
    }

    fn http(&mut self, section: &mut Section, fleet: &Arc<str>, fleets: &[String]) -> HttpSource {
        HttpSource {
            targets: self.targets(section, HttpSource::PATH, fleet, fleets),
            fields: section
                .entries("fields")
                .iter()
                .filter_map(|(name, field)| match &field.value {
                    Value::Text(pointer) => Some((name.clone(), pointer.clone())),
                    _ => None,
                })
                .collect(),
            identity: section.section_mut("identity").map(|identity| {
                identity.inherit(&Section::defaults(Group::Identity));
                Identity { field: identity.text("field").to_owned(), value: identity.text("value").to_owned() }
            }),
            max_body: usize::try_from(section.whole("max_body")).unwrap_or(usize::MAX),
        }
    }

    fn metrics(&mut self, section: &mut Section, fleet: &Arc<str>, fleets: &[String]) -> MetricsSource {
        let targets = self.targets(section, MetricsSource::PATH, fleet, fleets);
        // What is none has been said where it was read.
        let series = |name: &str| section.texts(name).filter_map(|text| Series::parse(text).ok()).collect();
        let names = Names {
            progress: series("progress"),
            waiting: series("waiting"),
            in_flight: series("in_flight"),
            tasks: series("tasks"),
            tasks_failed: series("tasks_failed"),
            task_duration: series("task_duration"),
            schedule_to_start: series("schedule_to_start"),
            temporal_prefix: match section.text("sdk") {
                "none" => String::new(),
                _ => section.text("sdk_prefix").to_owned(),
            },
        };
        MetricsSource { targets, names, max_body: usize::try_from(section.whole("max_body")).unwrap_or(usize::MAX) }
    }

    fn grpc(&mut self, section: &mut Section, fleet: &Arc<str>, fleets: &[String]) -> GrpcSource {
        let hint = "keep scheme, host and port; name what is asked about with `service:`";
        if section.has("path") {
            self.say(section.at("path"), "\"path\" for gRPC, which has none", hint);
        }
        for target in section.sections("targets") {
            if target.find_url("url").is_some_and(|url| url.path() != "/" || url.query().is_some()) {
                self.say(target.at("url"), "\"url\" of a gRPC server has a path", hint);
            }
        }
        if section.has("match") {
            let hint = "take it out: workers are joined by carrying the same id";
            self.say(section.at("match"), "\"match\" for gRPC, whose answers name no process", hint);
        }
        let not_serving = match section.text("not_serving") {
            "draining" => NotServing::Draining,
            _ => NotServing::Unhealthy,
        };
        let service = section.text("service").to_owned();
        GrpcSource { targets: self.targets(section, "/", fleet, fleets), service, not_serving }
    }

    /// The targets of a source; `path` is where those are asked that name no path of their own.
    fn targets(&mut self, section: &mut Section, path: &str, fleet: &Arc<str>, fleets: &[String]) -> Targets {
        if !section.has("path") {
            section.set("path", Value::Text(path.to_owned()));
        }
        let ways = ["file_sd", "http_sd", "dns_sd"];
        if !ways.iter().any(|way| section.has(way) || section.faulty.iter().any(|faulty| faulty == way))
            && section.list("targets").is_empty()
        {
            let hint = "add `targets:`, `file_sd:`, `http_sd:` or `dns_sd:`";
            self.say(section.place.clone(), "this source has no targets", hint);
        }
        let http_sd = section.section_mut("http_sd").map(|sd| {
            sd.inherit(&Section::defaults(Group::HttpSd));
            self.http_sd(sd)
        });
        let dns_sd = section.section_mut("dns_sd").map(|sd| {
            sd.inherit(&Section::defaults(Group::DnsSd));
            self.dns_sd(sd)
        });
        let allowed = networks(section);
        let table = [Group::Target, Group::Access].map(Section::defaults);
        let mut targets: Vec<HttpTarget> = Vec::new();
        let mut ids: BTreeMap<(Arc<str>, Arc<str>), Place> = BTreeMap::new();
        for target in section.sections_mut("targets") {
            target.inherit(&table[0]);
            self.known_fleet(target, fleets);
            let Some(url) = target.find_url("url").cloned() else { continue };
            let id: Arc<str> = target.find_text("id").map_or_else(|| Arc::from(authority(&url)), Arc::from);
            let fleet = target.find_text("fleet").map_or_else(|| Arc::clone(fleet), Arc::from);
            let place = target.at(if target.has("id") { "id" } else { "url" });
            if let Some(first) = ids.get(&(Arc::clone(&fleet), Arc::clone(&id))) {
                let hint = format!("it is already used on {}; give each worker an `id:` of its own", line(first));
                self.say(place, format!("duplicate worker id \"{id}\" in fleet \"{fleet}\""), hint);
                continue;
            }
            ids.insert((Arc::clone(&fleet), Arc::clone(&id)), place);
            let access = target.section_mut("access").map(|access| {
                access.inherit(&table[1]);
                Arc::new(self.access(access))
            });
            self.reachable(target, "the source", &url, access.as_ref().map_or(&allowed, |access| &access.allowed));
            targets.push(HttpTarget { id, fleet, url, access });
        }
        Targets {
            fixed: targets,
            file_sd: section
                .section("file_sd")
                .map(|files| files.texts("files").map(|glob| self.path(glob)).collect())
                .unwrap_or_default(),
            http_sd: http_sd.flatten(),
            dns_sd: dns_sd.flatten(),
            path: section.text("path").to_owned(),
            https: section.text("scheme") == "https",
            worker_label: section.find_text("worker_label").map(str::to_owned),
            fleet_label: section.find_text("fleet_label").map(str::to_owned),
            access: Arc::new(self.access(section)),
        }
    }

    pub(super) fn access(&mut self, section: &Section) -> Access {
        let bearer = self.secret(section, "bearer_token_file", "bearer_token_env");
        let basic = section.section("basic_auth").and_then(|basic| {
            let password = self.needed_secret(basic, "password_file", "password_env")?;
            Some((basic.text("username").to_owned(), password))
        });
        let headers = self.named_secrets(section, "headers");
        let in_header = section.entries("headers").iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let sayings = [
            bearer.is_some().then(|| section.at_either("bearer_token_file", "bearer_token_env")),
            section.has("basic_auth").then(|| section.at("basic_auth")),
            in_header.map(|(_, field)| field.place.clone()),
        ];
        if let [_, second, ..] = sayings.into_iter().flatten().collect::<Vec<_>>().as_slice() {
            self.say(
                second.clone(),
                "two values for the header Authorization",
                "keep one of a bearer token, `basic_auth` and an Authorization header",
            );
        }
        Access { bearer, basic, headers, allowed: networks(section), tls: self.tls(section.section("tls")) }
    }

    fn tls(&self, section: Option<&Section>) -> Tls {
        let Some(section) = section else { return Tls::default() };
        let file = |name| section.find_text(name).map(|text| self.path(text));
        Tls {
            ca_file: file("ca_file"),
            cert_file: file("cert_file"),
            key_file: file("key_file"),
            server_name: section.find_text("server_name").map(str::to_owned),
            insecure_skip_verify: section.switch("insecure_skip_verify"),
            ..Tls::default()
        }
    }

    fn temporal(&mut self, section: &mut Section, profile: Option<TemporalSource>) -> TemporalSource {
        let queue_defaults = Section::defaults(Group::TaskQueue);
        let tls_defaults = Section::defaults(Group::Tls);
        section.sections_mut("task_queues").for_each(|queue| queue.inherit(&queue_defaults));
        if let Some(tls) = section.section_mut("tls") {
            tls.inherit(&tls_defaults);
        }
        let written = self.secret(section, "api_key_file", "api_key_env");
        let (api_key, tls_of_profile, of_profile) = match profile {
            // A profile may switch TLS off for a key of its own, and only for that.
            Some(profile) => {
                let tls = profile.tls.or_else(|| written.is_some().then(Tls::default));
                (written.or(profile.api_key), Some(tls), profile.metadata)
            }
            None => (written, None, Vec::new()),
        };
        let mut metadata = self.named_secrets(section, "metadata");
        for (name, value) in of_profile {
            if !metadata.iter().any(|(own, _)| own.eq_ignore_ascii_case(&name)) {
                metadata.push((name, value));
            }
        }
        let by_hand = section.entries("metadata").iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if let (Some((_, field)), Some(_)) = (by_hand, &api_key) {
            let hint = "keep one of the API key and the Authorization metadata";
            self.say(field.place.clone(), "two values for the metadata Authorization", hint);
        }
        // An API key must not travel in the clear.
        let tls = match tls_of_profile {
            _ if section.has("tls") => Some(self.tls(section.section("tls"))),
            Some(tls) => tls,
            None => api_key.is_some().then(Tls::default),
        };
        TemporalSource {
            address: section.text("address").to_owned(),
            namespace: Arc::from(section.text("namespace")),
            api_key,
            tls,
            metadata,
            task_queues: section
                .sections("task_queues")
                .flat_map(|queue| task_types(queue).map(|task_type| (Arc::from(queue.text("name")), task_type)))
                .collect(),
            requests_per_second: section.number("requests_per_second"),
            timed_out_workflows: section.switch("timed_out_workflows"),
        }
    }

    fn framework(&mut self, section: &Section) -> Option<FrameworkSource> {
        let framework = match section.group {
            Group::Rq => Framework::Rq,
            Group::Sidekiq => Framework::Sidekiq,
            _ => Framework::Dramatiq,
        };
        let prefix = section.text("prefix").trim_end_matches(':').to_owned();
        Some(FrameworkSource { server: self.server(section)?, framework, prefix })
    }

    /// The Redis server of a source.
    fn server(&mut self, section: &Section) -> Option<RedisServer> {
        let password = self.secret(section, "password_file", "password_env");
        if section.has("username") && password.is_none() {
            let hint = "add `password_file:` or `password_env:`";
            self.say(section.at("username"), "\"username\" without a password", hint);
        }
        let url = section.find_url("address")?.clone();
        if section.has("tls") && url.scheme() == "redis" {
            self.say(section.at("tls"), "\"tls\" for an address without TLS", "begin the address with rediss://");
        }
        Some(RedisServer {
            url,
            username: section.find_text("username").map(str::to_owned),
            password,
            tls: self.tls(section.section("tls")),
            queues: section.texts("queues").map(Arc::from).collect(),
        })
    }

    fn files(&mut self, section: &mut Section, fleet: &Arc<str>, fleets: &[String]) -> FileSource {
        let written = section.has("paths") || section.has("files");
        let empty = section.list("paths").is_empty() && section.list("files").is_empty();
        // A list whose only entry is wrong is empty too, and that was said.
        if !written || (empty && self.mistakes.is_empty()) {
            self.say(section.place.clone(), "this source has no files", "add `paths:` or `files:`");
        }
        let paths = section.texts("paths").map(|path| self.path(path)).collect();
        let mut files: Vec<HeartbeatFile> = Vec::new();
        let mut ids: BTreeMap<(Arc<str>, Arc<str>), Place> = BTreeMap::new();
        for file in section.sections("files") {
            self.known_fleet(file, fleets);
            let id: Arc<str> = Arc::from(file.text("id"));
            let fleet = file.find_text("fleet").map_or_else(|| Arc::clone(fleet), Arc::from);
            let place = file.at("id");
            if let Some(first) = ids.get(&(Arc::clone(&fleet), Arc::clone(&id))) {
                let hint = format!("it is already used on {}; give each worker an `id:` of its own", line(first));
                self.say(place, format!("duplicate worker id \"{id}\" in fleet \"{fleet}\""), hint);
                continue;
            }
            ids.insert((Arc::clone(&fleet), Arc::clone(&id)), place);
            files.push(HeartbeatFile { id, fleet, path: self.path(file.text("path")) });
        }
        FileSource { paths, files }
    }

    /// The secret of a pair of keys.
    fn secret(&mut self, section: &Section, file: &str, env: &str) -> Option<Secret> {
        match (section.find_text(file), section.find_text(env)) {
            (Some(_), Some(_)) => {
                self.say(section.at(env), format!("both \"{file}\" and \"{env}\""), "keep one of them");
                None
            }
            (Some(path), None) => Some(Secret::File(self.path(path))),
            (None, Some(name)) => self.env.variable(name).map(Secret::held),
            (None, None) => None,
        }
    }

    /// A secret without which its section means nothing.
    fn needed_secret(&mut self, section: &Section, file: &str, env: &str) -> Option<Secret> {
        let wrong = section.faulty.iter().any(|name| *name == file || *name == env);
        if !section.has(file) && !section.has(env) && !wrong {
            let reason = format!("{} needs \"{file}\" or \"{env}\"", section.group.title());
            self.say(section.place.clone(), reason, "add one of them");
        }
        self.secret(section, file, env)
    }

    fn named_secrets(&mut self, section: &Section, name: &str) -> Vec<(String, Secret)> {
        let mut secrets = Vec::new();
        for (name, field) in section.entries(name) {
            let Value::Section(reference) = &field.value else { continue };
            if let Some(secret) = self.needed_secret(reference, "file", "env") {
                secrets.push((name.clone(), secret));
            }
        }
        secrets
    }
}

/// `host:port`, with the port written out.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
