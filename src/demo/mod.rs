//! Room: demo.
