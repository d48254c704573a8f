//! From what was written to what the program needs: every mistake of a file at once, with place, reason and hint.

mod secret;
mod settings;

pub use secret::Secret;
pub use settings::*;
