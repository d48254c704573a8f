//! Heartbeat values in a store: epoch, ISO, JSON.
