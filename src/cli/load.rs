//! From the file or the environment to the configuration.

use std::path::Path;
use std::sync::Arc;

use super::Failed;
use super::flags::ConfigFlags;
use crate::app::Load;
use crate::config::{self, ProcessEnvironment, Settings};

/// The first configuration, and how to read it anew.
pub(super) fn first(flags: &ConfigFlags) -> Result<(Settings, Option<Load>), Failed> {
    let Some(file) = flags.file.clone() else {
        return Ok((from_environment().map_err(refused)?, None));
    };
    let settings = from_file(&file).map_err(refused)?;
    Ok((settings, Some(Arc::new(move || from_file(&file)))))
}

/// What the TEMPORAL_* environment points at, and nothing else.
pub(super) fn environment() -> Result<Settings, Failed> {
    from_environment().map_err(refused)
}

fn refused(mistakes: Vec<String>) -> Failed {
    let count = mistakes.len();
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    Failed::Usage(format!("the configuration has {count} {noun}\n{}", mistakes.join("\n")))
}

fn from_file(file: &Path) -> Result<Settings, Vec<String>> {
    config::load(file, &ProcessEnvironment).map_err(|mistakes| one_by_one(&mistakes.to_string()))
}

fn from_environment() -> Result<Settings, Vec<String>> {
    Settings::from_environment(&ProcessEnvironment).map_err(|mistakes| one_by_one(&mistakes.to_string()))
}

/// One text for each mistake: a line that is indented belongs to the one before.
fn one_by_one(text: &str) -> Vec<String> {
    let mut mistakes: Vec<String> = Vec::new();
    for line in text.lines() {
        match mistakes.last_mut() {
            Some(last) if line.starts_with(char::is_whitespace) => {
                last.push('\n');
                last.push_str(line);
            }
            _ => mistakes.push(line.to_owned()),
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_stays_with_its_mistake() {
        let text = "a.yml:1:1: wrong\n    hint: right\na.yml:2:1: bad\n    hint: good";
        assert_eq!(one_by_one(text), ["a.yml:1:1: wrong\n    hint: right", "a.yml:2:1: bad\n    hint: good"]);
    }
}
