//! Holds the house: a room uses rooms to its left, never to its right; the core has no clock and no runtime.
//!
//! It reads the sources, not the compiler's output, since Rust lets any module of a crate use any other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Left to right. A new room takes its place here; `app` knows all rooms, the commands know `app`, and `bin` the commands.
const ROOMS: &[&str] = &[
    "config",
    "watch",
    "discovery",
    "observe",
    "sidecar",
    "fleet",
    "bundle",
    "web",
    "demo",
    "door",
    "app",
    "logging",
    "cli",
    "bin",
];

fn place(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSeparator,
    Mark(char),
}

/// Words and marks of Rust source, without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = at(i);
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                if at(i) == '/' && at(i + 1) == '*' {
                    depth += 1;
                    i += 2;
                } else if at(i) == '*' && at(i + 1) == '/' {
                    depth -= 1;
                    i += 2;
                } else {
                    i += 1;
                }
                if depth == 0 || i >= chars.len() {
                    break;
                }
            }
        } else if let Some(hashes) = raw_string(&chars, i) {
            i += chars.iter().skip(i).position(|c| *c == '"').unwrap() + 1;
            while i < chars.len() && !(at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#')) {
                i += 1;
            }
            i += 1 + hashes;
        } else if c == '"' {
            i += 1;
            while i < chars.len() && at(i) != '"' {
                i += if at(i) == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            // A character ends with another quote; a lifetime does not.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            } else {
                i += if at(i + 2) == '\'' { 3 } else { 1 };
            }
        } else if c.is_alphanumeric() || c == '_' {
            let begin = i;
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            tokens.push(Token::Word(chars[begin..i].iter().collect()));
        } else if c == ':' && at(i + 1) == ':' {
            tokens.push(Token::PathSeparator);
            i += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Mark(c));
            }
            i += 1;
        }
    }
    tokens
}

/// The number of hashes of the raw string that begins here, if one does.
fn raw_string(chars: &[char], i: usize) -> Option<usize> {
    let before = i.checked_sub(1).and_then(|i| chars.get(i));
    if before.is_some_and(|c| c.is_alphanumeric() || *c == '_') {
        return None;
    }
    let rest: String = chars.iter().skip(i).take(20).collect();
    let rest = rest.strip_prefix('b').unwrap_or(&rest).strip_prefix('r')?;
    let hashes = rest.chars().take_while(|c| *c == '#').count();
    rest.chars().nth(hashes).filter(|c| *c == '"').map(|_| hashes)
}

/// All paths of a `use` tree that begins at `i`, as written. Returns where the tree ends.
fn use_tree(tokens: &[Token], mut i: usize, stem: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = stem.to_vec();
    loop {
        match tokens.get(i) {
            Some(Token::Word(word)) if word == "as" => i += 2,
            Some(Token::Word(word)) => {
                path.push(word.clone());
                i += 1;
            }
            Some(Token::PathSeparator) => i += 1,
            Some(Token::Mark('*')) => i += 1,
            Some(Token::Mark('{')) => {
                i += 1;
                while tokens.get(i) != Some(&Token::Mark('}')) && i < tokens.len() {
                    i = use_tree(tokens, i, &path, paths);
                    if tokens.get(i) == Some(&Token::Mark(',')) {
                        i += 1;
                    }
                }
                return i + 1;
            }
            _ => {
                paths.push(path);
                return i;
            }
        }
    }
}

/// Every module of this crate that the source of the module `module` names, from the root of the crate.
fn named(module: &[String], source: &str) -> Vec<Vec<String>> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    // Modules written inside the file, each with the depth of braces at which it ends.
    let mut inner: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut i = 0;
    while i < tokens.len() {
        let word = |i: usize| match tokens.get(i) {
            Some(Token::Word(word)) => Some(word.as_str()),
            _ => None,
        };
        let mut paths = Vec::new();
        match &tokens[i] {
            Token::Word(keyword) if keyword == "use" => i = use_tree(&tokens, i + 1, &[], &mut paths),
            Token::Word(keyword) if keyword == "mod" && tokens.get(i + 2) == Some(&Token::Mark('{')) => {
                inner.push((word(i + 1).unwrap_or_default().to_owned(), depth));
                i += 2;
                continue;
            }
            Token::Word(first)
                if ["crate", "super", "self"].contains(&first.as_str())
                    && tokens.get(i + 1) == Some(&Token::PathSeparator) =>
            {
                let mut path = vec![first.clone()];
                while tokens.get(i + 1) == Some(&Token::PathSeparator) {
                    let Some(next) = word(i + 2) else { break };
                    path.push(next.to_owned());
                    i += 2;
                }
                paths.push(path);
                i += 1;
            }
            Token::Mark('{') => {
                depth += 1;
                i += 1;
            }
            Token::Mark('}') => {
                depth -= 1;
                i += 1;
                if inner.last().is_some_and(|(_, end)| *end == depth) {
                    inner.pop();
                }
            }
            _ => i += 1,
        }
        let here: Vec<String> = module.iter().cloned().chain(inner.iter().map(|(name, _)| name.clone())).collect();
        found.extend(paths.iter().filter_map(|path| absolute(&here, path)));
    }
    found
}

/// `None` for a path that begins with another crate, or with a name of the module itself.
fn absolute(here: &[String], path: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([here, rest].concat()),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let base = here.get(..here.len().checked_sub(up)?)?;
            Some([base, path.get(up..)?].concat())
        }
        _ => None,
    }
}

