//! The web configuration as its users meet it: every mistake with its exact message, the example, and what is in force.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support_tls;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use support_tls::Authority;
use worker_exporter::config::{ClientAuth, TlsVersions, WebConfig, parse_web};
use worker_exporter::door::Door;

/// No message and no debug output may ever contain it.
const CANARY: &str = "hunter2";

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/web/bad").unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn each_mistake_has_its_exact_message() {
    let mut wrong = Vec::new();
    for path in files("yaml") {
        let mistakes = Door::load(&path).expect_err(&path.display().to_string());
        let said = format!("{mistakes}\n");
        assert!(!said.contains(CANARY), "{}: {said}", path.display());
        let count = if path.ends_with("eight_mistakes.yaml") { 8 } else { 1 };
        assert_eq!(mistakes.list().len(), count, "{said}");
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let text = fs::read_to_string(&expected).unwrap_or_default();
        if text != said {
            wrong.push(format!("{}\nexpected:\n{text}said:\n{said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for path in files("txt") {
        assert!(path.with_extension("yaml").exists(), "{} without its .yaml", path.display());
    }
}

#[test]
fn the_example_loads_and_protects() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("exporter", |_| {}).write(folder.path(), "tls.crt", "tls.key");
    authority.write(folder.path(), "ca.crt");
    let text = fs::read_to_string("deploy/examples/web-config.yml").unwrap();
    let file = folder.path().join("web-config.yml");
    fs::write(&file, text.replace("/etc/worker-exporter/tls", folder.path().to_str().unwrap())).unwrap();
    let door = Door::load(&file).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(door.is_tls());
    let config = door.config().load_full();
    assert_eq!(config.users.keys().collect::<Vec<_>>(), ["prometheus"]);
    assert_eq!(config.headers.len(), 2);
    assert_eq!(config.rate.unwrap().interval, Duration::from_millis(100));
    let tls = config.tls.as_ref().unwrap();
    assert_eq!((tls.client_auth, tls.versions), (ClientAuth::Everybody, TlsVersions::Both));
    assert!(!format!("{config:?}").contains("$2b$"), "{config:?}");
}

fn parse(text: &str) -> WebConfig {
    parse_web(text.as_bytes(), "web.yml", Path::new("tests/web")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn what_is_left_out_is_what_the_format_says() {
    let config = parse("{}");
    assert_eq!(config, WebConfig::default());
    let tls = parse("tls_server_config: {cert_file: some.pem, key_file: some.pem}").tls.unwrap();
    assert_eq!((tls.client_auth, tls.versions, tls.own_order), (ClientAuth::Nobody, TlsVersions::Both, true));
    assert!(!parse("http_server_config: {http2: false}").http2);
    assert_eq!(parse("rate_limit: {interval: 0s}").rate, None);
    assert_eq!(parse("http_server_config: {headers: {X-Frame-Options: ''}}").headers, [], "unset if blank");
}

#[test]
fn what_only_the_content_of_the_files_can_show_is_a_mistake_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("one", |_| {}).write(folder.path(), "one.crt", "one.key");
    authority.issue("two", |_| {}).write(folder.path(), "two.crt", "two.key");
    let said = |cert: &str, key: &str| {
        let file = folder.path().join("web.yml");
        fs::write(&file, format!("tls_server_config:\n  cert_file: {cert}\n  key_file: {key}\n")).unwrap();
        Door::load(&file).map(|door| door.is_tls()).map_err(|mistakes| mistakes.to_string())
    };
    assert_eq!(said("one.crt", "one.key"), Ok(true));
    let pair = said("one.crt", "two.key").unwrap_err();
    assert!(pair.contains(":2:14: certificate and key do not fit together"), "{pair}");
    let key = said("one.crt", "one.crt").unwrap_err();
    assert!(key.contains("the key is not valid PEM"), "{key}");
    let cert = said("one.key", "one.key").unwrap_err();
    assert!(cert.contains("the certificate holds no certificate"), "{cert}");
}

#[test]
fn pem_in_the_file_itself_does_as_well_and_is_never_printed() {
    let identity = Authority::new().issue("here", |_| {});
    let text = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let (cert, key) = (identity.certificate.pem(), identity.key.serialize_pem());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    fs::write(&file, format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", text(&cert), text(&key))).unwrap();
    let door = Door::load(&file).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(door.is_tls());
    assert!(!format!("{:?}", door.config().load()).contains("PRIVATE"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_web(&bytes, "x", Path::new(""));
    }

    #[test]
    fn no_damage_makes_it_panic(from in 0_usize..1400, length in 0_usize..40, with in "\\PC{0,6}") {
        let text: Vec<char> = fs::read_to_string("deploy/examples/web-config.yml").unwrap().chars().collect();
        let from = from.min(text.len());
        let to = (from + length).min(text.len());
        let damaged: String = text[..from].iter().copied().chain(with.chars()).chain(text[to..].iter().copied()).collect();
        let _ = parse_web(damaged.as_bytes(), "x", Path::new(""));
    }
}
