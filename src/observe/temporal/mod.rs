//! Source: temporal.
