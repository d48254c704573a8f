//! Path patterns: which files are heartbeats, and whose.
//!
//! `{id}` stands once, in a name, for the worker's id; `*` for anything in another name. Names that begin with a dot are
//! passed over where a wildcard begins the pattern's name, as in a shell: editors, atomic writers and Kubernetes put what
//! is not meant for readers there.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::observe::legible::legible;

/// Names longer than this are not the id of a worker.
const MAX_ID: usize = 255;

/// `/run/workers/{id}.beat`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Up to the first name with a wildcard.
    pub(super) folder: PathBuf,
    /// The names from there on.
    pub(super) names: Vec<Name>,
}

/// One name of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// It means itself.
    Plain(OsString),
    /// One wildcard between fixed parts.
    Wild { what: Wildcard, before: Vec<u8>, after: Vec<u8> },
}

/// What stands between the fixed parts of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcard {
    Id,
    Any,
}

impl Pattern {
    pub(super) fn new(pattern: &Path) -> Self {
        let mut folder = PathBuf::new();
        let mut names = Vec::new();
        for component in pattern.components() {
            match (component, name(component.as_os_str())) {
                (Component::Normal(_), name @ Name::Wild { .. }) => names.push(name),
                (_, Name::Plain(plain)) if !names.is_empty() => names.push(Name::Plain(plain)),
                _ => folder.push(component),
            }
        }
        if folder.as_os_str().is_empty() {
            folder.push(".");
        }
        Self { folder, names }
    }
}

fn name(text: &OsStr) -> Name {
    let bytes = text.as_bytes();
    for (sign, what) in [(b"{id}".as_slice(), Wildcard::Id), (b"*", Wildcard::Any)] {
        if let Some(at) = bytes.windows(sign.len()).position(|window| window == sign) {
            let (before, rest) = bytes.split_at(at);
            return Name::Wild { what, before: before.to_vec(), after: rest.get(sign.len()..).unwrap_or(&[]).to_vec() };
        }
    }
    Name::Plain(text.to_owned())
}

/// What a wildcard stands for in the name of an entry; `None` when the entry is not meant.
pub(super) fn between<'n>(entry: &'n [u8], before: &[u8], after: &[u8]) -> Option<&'n [u8]> {
    if before.is_empty() && entry.starts_with(b".") {
        return None;
    }
    let middle = entry.strip_prefix(before)?.strip_suffix(after)?;
    (!middle.is_empty() && middle.len() <= MAX_ID).then_some(middle)
}

/// The id that stood there.
pub(super) fn id(bytes: &[u8]) -> Arc<str> {
    legible(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_fixed_folder_and_the_names_from_the_first_wildcard_on() {
        let pattern = Pattern::new(Path::new("/var/lib/pods/*/beats/w-{id}.beat"));
        assert_eq!(pattern.folder, Path::new("/var/lib/pods"));
        let wild = |what, before: &str, after: &str| Name::Wild { what, before: before.into(), after: after.into() };
        assert_eq!(
            pattern.names,
            [wild(Wildcard::Any, "", ""), Name::Plain("beats".into()), wild(Wildcard::Id, "w-", ".beat")]
        );
        assert_eq!(Pattern::new(Path::new("{id}")).folder, Path::new("."));
        assert_eq!(Pattern::new(Path::new("../run/{id}")).folder, Path::new("../run"));
    }

    #[test]
    fn the_id_is_what_stands_between_the_fixed_parts_and_never_hidden_or_empty() {
        for (entry, found) in [
            ("w-7.beat", Some("7")),
            ("w-mail.eu.beat", Some("mail.eu")),
            ("w-.beat", None),
            ("w-7.beat.tmp", None),
            (".w-7.beat", None),
            ("7.beat", None),
        ] {
            assert_eq!(between(entry.as_bytes(), b"w-", b".beat"), found.map(str::as_bytes), "{entry}");
        }
        assert_eq!(between(b"..data", b"", b""), None);
        assert_eq!(between(b".hidden", b".", b""), Some(b"hidden".as_slice()));
        assert_eq!(between("x".repeat(MAX_ID + 1).as_bytes(), b"", b""), None);
    }
}
