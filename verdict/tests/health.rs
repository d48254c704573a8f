//! Every shape of health answer that is understood: healthy, bad and malformed. The bodies are ours, written after the
//! documentation of each shape; the files say what each is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::Path;

use verdict::evidence::Said::{self, Degraded, Down, Transient, Up};
use verdict::read::health::{Fields, HealthAnswer, Standing, read};
use verdict::words::Failure::{self, BodyInvalid, FieldInvalid};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html";

/// Shape, code of healthy and bad, content type, what the bad one says, its failing parts, and what is wrong with the
/// malformed one (which always comes with 200) and how good it may look.
type Row = (&'static str, [u16; 2], &'static str, Said, &'static [&'static str], Option<Failure>, Said);

#[rustfmt::skip]
const SHAPES: &[Row] = &[
    ("rfc", [200, 503], "application/health+json", Down, &["cassandra:responseTime", "disk:free"], Some(FieldInvalid), Transient),
    ("spring", [200, 503], "application/vnd.spring-boot.actuator.v3+json", Down, &["broker", "broker/eu", "db"], Some(BodyInvalid), Degraded),
    ("spring_old", [200, 503], JSON, Down, &["db"], Some(BodyInvalid), Degraded),
    ("microprofile", [200, 503], JSON, Down, &["queue"], Some(FieldInvalid), Up),
    ("microprofile_v1", [200, 503], JSON, Down, &["first"], Some(BodyInvalid), Degraded),
    ("microprofile_empty", [200, 503], JSON, Down, &[], Some(FieldInvalid), Transient),
    ("aspnet_text", [200, 503], TEXT, Down, &[], Some(BodyInvalid), Degraded),
    ("aspnet_json", [200, 503], JSON, Down, &["queue", "storage"], Some(FieldInvalid), Up),
    ("aspnet_results", [200, 200], JSON, Degraded, &["startup"], Some(BodyInvalid), Degraded),
    ("terminus", [200, 503], JSON, Down, &["redis"], Some(FieldInvalid), Transient),
    ("terminus_draining", [200, 200], JSON, Transient, &[], Some(FieldInvalid), Transient),
    ("fastapi", [200, 500], JSON, Down, &[], Some(BodyInvalid), Degraded),
    ("is_alive", [200, 500], JSON, Down, &[], Some(FieldInvalid), Transient),
    ("ready_parts", [200, 200], JSON, Degraded, &["workers"], Some(FieldInvalid), Up),
    ("no_workers", [200, 503], JSON, Down, &["workers"], None, Up),
    ("hatchet", [200, 200], JSON, Down, &[], Some(FieldInvalid), Transient),
    ("hatchet_starting", [200, 200], JSON, Transient, &[], Some(BodyInvalid), Degraded),
    ("hellofresh", [200, 200], JSON, Degraded, &["mongodb"], Some(BodyInvalid), Degraded),
    ("heptio", [200, 503], JSON, Down, &["upstream"], Some(BodyInvalid), Degraded),
    ("alexliesenfeld", [200, 503], JSON, Down, &["db", "cache"], Some(BodyInvalid), Degraded),
    ("django", [200, 500], JSON, Down, &["DatabaseBackend"], Some(BodyInvalid), Degraded),
    ("vertx", [200, 503], JSON, Down, &["loop"], Some(FieldInvalid), Up),
    ("dropwizard", [200, 500], JSON, Down, &["deadlocks"], Some(BodyInvalid), Degraded),
    ("healthy_flag", [200, 500], JSON, Down, &[], Some(FieldInvalid), Transient),
    ("docker", [200, 200], JSON, Down, &[], None, Transient),
    ("consul", [200, 200], JSON, Down, &["service:mail-1"], Some(FieldInvalid), Transient),
    ("consul_warning", [200, 429], JSON, Degraded, &["service:mail-1"], Some(FieldInvalid), Transient),
    ("k8s", [200, 500], TEXT, Down, &["etcd"], Some(BodyInvalid), Degraded),
    ("plain_ok", [200, 500], TEXT, Down, &[], Some(BodyInvalid), Degraded),
    ("pong", [200, 200], TEXT, Down, &[], Some(BodyInvalid), Degraded),
    ("true", [200, 200], TEXT, Down, &[], Some(BodyInvalid), Degraded),
    ("alive", [200, 503], TEXT, Down, &[], Some(BodyInvalid), Degraded),
    ("quoted", [200, 503], TEXT, Down, &[], Some(BodyInvalid), Degraded),
    ("page", [200, 500], HTML, Down, &[], Some(BodyInvalid), Degraded),
    ("celery", [200, 200], JSON, Down, &["celery@h1"], Some(BodyInvalid), Degraded),
    ("loop", [200, 200], JSON, Down, &[], Some(FieldInvalid), Up),
    ("ready", [200, 503], JSON, Down, &[], Some(BodyInvalid), Degraded),
    ("temporal_worker", [200, 200], JSON, Degraded, &["worker"], Some(BodyInvalid), Degraded),
    ("empty", [200, 200], TEXT, Down, &[], Some(BodyInvalid), Degraded),
];

