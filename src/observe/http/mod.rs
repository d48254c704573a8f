//! Source: http.
