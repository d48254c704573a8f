//! Profiles of `temporal.toml`: under the environment, and named by a source.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;
use worker_exporter::config::{self, Detail, Mistakes, Secret, Settings, TemporalSource, Variables};

/// No message, no debug output and no page may ever contain it.
const CANARY: &str = "hunter2";

const FILE: &str = r#"# of the command line
[profile.default]
address = "127.0.0.1:7300"
namespace = "from-file"

[profile.cloud]
address = "prod.a1b2c.tmprl.cloud:7233"
namespace = "prod.a1b2c"
api_key = "hunter2"
[profile.cloud.tls]
server_name = "prod.example.com"
[profile.cloud.grpc_meta]
X_Tenant = "a"
removed = "b"
[profile.cloud.codec]
endpoint = "http://127.0.0.1:8081"

[profile.plain]
api_key = "hunter2"
tls = { disabled = true }
"#;

/// A home folder with this file in its usual place.
fn home(text: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/temporalio");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("temporal.toml"), text).unwrap();
    home
}

fn zero(home: &TempDir, variables: &[(&str, &str)]) -> Result<Settings, Mistakes> {
    let home = ("HOME", home.path().to_str().unwrap());
    Settings::from_environment(&variables.iter().copied().chain([home]).collect::<Variables>())
}

