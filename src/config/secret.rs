//! A secret that cannot be printed or serialised.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

/// Where a secret comes from. Never in clear in a file.
#[derive(Clone)]
pub enum Secret {
    /// Read anew each time, so that a rotated file needs no restart.
    File(PathBuf),
    /// Taken from the environment when the configuration was loaded.
    Held(SecretString),
}

impl Secret {
    /// A secret held in memory.
    pub fn held(value: impl Into<String>) -> Self {
        Self::Held(SecretString::from(value.into()))
    }

    /// The secret, for the wire only. Trailing line ends of a file do not belong to it.
    ///
    /// # Errors
    /// When the file cannot be read; the error names the file, never its content.
    pub fn reveal(&self) -> std::io::Result<SecretString> {
        match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path)?;
                Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            Self::Held(value) => Ok(value.clone()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "<secret in {}>", path.display()),
            Self::Held(_) => f.write_str("<secret>"),
        }
    }
}

/// Whether a reload changed it.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(a), Self::File(b)) => a == b,
            (Self::Held(a), Self::Held(b)) => a.expose_secret() == b.expose_secret(),
            _ => false,
        }
    }
}
