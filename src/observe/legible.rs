//! Names that are bytes outside, and text in labels.

use std::sync::Arc;

/// A name for people and labels. Redis keys and file names are bytes: those that are not UTF-8 keep what is legible and
/// get a hash of the whole, so that two of them never become one worker.
pub(super) fn legible(bytes: &[u8]) -> Arc<str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Arc::from(text),
        Err(_) => {
            // FNV-1a: small, stable between versions of this program, and no secret hangs on it.
            let hash =
                bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
            Arc::from(format!("{}~{hash:016x}", String::from_utf8_lossy(bytes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_utf8_stay_legible_and_apart() {
        let (a, b) = (legible(b"w\xff1"), legible(b"w\xfe1"));
        assert!(a.starts_with("w\u{fffd}1~"), "{a}");
        assert_ne!(a, b);
        assert_eq!(&*legible("grün".as_bytes()), "grün");
    }
}
