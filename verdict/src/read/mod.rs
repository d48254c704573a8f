//! The pure halves of the readers: from what came over the wire to an observation.

pub mod health;
pub mod heartbeat;
pub mod stamp;