fn temporal(settings: &Settings) -> TemporalSource {
    match &settings.sources[..] {
        [config::Source { detail: Detail::Temporal(temporal), .. }] => temporal.clone(),
        _ => panic!("not one Temporal source"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_default_profile_in_the_usual_place_is_used_and_the_environment_counts_over_it() {
    let home = home(FILE);
    let alone = temporal(&zero(&home, &[]).unwrap());
    assert_eq!((alone.address.as_str(), &*alone.namespace), ("127.0.0.1:7300", "from-file"));
    let over = temporal(&zero(&home, &[("TEMPORAL_NAMESPACE", "over"), ("TEMPORAL_ADDRESS", "")]).unwrap());
    assert_eq!((over.address.as_str(), &*over.namespace), ("127.0.0.1:7300", "over"), "empty is not set");
    let elsewhere = home.path().join("xdg");
    let variables = [("XDG_CONFIG_HOME", elsewhere.to_str().unwrap())];
    assert_eq!(
        temporal(&zero(&home, &variables).unwrap()).address,
        "127.0.0.1:7233",
        "there is no file there, which is fine"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_named_profile_brings_key_tls_and_metadata() {
    let home = home(FILE);
    let settings = zero(&home, &[("TEMPORAL_PROFILE", "cloud"), ("TEMPORAL_GRPC_META_REMOVED", "")]).unwrap();
    let cloud = temporal(&settings);
    assert_eq!((cloud.address.as_str(), &*cloud.namespace), ("prod.a1b2c.tmprl.cloud:7233", "prod.a1b2c"));
    assert_eq!(cloud.api_key, Some(Secret::held(CANARY)));
    assert_eq!(cloud.tls.unwrap().server_name.as_deref(), Some("prod.example.com"));
    assert_eq!(cloud.metadata, [("x-tenant".to_owned(), Secret::held("a"))], "an empty variable takes a header away");
    assert!(!format!("{settings:?}").contains(CANARY) && !settings.shown.contains(CANARY), "{}", settings.shown);
    assert!(settings.shown.contains("profile \"cloud\" of"), "{}", settings.shown);

    let plain = temporal(&zero(&home, &[("TEMPORAL_PROFILE", "plain")]).unwrap());
    assert!(plain.tls.is_none() && plain.api_key.is_some());
    let on = temporal(&zero(&home, &[("TEMPORAL_PROFILE", "plain"), ("TEMPORAL_TLS", "true")]).unwrap());
    assert!(on.tls.is_some());
}

#[test]
fn what_the_environment_says_of_a_certificate_replaces_path_and_data_of_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("temporal.toml");
    let pem = folder.path().join("ca.pem");
    fs::write(&pem, "PEM").unwrap();
    fs::write(&file, "[profile.default.tls]\nserver_ca_cert_path = 'no-such.pem'\n").unwrap();
    let variables = |extra: &[(&str, &str)]| {
        let named = ("TEMPORAL_CONFIG_FILE", file.to_str().unwrap());
        Settings::from_environment(&extra.iter().copied().chain([named]).collect::<Variables>())
    };
    for legacy in ["TEMPORAL_TLS_CA", "TEMPORAL_TLS_SERVER_CA_CERT_PATH"] {
        let tls = temporal(&variables(&[(legacy, pem.to_str().unwrap())]).unwrap()).tls.unwrap();
        assert_eq!(tls.ca_file.as_deref(), Some(pem.as_path()));
    }
    assert!(temporal(&variables(&[("TEMPORAL_TLS_CA_DATA", "PEM")]).unwrap()).tls.unwrap().ca_data.is_some());
    // And without it the mistake stands where the path is written.
    let said = variables(&[]).unwrap_err().to_string();
    assert!(said.contains("temporal.toml:2:23: cannot read \"no-such.pem\""), "{said}");
}

#[test]
fn a_file_or_profile_that_is_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("temporal.toml");
    let said = |variables: &[(&str, &str)]| {
        let mistakes = Settings::from_environment(&variables.iter().copied().collect::<Variables>()).unwrap_err();
        mistakes.to_string().replace(folder.path().to_str().unwrap(), "DIR")
    };
    let path = file.to_str().unwrap().to_owned();
    insta::assert_snapshot!(said(&[("TEMPORAL_CONFIG_FILE", &path)]), @r"
    TEMPORAL_CONFIG_FILE: cannot read the profiles of DIR/temporal.toml: there is no such file
        hint: check the path and the permissions, or unset it
    ");
    insta::assert_snapshot!(said(&[("TEMPORAL_PROFILE", "cloud")]), @r"
    TEMPORAL_PROFILE: names a profile, and there is no file of profiles
        hint: name the file with TEMPORAL_CONFIG_FILE, or unset TEMPORAL_PROFILE
    ");
    fs::write(&file, FILE).unwrap();
    insta::assert_snapshot!(said(&[("TEMPORAL_CONFIG_FILE", &path), ("TEMPORAL_PROFILE", "clod")]), @r#"
    TEMPORAL_PROFILE: names a profile that DIR/temporal.toml does not have
        hint: did you mean "cloud"?
    "#);
}

#[test]
fn every_mistake_of_a_profile_comes_at_once_with_its_place_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("temporal.toml");
    let said = |text: &str| {
        fs::write(&file, text).unwrap();
        let variables = [("TEMPORAL_CONFIG_FILE", file.to_str().unwrap())].into_iter().collect::<Variables>();
        let said = Settings::from_environment(&variables).unwrap_err().to_string();
        assert!(!said.contains(CANARY), "{said}");
        said.replace(folder.path().to_str().unwrap(), "DIR")
    };
    insta::assert_snapshot!(said(
        "[profile.default]\nadress = 'a:1'\nnamespace = 5\napi_key = ['hunter2']\n[profile.default.tls]\ndisabled = 'no'\n\
         sever_name = 'x'\n[profile.default.grpc_meta]\n'a b' = 'c'\n"
    ), @r#"
    DIR/temporal.toml:2:1: unknown key "adress"
        hint: did you mean "address"?
    DIR/temporal.toml:3:13: "namespace" must be text, not a number
        hint: write it in quotes
    DIR/temporal.toml:4:11: "api_key" must be text, not a list
        hint: write it in quotes
    DIR/temporal.toml:6:12: "disabled" must be true or false, not text
        hint: write true or false, without quotes
    DIR/temporal.toml:7:1: unknown key "sever_name"
        hint: did you mean "server_name"?
    DIR/temporal.toml:9:1: a name under "grpc_meta" is not a valid header name
        hint: a name has letters, digits and -, such as x-tenant
    "#);
    insta::assert_snapshot!(said("[profile.default]\naddress = 'localhost'\n"), @r#"
    DIR/temporal.toml:2:11: "address" has no port
        hint: write host:port, such as temporal.example.com:7233, without http:// in front
    "#);
    let broken = said("[profile.default]\napi_key = hunter2\n");
    assert!(broken.contains("temporal.toml:2:11: not valid TOML: "), "{broken}");
    // Other tools keep things of their own there.
    fs::write(&file, "[profile.default]\ncolour = 'red'\n[ui]\nx = 1\n").unwrap();
    let variables = [("TEMPORAL_CONFIG_FILE", file.to_str().unwrap())].into_iter().collect::<Variables>();
    assert!(Settings::from_environment(&variables).is_ok());
}

fn parse(folder: &Path, source: &str) -> Result<Settings, Mistakes> {
    let text = format!("sources:\n  - {{name: t, kind: temporal, {source}}}\n");
    config::parse(text.as_bytes(), "config.yml", folder, &Variables::from_iter([("KEY", "own")]))
}

#[test]
fn a_source_names_a_profile_and_what_it_writes_itself_counts_over_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("temporal.toml"), FILE).unwrap();
    let settings = parse(folder.path(), "profile: cloud, profile_file: temporal.toml").unwrap();
    let cloud = temporal(&settings);
    assert_eq!((cloud.address.as_str(), &*cloud.namespace), ("prod.a1b2c.tmprl.cloud:7233", "prod.a1b2c"));
    assert!(cloud.tls.is_some() && cloud.api_key == Some(Secret::held(CANARY)));
    assert_eq!(cloud.metadata.len(), 2);
    assert_eq!(&*settings.rulebook.sources[0].namespace, "prod.a1b2c");
    assert!(!settings.shown.contains(CANARY) && settings.shown.contains("profile: cloud"), "{}", settings.shown);
    let again = config::parse(settings.shown.as_bytes(), "shown.yml", folder.path(), &Variables::default()).unwrap();
    assert_eq!(again.sources, settings.sources, "what is shown loads again");

    let own = "profile: cloud, profile_file: temporal.toml, namespace: other, api_key_env: KEY, \
               metadata: {x-tenant: {env: KEY}}, tls: {}";
    let own = temporal(&parse(folder.path(), own).unwrap());
    assert_eq!((&*own.namespace, own.api_key), ("other", Some(Secret::held("own"))));
    assert_eq!(own.tls.unwrap().server_name, None, "`tls` replaces that of the profile as a whole");
    assert!(own.metadata.contains(&("x-tenant".to_owned(), Secret::held("own"))));

    let default = temporal(&parse(folder.path(), "profile_file: temporal.toml").unwrap());
    assert_eq!(default.address, "127.0.0.1:7300");
    assert!(temporal(&parse(folder.path(), "profile: plain, profile_file: temporal.toml").unwrap()).tls.is_none());
}

#[test]
fn a_source_whose_profile_is_wrong_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let said = |source: &str| {
        parse(folder.path(), source).unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "DIR")
    };
    fs::write(folder.path().join("temporal.toml"), "[profile.default]\nadress = 'a:1'\napi_key = 7\n").unwrap();
    insta::assert_snapshot!(said("profile_file: temporal.toml"), @r#"
    config.yml:2:45: DIR/temporal.toml:2:1: unknown key "adress"
        hint: did you mean "address"?
    config.yml:2:45: DIR/temporal.toml:3:11: "api_key" must be text, not a number
        hint: write it in quotes
    "#);
    insta::assert_snapshot!(said("profile: cloud, profile_file: temporal.toml"), @r#"
    config.yml:2:40: DIR/temporal.toml has no profile "cloud"
        hint: it has default
    "#);
    insta::assert_snapshot!(said("profile: cloud"), @r"
    config.yml:2:40: there is no folder of the user's configuration here
        hint: add `profile_file:`
    ");
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic(from in 0_usize..500, length in 0_usize..40, with in "\\PC{0,6}") {
        let text: Vec<char> = FILE.chars().collect();
        let from = from.min(text.len());
        let to = (from + length).min(text.len());
        let damaged: String = text[..from].iter().copied().chain(with.chars()).chain(text[to..].iter().copied()).collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("temporal.toml");
        fs::write(&file, damaged).unwrap();
        for profile in ["default", "cloud", "plain"] {
            let variables = [("TEMPORAL_CONFIG_FILE", file.to_str().unwrap()), ("TEMPORAL_PROFILE", profile)];
            let _ = Settings::from_environment(&variables.into_iter().collect::<Variables>());
        }
    }
}
