//! The fields of a hash in Redis, each `name=value` on a line of its own.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use verdict::read::hash::Hash;
use verdict::read::stamp;
use worker_exporter_fuzz::pairs;

/// Longer is no name and no number.
const LONGEST: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let hash = Hash::of(pairs(data));
    // What a person would say is in it: the text among the fields, the last of each name.
    let mut fields = HashMap::new();
    for (name, value) in pairs(data).filter(|(name, value)| name.len() <= LONGEST && value.len() <= LONGEST) {
        if let (Ok(name), Ok(value)) = (String::from_utf8(name), String::from_utf8(value)) {
            fields.insert(name, value);
        }
    }
    assert_eq!(hash.is_empty(), fields.is_empty());
    for (name, value) in &fields {
        let text = hash.text(name);
        assert_eq!(text.unwrap_or_default(), value.trim());
        assert_eq!(text, hash.name(name).as_deref());
        assert!(text.is_none_or(|text| !text.is_empty()));
        if let Some(count) = hash.count(name) {
            assert_eq!(
                value.trim().trim_start_matches('+').trim_start_matches('0'),
                count.to_string().trim_start_matches('0')
            );
        }
        assert!(hash.seconds(name).is_none_or(|seconds| seconds.is_finite() && (0.0..=3e9).contains(&seconds)));
        assert_eq!(hash.stamp(name), text.and_then(|text| stamp::text(text).time()));
    }
    let other = "a name that is nowhere";
    if !fields.contains_key(other) {
        assert_eq!((hash.text(other), hash.count(other), hash.stamp(other)), (None, None, None));
    }
});
