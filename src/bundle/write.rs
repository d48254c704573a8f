//! Writes everything into a folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::links::Links;
use super::runbook::without_far_links;
use super::table::{ALERTS, DASHBOARDS, RUNBOOKS, Text};

/// What happens with a folder that holds something already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It is refused.
    Never,
    /// Files of ours are replaced, all others are left alone.
    Ours,
}

/// Why nothing, or not everything, was written.
#[derive(Debug)]
pub enum Failed {
    /// The folder holds something.
    NotEmpty,
    /// The system did not let us.
    System(PathBuf, io::Error),
}

/// Writes all files with these addresses in them; returns how many there are in each folder.
pub fn write(into: &Path, links: &Links, overwrite: Overwrite) -> Result<Vec<(&'static str, usize)>, Failed> {
    let system = |path: &Path| {
        let path = path.to_owned();
        move |error| Failed::System(path, error)
    };
    if overwrite == Overwrite::Never {
        match fs::read_dir(into) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Failed::NotEmpty);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failed::System(into.to_owned(), error)),
        }
    }
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for file in ALERTS.iter().chain(DASHBOARDS).chain(RUNBOOKS) {
        let path = into.join(file.folder).join(file.path);
        let folder = path.parent().unwrap_or(into);
        fs::create_dir_all(folder).map_err(system(folder))?;
        fs::write(&path, text(file, links)).map_err(system(&path))?;
        match counts.iter_mut().find(|(folder, _)| *folder == file.folder) {
            Some((_, count)) => *count += 1,
            None => counts.push((file.folder, 1)),
        }
    }
    Ok(counts)
}

fn text(file: &Text, links: &Links) -> String {
    match Path::new(file.path).extension().and_then(|extension| extension.to_str()) {
        Some("md") => links.put_into(&without_far_links(file.text)),
        Some("json") => links.put_into_dashboard(file.text),
        _ => links.put_into(file.text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

    use std::collections::BTreeSet;

    use super::*;

    fn links() -> Links {
        let (ours, grafana) =
            ("https://mon.example.org/w".parse().unwrap(), "https://graphs.example.org".parse().unwrap());
        Links::new(Some(&ours), Some(&grafana)).unwrap()
    }

    /// Every file below, as a path relative to the folder.
    fn below(folder: &Path, inside: &Path) -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(folder.join(inside)) else { return BTreeSet::new() };
        let paths = entries.map(|entry| inside.join(entry.unwrap().file_name()));
        let files = paths.flat_map(|path| {
            if folder.join(&path).is_dir() {
                below(folder, &path)
            } else {
                BTreeSet::from([path.display().to_string()])
            }
        });
        files.collect()
    }

    #[test]
    fn the_table_has_every_file_of_the_repository_and_no_other() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (folder, extension, table) in
            [("alerts", "yaml", ALERTS), ("dashboards", "json", DASHBOARDS), ("runbooks", "md", RUNBOOKS)]
        {
            let there: BTreeSet<String> =
                below(&root.join(folder), Path::new("")).into_iter().filter(|path| path.ends_with(extension)).collect();
            let listed: BTreeSet<String> = table.iter().map(|file| file.path.to_owned()).collect();
            assert_eq!(listed, there, "src/bundle/table.rs lists the files of {folder}/");
        }
    }

    #[test]
    fn a_bundle_has_every_file_with_its_links_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("new");
        let counts = write(&into, &links(), Overwrite::Never).unwrap();
        let files = below(&into, Path::new(""));
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), files.len());
        for file in &files {
            let text = fs::read_to_string(into.join(file)).unwrap();
            assert!(!text.contains(".example/") && !text.contains("](../"), "{file}");
            if file.starts_with("dashboards/") {
                let place = r#""query": "https://mon.example.org/w","#;
                assert_eq!((text.matches(place).count(), text.matches("localhost").count()), (1, 0), "{file}");
            }
        }
        let rules = fs::read_to_string(into.join("alerts/workers.yaml")).unwrap();
        assert!(rules.contains("runbook_url: https://mon.example.org/w/runbooks/WorkerDown?"));
        assert!(rules.contains("dashboard_url: https://graphs.example.org/d/"));
    }

    #[test]
    fn a_folder_that_holds_something_is_refused_unless_it_is_meant_and_the_rest_of_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "x").unwrap();
        assert!(matches!(write(folder.path(), &links(), Overwrite::Never), Err(Failed::NotEmpty)));
        assert_eq!(below(folder.path(), Path::new("")).len(), 1);
        write(folder.path(), &links(), Overwrite::Ours).unwrap();
        write(folder.path(), &links(), Overwrite::Ours).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("mine")).unwrap(), "x");
    }

    #[test]
    fn what_cannot_be_written_is_said_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        fs::write(&file, "x").unwrap();
        assert!(
            matches!(write(&file, &links(), Overwrite::Ours), Err(Failed::System(path, _)) if path.starts_with(&file))
        );
    }
}
