//! One request to one address: what every source that asks workers at one shares.

mod ask;
mod connect;
mod fault;
mod keyring;
mod visit;

pub(super) use ask::{Ask, USER_AGENT, credentials};
pub(super) use connect::open;
pub(super) use fault::Fault;
pub(super) use keyring::Keyring;
pub(super) use visit::Visits;