fn body(shape: &str, which: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/health");
    ["json", "txt", "html"]
        .iter()
        .find_map(|extension| std::fs::read(folder.join(format!("{shape}.{which}.{extension}"))).ok())
        .unwrap_or_else(|| panic!("no fixture {shape}.{which}"))
}

fn ask(code: u16, content_type: &str, body: &[u8]) -> HealthAnswer {
    read(code, Some(content_type), body, &Fields::default())
}

#[test]
fn every_fixture_has_its_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/health");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 3 * SHAPES.len());
}

#[test]
fn every_healthy_answer_is_up_and_nothing_else() {
    for (shape, [code, _], content_type, ..) in SHAPES {
        let answer = ask(*code, content_type, &body(shape, "healthy"));
        assert_eq!(answer.standing, Standing::Answered, "{shape}");
        assert_eq!(answer.says.overall, Some(Up), "{shape}: {answer:?}");
        assert_eq!(answer.says.unreadable, None, "{shape}");
        assert_eq!(answer.says.failing, [], "{shape}");
        assert!(!answer.says.contradiction && !answer.says.goodbye && !answer.says.starting, "{shape}");
        // The same body under a code that says no is a contradiction, and the worse wins.
        let liar = ask(503, content_type, &body(shape, "healthy"));
        assert_eq!(liar.says.overall, Some(Down), "{shape}");
        assert_eq!(liar.says.contradiction, *shape != "empty", "{shape}");
    }
}

#[test]
fn every_bad_answer_says_how_bad_and_which_part() {
    for (shape, [_, code], content_type, said, failing, ..) in SHAPES {
        let answer = ask(*code, content_type, &body(shape, "bad"));
        assert_eq!(answer.standing, Standing::Answered, "{shape}");
        assert_eq!(answer.says.overall, Some(*said), "{shape}: {answer:?}");
        let names: Vec<&str> = answer.says.failing.iter().map(|(name, _)| &**name).collect();
        let mut expected = failing.to_vec();
        let mut sorted = names.clone();
        expected.sort_unstable();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{shape}");
        assert!(answer.says.failing.is_sorted_by(|a, b| a.1 >= b.1), "{shape}: worst first");
        assert_eq!(answer.says.contradiction, *code == 200 && *said == Down, "{shape}");
        // Whatever the code, a bad body is never up.
        assert!(ask(200, content_type, &body(shape, "bad")).says.overall > Some(Up), "{shape}");
    }
}

#[test]
fn every_malformed_answer_is_counted_and_not_believed() {
    for (shape, _, content_type, _, _, unreadable, said) in SHAPES {
        let content_type = if body(shape, "malformed").starts_with(b"# HELP") { TEXT } else { content_type };
        let answer = ask(200, content_type, &body(shape, "malformed"));
        assert_eq!(answer.says.unreadable, *unreadable, "{shape}: {answer:?}");
        assert_eq!(answer.says.overall, Some(*said), "{shape}: {answer:?}");
        assert_eq!(ask(500, content_type, &body(shape, "malformed")).says.overall, Some(Down), "{shape}");
    }
}

#[test]
fn a_body_without_its_content_type_is_read_by_its_looks() {
    for (shape, [code, _], ..) in SHAPES.iter().filter(|row| row.2 != HTML) {
        let answer = read(*code, None, &body(shape, "healthy"), &Fields::default());
        assert_eq!(answer.says.overall, Some(Up), "{shape}");
    }
}
