//! Source: redis.
