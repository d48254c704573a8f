//! Stamps as text, and as any value of JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::read::stamp::{self, Stamp};
use worker_exporter_fuzz::epoch_in_range;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let read = stamp::text(text);
        assert_eq!(read, stamp::text(text));
        assert_eq!(read, stamp::text(&format!("  {text}\n")), "blanks around a stamp mean nothing");
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let (Stamp::At(at), true) = (read, digits) {
            epoch_in_range(at);
        }
    }
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) {
        let read = stamp::json(Some(&value));
        assert_eq!(read, stamp::json(Some(&value)));
        if let (Stamp::At(at), true) = (read, value.is_number()) {
            epoch_in_range(at);
        }
    }
    if let Some(bits) = data.first_chunk::<8>() {
        if let Stamp::At(at) = stamp::epoch(f64::from_le_bytes(*bits)) {
            epoch_in_range(at);
        }
    }
});
