//! HTTP health answers: any common body shape, code and body both count.
