//! What is wrong with a configuration: where, what, and what to write instead. Never the value of a secret.

use std::fmt;

/// Where a mistake is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A place in the file, both counted from 1; columns count characters.
    At {
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// A variable of the environment, by its name.
    Variable(String),
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What is wrong, and why where that is not plain.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

impl Mistake {
    /// Line, where it stands in a file.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self.place {
            Place::At { line, .. } => Some(line),
            Place::File | Place::Variable(_) => None,
        }
    }

    /// Column, where it stands in a file.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        match self.place {
            Place::At { column, .. } => Some(column),
            Place::File | Place::Variable(_) => None,
        }
    }
}

/// Every mistake of one configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    origin: String,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// Sorts by place. One and the same mistake, met twice by way of a YAML alias, counts once.
    pub(crate) fn new(origin: impl Into<String>, mut list: Vec<Mistake>) -> Self {
        list.sort();
        list.dedup();
        Self { origin: origin.into(), list }
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Mistake { place, reason, hint }) in self.list.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            match place {
                Place::File => write!(f, "{}: ", self.origin)?,
                Place::At { line, column } => write!(f, "{}:{line}:{column}: ", self.origin)?,
                Place::Variable(name) => write!(f, "{name}: ")?,
            }
            write!(f, "{reason}\n    hint: {hint}")?;
        }
        Ok(())
    }
}
