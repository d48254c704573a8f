//! The configuration as its users meet it: every mistake with its exact message, every example, the reference page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use proptest::prelude::*;
use worker_exporter::config::{self, Detail, Mistakes, Settings, Variables};

/// No message, no debug output and no page may ever contain it.
const CANARY: &str = "hunter2";

fn env() -> Variables {
    Variables::from_iter([("HELD", CANARY), ("EMPTY", "")])
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "no .{extension} in {folder}");
    files
}

fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

fn parse(text: &str) -> Result<Settings, Mistakes> {
    config::parse(text.as_bytes(), "orders.yaml", Path::new("tests/config/bad"), &env())
}

#[test]
fn each_mistake_has_its_exact_message() {
    let mut wrong = Vec::new();
    for path in files("tests/config/bad", "yaml") {
        let said = format!("{}\n", config::load(&path, &env()).expect_err(&path.display().to_string()));
        assert!(!said.contains(CANARY), "{}: {said}", path.display());
        let expected = path.with_extension("txt");
        if updating() {
            fs::write(&expected, &said).unwrap();
        }
        match fs::read_to_string(&expected) {
            Ok(text) if text == said => {}
            Ok(text) => wrong.push(format!("{}\nexpected:\n{text}said:\n{said}", path.display())),
            Err(_) => wrong.push(format!("{} is missing; it would be:\n{said}", expected.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_message_belongs_to_a_bad_file() {
    for path in files("tests/config/bad", "txt") {
        assert!(path.with_extension("yaml").exists(), "{} without its .yaml", path.display());
    }
}

#[test]
fn a_bad_file_has_exactly_one_mistake() {
    for path in files("tests/config/bad", "yaml") {
        if path.ends_with("ten_mistakes.yaml") {
            continue;
        }
        let mistakes = config::load(&path, &env()).expect_err(&path.display().to_string());
        assert_eq!(mistakes.list().len(), 1, "{mistakes}");
    }
}

#[test]
fn ten_mistakes_are_ten_messages_in_the_order_of_the_file() {
    let mistakes = config::load(Path::new("tests/config/bad/ten_mistakes.yaml"), &env()).unwrap_err();
    assert_eq!(mistakes.list().len(), 10, "{mistakes}");
    let places: Vec<_> = mistakes.list().iter().map(|mistake| (mistake.line(), mistake.column())).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_mistake_tells_its_place_reason_and_hint() {
    let mistakes = parse("sources:\n  - name: t\n    kind: temporal\n    tiemout: 3s\n").unwrap_err();
    let [mistake] = mistakes.list() else { panic!("{mistakes}") };
    assert_eq!((mistake.line(), mistake.column()), (Some(4), Some(5)));
    assert_eq!(mistakes.to_string(), "orders.yaml:4:5: unknown key \"tiemout\"\n    hint: did you mean \"timeout\"?");
}

#[test]
fn a_file_that_is_not_there_is_one_mistake_without_a_line() {
    let mistakes = config::load(Path::new("no/such.yaml"), &env()).unwrap_err();
    assert!(mistakes.to_string().starts_with("no/such.yaml: cannot read the file: "), "{mistakes}");
    assert_eq!(mistakes.list()[0].line(), None);
}

#[test]
fn a_file_over_one_mebibyte_is_refused_before_it_is_parsed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.yaml");
    fs::write(&path, format!("sources: # {}\n", "x".repeat(1 << 20))).unwrap();
    let mistakes = config::load(&path, &env()).unwrap_err();
    assert_eq!(mistakes.list()[0].reason, "the file is larger than 1 MiB");
}

#[test]
fn an_alias_repeats_a_value_and_its_mistake_is_said_once() {
    let good = "sources:\n  - {name: a, kind: temporal, tls: &tls {server_name: x}}\n  \
                - {name: b, kind: temporal, tls: *tls}\n";
    assert_eq!(parse(good).unwrap().sources.len(), 2);
    let bad = good.replace("server_name", "server_nme");
    assert_eq!(parse(&bad).unwrap_err().list().len(), 1);
}

/// Everything that may be set, as `/config` and the settings show it.
fn full(folder: &Path) -> (String, Settings) {
    fs::write(folder.join("secret"), format!("{CANARY}\n")).unwrap();
    let text = "
global: {look_timeout: 4s, concurrency: 50}
defaults: {page: fleet, cpu: {critical: 99%}}
fleets:
  - name: orders
    page: worker
    team: payments
    expected_workers: 10
    heartbeat_interval: 1500ms
    max_quiet: 26h
    cpu: {warning: 50%}
    expected_task_duration: 3s
    queues: [{source: temporal, task_queue: orders}]
  - name: idle
sources:
  - name: temporal
    kind: temporal
    address: temporal.example.com:7233
    namespace: prod
    api_key_env: HELD
    metadata: {x-tenant: {file: secret}}
    tls: {server_name: other}
    task_queues: [{name: orders, types: [activity]}, {name: late, types: [nexus]}]
    requests_per_second: 2.5
    timed_out_workflows: true
  - name: web
    kind: http
    fleet: orders
    timeout: 2s
    targets:
      - {id: a, url: 'http://a:8080/health'}
      - {url: 'https://b/health', fleet: idle, access: {basic_auth: {username: me, password_file: secret}}}
    file_sd: {files: ['targets/*.json']}
    bearer_token_file: secret
    headers: {X-Key: {env: HELD}}
    fields: {tasks_total: /metrics/jobs}
    max_body: 1MiB
  - name: beats
    kind: redis
    address: redis://redis:6379/3
    username: me
    password_env: HELD
    match: host_pid
    queues: [mail, bulk, mail]
";
    let settings = config::parse(text.as_bytes(), "full.yaml", folder, &env()).unwrap_or_else(|m| panic!("{m}"));
    (text.to_owned(), settings)
}

#[test]
fn queues_on_redis_are_watched_whether_a_source_or_a_fleet_names_them() {
    let text = "
fleets: [{name: orders, queues: [{source: beats, task_queue: orders}]}]
sources: [{name: beats, kind: redis, address: 'redis://redis', queues: [mail, orders]}]
";
    let settings = parse(text).unwrap_or_else(|m| panic!("{m}"));
    let watched = settings.rulebook.sources[0].watch.iter().map(|(queue, kind)| (&**queue, kind.word()));
    assert_eq!(watched.collect::<Vec<_>>(), [("mail", "activity"), ("orders", "activity")]);
    let [queue] = &*settings.rulebook.of("orders").queues else { panic!("one queue, of one type") };
    assert_eq!((&*queue.task_queue, queue.task_type.word(), &*queue.namespace), ("orders", "activity", ""));
}

#[test]
fn what_is_written_is_what_the_program_gets() {
    let folder = tempfile::tempdir().unwrap();
    let (_, settings) = full(folder.path());
    assert_eq!(settings.concurrency, 50);
    let orders = settings.rulebook.of("orders");
    assert_eq!((orders.cpu.warning, orders.cpu.critical), (0.5, 0.99), "each half is inherited for itself");
    assert_eq!(orders.heartbeat_interval, Some(Duration::from_millis(1500)));
    assert_eq!(orders.queues.len(), 2);
    assert_eq!(&*orders.queues[0].namespace, "prod");
    assert_eq!(settings.rulebook.of("idle").page, verdict::rules::Page::Fleet, "from `defaults`");
    assert_eq!(settings.rulebook.of("unlisted").page, verdict::rules::Page::Fleet, "`defaults` hold for all");

    let [temporal, web, beats] = settings.sources.as_slice() else { panic!("three sources") };
    assert_eq!((temporal.timeout, web.timeout), (Duration::from_secs(4), Duration::from_secs(2)));
    let Detail::Temporal(detail) = &temporal.detail else { panic!("kind") };
    assert!(detail.tls.is_some() && detail.api_key.is_some());
    assert_eq!(detail.task_queues.len(), 3, "its own and the fleet's, each once: {:?}", detail.task_queues);
    assert_eq!(settings.rulebook.sources[0].watch, detail.task_queues);
    let Detail::Http(http) = &web.detail else { panic!("kind") };
    assert_eq!((&*http.targets.fixed[1].id, &*http.targets.fixed[1].fleet), ("b:443", "idle"));
    assert_eq!(http.targets.file_sd, [folder.path().join("targets/*.json")]);
    assert_eq!(http.max_body, 1 << 20);
    assert!(http.targets.fixed[0].access.is_none() && http.targets.fixed[1].access.as_ref().unwrap().basic.is_some());
    assert!(beats.match_host_pid);
}

#[test]
fn what_is_shown_is_in_force_and_loads_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_, settings) = full(folder.path());
    let again = config::parse(settings.shown.as_bytes(), "shown.yaml", folder.path(), &env())
        .unwrap_or_else(|mistakes| panic!("{mistakes}\n{}", settings.shown));
    assert_eq!(again.shown, settings.shown);
    assert_eq!(again.sources, settings.sources);
    assert_eq!(again.rulebook, settings.rulebook);
}

#[test]
fn no_secret_is_ever_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (text, settings) = full(folder.path());
    let zero = zero(&[("TEMPORAL_API_KEY", CANARY), ("TEMPORAL_TLS_SERVER_CA_CERT_DATA", CANARY)]).unwrap();
    for settings in [&settings, &zero] {
        assert!(!format!("{settings:?}").contains(CANARY));
        assert!(!settings.shown.contains(CANARY), "{}", settings.shown);
    }
    assert!(zero.shown.contains("TEMPORAL_TLS_SERVER_CA_CERT_DATA: <secret>"), "{}", zero.shown);
    let plain = self::zero(&[("TEMPORAL_API_KEY", CANARY), ("TEMPORAL_TLS", "false")]).unwrap();
    assert!(plain.shown.contains("# TEMPORAL_TLS: false") && !plain.shown.contains(CANARY), "{}", plain.shown);
    // The secret instead of any value whatever: no message repeats it where a secret could be meant.
    for key in ["password", "passwd", "bearer_token", "api_key", "token", "secret", "authorization"] {
        for kind in ["http", "temporal", "redis", "rq", "sidekiq", "dramatiq"] {
            let text = format!("sources:\n  - name: a\n    kind: {kind}\n    {key}: {CANARY}\n");
            let mistakes = parse(&text).unwrap_err();
            assert!(!format!("{mistakes}{mistakes:?}").contains(CANARY), "{mistakes}");
            assert!(mistakes.to_string().contains("_file"), "no way out: {mistakes}");
        }
    }
    let broken = text.replace("password_file: secret", "password: hunter2").replace("{env: HELD}", CANARY);
    let mistakes = config::parse(broken.as_bytes(), "full.yaml", folder.path(), &env()).unwrap_err();
    assert!(!format!("{mistakes}{mistakes:?}").contains(CANARY), "{mistakes}");
}

fn zero(variables: &[(&str, &str)]) -> Result<Settings, Mistakes> {
    Settings::from_environment(&variables.iter().copied().collect::<Variables>())
}

fn temporal(settings: &Settings) -> &config::TemporalSource {
    match &settings.sources[..] {
        [config::Source { detail: Detail::Temporal(temporal), .. }] => temporal,
        _ => panic!("not one Temporal source"),
    }
}

#[test]
fn without_any_environment_the_local_server_is_watched_in_plaintext() {
    let settings = zero(&[]).unwrap();
    let temporal = temporal(&settings);
    assert_eq!((temporal.address.as_str(), &*temporal.namespace), ("127.0.0.1:7233", "default"));
    assert_eq!((&temporal.tls, &temporal.api_key), (&None, &None));
    assert_eq!(&*settings.sources[0].name, "temporal");
    assert_eq!(settings.rulebook.default, verdict::rules::Rules::default());
    assert!(config::parse(settings.shown.as_bytes(), "shown", Path::new(""), &env()).is_ok(), "{}", settings.shown);
}

#[test]
fn an_api_key_or_tls_material_switches_tls_on_unless_it_is_disabled() {
    let on = |variables: &[(&str, &str)]| temporal(&zero(variables).unwrap()).tls.is_some();
    assert!(on(&[("TEMPORAL_API_KEY", "k")]));
    assert!(on(&[("TEMPORAL_TLS", "1")]));
    assert!(on(&[("TEMPORAL_TLS_SERVER_NAME", "x")]));
    assert!(on(&[("TEMPORAL_TLS_CA_DATA", "x")]));
    assert!(!on(&[("TEMPORAL_API_KEY", "k"), ("TEMPORAL_TLS", "false")]));
    assert!(!on(&[("TEMPORAL_TLS_CA_DATA", "x"), ("TEMPORAL_TLS", "0")]));
    assert!(!on(&[("TEMPORAL_TLS", ""), ("TEMPORAL_API_KEY", "")]), "empty is not set");
}

#[test]
fn the_environment_of_temporals_tools_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cert.pem");
    fs::write(&file, "PEM").unwrap();
    let path = file.to_str().unwrap();
    let settings = zero(&[
        ("TEMPORAL_ADDRESS", "prod.tmprl.cloud:7233"),
        ("TEMPORAL_NAMESPACE", "prod.a1b2c"),
        ("TEMPORAL_TLS_CERT", path),
        ("TEMPORAL_TLS_CLIENT_KEY_DATA", "PEM"),
        ("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "true"),
        ("TEMPORAL_GRPC_META_X_TENANT", "a"),
        ("TEMPORAL_GRPC_META_REMOVED", ""),
    ])
    .unwrap();
    let temporal = temporal(&settings);
    assert_eq!((temporal.address.as_str(), &*temporal.namespace), ("prod.tmprl.cloud:7233", "prod.a1b2c"));
    let tls = temporal.tls.as_ref().unwrap();
    assert_eq!(tls.cert_file.as_deref(), Some(file.as_path()));
    assert!(tls.key_data.is_some() && tls.insecure_skip_verify);
    assert_eq!(temporal.metadata, [("x-tenant".to_owned(), config::Secret::held("a"))]);
}

#[test]
fn mistakes_of_the_environment_name_the_variable_and_come_all_at_once() {
    let mistakes = zero(&[
        ("TEMPORAL_ADDRESS", "localhost"),
        ("TEMPORAL_TLS", "maybe"),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", "no-such.pem"),
        ("TEMPORAL_TLS_CLIENT_CERT_DATA", CANARY),
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "no-such.pem"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(mistakes, @r#"
    TEMPORAL_ADDRESS: "address" has no port
        hint: write host:port, such as temporal.example.com:7233, without http:// in front
    TEMPORAL_TLS: is neither true nor false
        hint: set it to true or false, or unset it
    TEMPORAL_TLS_CLIENT_CERT_DATA: both TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_CERT_DATA are set
        hint: unset one of them
    TEMPORAL_TLS_CLIENT_CERT_PATH: a client certificate without its key
        hint: set TEMPORAL_TLS_CLIENT_KEY_PATH
    TEMPORAL_TLS_SERVER_CA_CERT_PATH: cannot read "no-such.pem" of "ca_file": there is no such file
        hint: relative paths start at the working directory
    "#);
}

#[test]
fn each_example_loads() {
    let variables: Variables =
        ["TEMPORAL_API_KEY", "REDIS_PASSWORD", "HEALTH_TOKEN"].map(|name| (name, "x")).into_iter().collect();
    for path in files("deploy/examples", "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        if !text.contains("\nsources:") {
            continue; // rules and the like
        }
        // In the place of /etc/worker-exporter stands a folder in which every file that is named exists.
        let folder = tempfile::tempdir().unwrap();
        for word in text.split([' ', '"', '}', ',', '\n']).filter(|word| word.starts_with("/etc/worker-exporter/")) {
            let file = folder.path().join(word.trim_start_matches("/etc/worker-exporter/"));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        let text = text.replace("/etc/worker-exporter", folder.path().to_str().unwrap());
        let settings = config::parse(text.as_bytes(), path.to_str().unwrap(), folder.path(), &variables);
        let settings = settings.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert!(!settings.sources.is_empty());
    }
}

#[test]
fn the_reference_page_is_made_from_the_table() {
    let page = config::reference();
    if updating() {
        fs::write("docs/config.md", &page).unwrap();
    }
    let written = fs::read_to_string("docs/config.md").unwrap_or_default();
    assert!(written == page, "docs/config.md is out of date: UPDATE_DOCS=1 cargo test --test config");
}

#[test]
fn check_answers_with_its_exit_code() {
    use worker_exporter::cli::check::CheckFlags;

    let code = |files: &[&str]| {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        format!("{:?}", worker_exporter::cli::check::run(&CheckFlags::of(files)))
    };
    let (good, bad) = ("deploy/examples/minimal.yaml", "tests/config/bad/empty.yaml");
    assert_eq!(code(&[good]), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(code(&[bad, good]), format!("{:?}", ExitCode::from(2)), "one bad file is enough, wherever it stands");
    assert_eq!(code(&[good, "no/such.yaml"]), format!("{:?}", ExitCode::from(2)));
}

#[test]
fn hostile_files_are_refused_quickly() {
    let large = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let many_keys: String = (0..60_000).map(|n| format!("k{n}: 1\n")).collect();
    let many_targets: String =
        (0..10_000).map(|n| format!("      - {{id: w{n}, url: 'http://h:8080/{n}'}}\n")).collect();
    let many_targets = format!("sources:\n  - name: web\n    kind: http\n    targets:\n{many_targets}");
    assert_eq!(parse(&many_targets).unwrap().sources.len(), 1);
    for text in
        [large("["), large("- "), large("{a: "), large("? "), large("&a "), large("a\n"), large("#\n"), many_keys]
    {
        let started = std::time::Instant::now();
        assert!(parse(&text).is_err());
        // An unoptimised build on a busy machine; what is quadratic takes minutes.
        assert!(started.elapsed() < Duration::from_secs(20), "{:?} took {:?}", &text[..10], started.elapsed());
    }
}

/// Lines that make up configurations, whole and broken.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("sources:".to_owned()),
        Just("  - name: a".to_owned()),
        Just("    kind: http".to_owned()),
        Just("    kind: [redis".to_owned()),
        Just("    targets: &t [{url: 'http://a:1/'}, *t]".to_owned()),
        Just("\t- tls: !!map {<<: *x}".to_owned()),
        Just("fleets: - - -".to_owned()),
        Just("---".to_owned()),
        "[ \\t]{0,8}[a-z_{}\\[\\],:&*!|>'\"%@-]{0,12}: ?[0-9a-zé.%:{}\\[\\],&*!|>'\"-]{0,12}",
        "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = config::parse(&bytes, "x", Path::new(""), &env());
    }

    #[test]
    fn no_text_makes_the_loader_panic(lines in proptest::collection::vec(fragment(), 0..12)) {
        let _ = config::parse(lines.join("\n").as_bytes(), "x", Path::new(""), &env());
    }

    /// A whole configuration with one piece cut out, doubled or overwritten.
    #[test]
    fn no_damage_makes_the_loader_panic(from in 0_usize..1500, length in 0_usize..40, with in "\\PC{0,6}") {
        let folder = tempfile::tempdir().unwrap();
        let (text, _) = full(folder.path());
        let letters: Vec<char> = text.chars().collect();
        let from = from.min(letters.len());
        let to = (from + length).min(letters.len());
        let damaged: String =
            letters[..from].iter().copied().chain(with.chars()).chain(letters[to..].iter().copied()).collect();
        let _ = config::parse(damaged.as_bytes(), "x", folder.path(), &env());
    }
}
