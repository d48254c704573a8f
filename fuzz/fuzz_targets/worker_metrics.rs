//! A worker's own metrics: the first byte chooses the format, the rest is what it wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verdict::read::exposition::{Format, Limits};
use verdict::read::worker_metrics::{Names, Series, read};
use worker_exporter_fuzz::{info_is_sane, numbers_are_sane};

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let format = if choice & 1 == 0 { Format::OpenMetrics } else { Format::Text };
    let names = if choice & 2 == 0 {
        Names::default()
    } else {
        let series = |text| Series::parse(text).into_iter().collect();
        Names {
            progress: series("jobs_total"),
            waiting: series("a{b=\"c\"}"),
            task_duration: series("t"),
            ..Names::default()
        }
    };
    let Ok(answer) = read(bytes, format, &Limits::default(), &names) else { return };
    numbers_are_sane(&answer.numbers);
    info_is_sane(&answer.info);
    let again = read(bytes, format, &Limits::default(), &names);
    assert_eq!(format!("{:?}", Ok::<_, ()>(answer)), format!("{:?}", again.map_err(|_| ())));
});
