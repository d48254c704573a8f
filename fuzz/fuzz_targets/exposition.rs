//! Expositions in both formats: the first byte chooses the format, the rest is what a worker wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::read::exposition::{Format, Limits, read};

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let format = if choice & 1 == 0 { Format::OpenMetrics } else { Format::Text };
    // Small enough that the fuzzer meets them.
    let limits = Limits { lines: 60, line_bytes: 400, samples: 40, labels: 5, label_bytes: 80 };
    let mut samples = 0;
    let mut families = Vec::new();
    let outcome = read(bytes, format, &limits, &mut |family| {
        samples += family.samples.len();
        for sample in &family.samples {
            assert!(sample.name.starts_with(family.name), "{} in {}", sample.name, family.name);
            assert!(sample.labels.len() <= limits.labels, "{} labels", sample.labels.len());
            for (at, label) in sample.labels.iter().enumerate() {
                assert!(!label.name.is_empty());
                assert!(sample.labels[..at].iter().all(|other| other.name != label.name), "twice {}", label.name);
            }
        }
        families.push(family.name);
    });
    match outcome {
        Ok(()) => {
            assert!(samples <= limits.samples, "{samples} samples");
            let all = families.len();
            families.sort_unstable();
            families.dedup();
            assert_eq!(all, families.len(), "a family that came twice");
        }
        Err(mistakes) => {
            assert!((1..=100).contains(&mistakes.len()), "{} mistakes", mistakes.len());
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!(mistakes.iter().all(|mistake| (1..=lines + 1).contains(&mistake.line)), "{mistakes:?}");
        }
    }
});
