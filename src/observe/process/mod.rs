//! Processes of this machine: whether they are there, in which state, and what they use of what they may use.

mod machine;

pub use machine::Machine;