/// What `source`, the text of the module `module`, must not use, as sentences.
fn breaches(module: &[String], source: &str) -> Vec<String> {
    let Some(room) = module.first() else { return Vec::new() };
    let Some(own) = place(room) else { return vec![format!("{room} has no place in ROOMS")] };
    named(module, source)
        .into_iter()
        .filter_map(|path| {
            let other = path.first()?;
            let right = place(other)? > own;
            right.then(|| format!("{} uses {}, which is to its right", module.join("::"), path.join("::")))
        })
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `src/web/mod.rs` is `web`, `src/web/site.rs` is `web::site`, `src/lib.rs` is the root.
fn module_of(file: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_room_uses_rooms_to_its_left_and_never_to_its_right() {
    let src = root().join("src");
    let files = rust_files(&src);
    assert!(files.len() > 20, "the sources were not found");
    let breaches: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let module = module_of(file.strip_prefix(&src).unwrap());
            breaches(&module, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_core_has_no_runtime_no_clock_and_no_io() {
    let files = rust_files(&root().join("verdict/src"));
    assert!(files.len() > 5, "the sources of the core were not found");
    for file in files {
        let tokens = tokens(&fs::read_to_string(&file).unwrap());
        for forbidden in ["tokio", "Instant", "SystemTime", "fs", "net"] {
            let used = tokens.windows(2).any(|pair| {
                pair[0] == Token::Word(forbidden.into()) && pair[1] == Token::PathSeparator
                    || pair[0] == Token::PathSeparator && pair[1] == Token::Word(forbidden.into())
            });
            assert!(!used, "{} uses {forbidden}", file.display());
        }
    }
    let manifest = fs::read_to_string(root().join("verdict/Cargo.toml")).unwrap();
    assert!(!manifest.contains("tokio"), "the manifest of the core names tokio");
}

mod the_reader_itself {
    use super::*;

    fn module(path: &str) -> Vec<String> {
        path.split("::").map(str::to_owned).collect()
    }

    fn caught(path: &str, source: &str) -> usize {
        breaches(&module(path), source).len()
    }

    #[test]
    fn catches_a_plain_import_to_the_right() {
        assert_eq!(caught("config::tree", "use crate::web::Site;"), 1);
        assert_eq!(caught("web::page", "use crate::config::Settings;"), 0);
        assert_eq!(caught("web::page", "use crate::web::Site;"), 0);
    }

    #[test]
    fn catches_a_path_in_the_middle_of_code() {
        assert_eq!(caught("observe", "fn f() { let _ = crate::fleet::Clock::start(); }"), 1);
    }

    #[test]
    fn catches_it_inside_a_nested_tree() {
        let source = "use crate::{config::{self, Settings}, fleet::{Clock as C, owner::{Event, Owner}}};";
        assert_eq!(caught("observe::http", source), 3);
        assert_eq!(caught("web", source), 0);
    }

    #[test]
    fn catches_it_behind_super() {
        assert_eq!(caught("observe::http", "use super::super::web::Site;"), 1);
        assert_eq!(caught("observe", "use super::{config::Settings, fleet::Present};"), 1);
        assert_eq!(caught("observe::http", "use super::schedule::Order;"), 0);
    }

    #[test]
    fn a_module_inside_the_file_is_one_step_further_down() {
        assert_eq!(caught("observe", "mod tests { use super::fleet; }"), 0);
        assert_eq!(caught("observe", "mod tests { use super::super::fleet; }"), 1);
        assert_eq!(caught("observe", "mod tests { fn f() {} } use super::fleet;"), 1);
    }

    #[test]
    fn is_not_led_astray_by_comments_strings_and_lifetimes() {
        assert_eq!(caught("config", "// use crate::web::Site;\n/* crate::web /* crate::web */ crate::web */"), 0);
        assert_eq!(
            caught("config", r####"const A: &str = "crate::web \" crate::web"; const B: &str = r#"crate::web"#;"####),
            0
        );
        assert_eq!(
            caught("config", r#"fn f<'a>(c: char) -> &'a str { if c == '"' || c == '\'' {} crate::web::x() }"#),
            1
        );
    }

    #[test]
    fn wants_a_place_for_every_room() {
        assert_eq!(caught("attic::box", ""), 1);
    }

    #[test]
    fn knows_the_module_of_a_file() {
        assert_eq!(module_of(Path::new("web/mod.rs")), ["web"]);
        assert_eq!(module_of(Path::new("web/site.rs")), ["web", "site"]);
        assert!(module_of(Path::new("lib.rs")).is_empty());
    }
}

/// Every file under `folder` that ends in one of `endings`.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("node_modules") {
            continue;
        }
        if path.is_dir() {
            files(&path, endings, found);
        } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
            found.push(path);
        }
    }
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "tests", "verdict"] {
        files(&root.join(folder), &["rs", "py"], &mut sources);
    }
    let code: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for document in ["ARCHITECTURE.md", "tests/README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        // A name that is a sentence: but for metrics, whatever else is written as code has no five words.
        let names = text.split('`').skip(1).step_by(2).filter(|code| {
            code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
                && code.matches('_').count() >= 4
                && !code.starts_with("worker_exporter_")
        });
        let mut count = 0;
        for name in names {
            let stands = code.contains(&format!("fn {name}(")) || code.contains(&format!("def {name}("));
            assert!(stands, "{document} names the test {name}, and there is none");
            count += 1;
        }
        assert!(count > 20, "{document} names {count} tests: are they still written as code?");
    }
}
