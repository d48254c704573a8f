//! One request to one address: what every source that asks workers over HTTP shares.

mod ask;
mod connect;
mod fault;
mod keyring;

pub(super) use ask::{Answer, Ask, Encoding};
pub(super) use fault::Fault;
pub(super) use keyring::Keyring;
