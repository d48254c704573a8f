//! Stamps as workers write them: epoch in s, ms, us or ns, ISO 8601 with or without a zone.
