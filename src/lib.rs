//! worker-exporter: is each background worker still taking work, and if not, why?
//!
//! The rooms, left to right; a room uses rooms to its left, never to its right; only [`app`] knows them all:
//! config → discovery → observe → (crate `verdict`) → fleet → web; beside them sidecar. See ARCHITECTURE.md.

pub mod app;
pub mod bundle;
pub mod cli;
pub mod config;
pub mod demo;
pub mod discovery;
pub mod door;
pub mod fleet;
pub mod logging;
pub mod observe;
pub mod sidecar;
pub mod watch;
pub mod web;
