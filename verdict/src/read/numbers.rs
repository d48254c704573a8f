//! The numbers that a worker may tell of itself: their names, their units, and how a value is read in base units.
//!
//! One table for every place where such numbers stand: health answers, heartbeat values, and the pointers of the
//! configuration.

use serde_json::Value;

use super::fold;
use crate::evidence::{Model, Numbers};

/// How a number is written, and what makes it a base unit.
#[derive(Clone, Copy)]
enum Written {
    /// A whole number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Mebibytes.
    Mebibytes,
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Ratio,
    /// Percent of one core: more than 100 on several.
    CorePercent,
    /// Percent, or a ratio where it is written with a point and at most 1.0 (`0.87`).
    PercentOrRatio,
    /// Seconds.
    Seconds,
    /// `true`, `false`, "loading", "failed".
    Model,
}

/// One number: our name, the other names that are understood for it, how it is written, and where it goes.
pub(super) struct Number {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    also: &'static [&'static str],
    written: Written,
    put: fn(&mut Numbers, Reading),
}

/// A number in base units.
#[derive(Clone, Copy)]
enum Reading {
    Whole(u64),
    Real(f64),
    Model(Model),
}

impl Reading {
    fn whole(self) -> Option<u64> {
        if let Self::Whole(value) = self { Some(value) } else { None }
    }

    fn real(self) -> Option<f64> {
        if let Self::Real(value) = self { Some(value) } else { None }
    }
}

macro_rules! rows {
    ($($name:literal $also:tt $written:ident $field:ident.$kind:ident $meaning:literal;)+) => {
        &[$(Number {
            name: $name,
            meaning: $meaning,
            also: &$also,
            written: Written::$written,
            put: |numbers, reading| {
                // The first name that is there wins, so `cpu_percent` before `cpu_ratio`.
                if numbers.$field.is_none() { numbers.$field = rows!(@$kind reading); }
            },
        },)+]
    };
    (@whole $reading:ident) => { $reading.whole() };
    (@real $reading:ident) => { $reading.real() };
    (@model $reading:ident) => { if let Reading::Model(model) = $reading { Some(model) } else { None } };
}

/// The documented numbers. `docs/http.md` lists them for users, and `docs/config.md` those that a pointer may name.
#[rustfmt::skip]
pub(super) const NUMBERS: &[Number] = rows![
    "tasks_total" ["total_tasks", "tasks_processed", "processed", "processed_total", "jobs_processed", "jobs_total"] Count tasks_total.whole
        "Tasks finished since its start, failed ones included.";
    "tasks_failed" ["tasks_failed_total", "failed_tasks", "jobs_failed"] Count tasks_failed.whole
        "Tasks failed since its start.";
    "in_flight" ["inflight", "tasks_in_flight", "active_tasks", "running_tasks", "active_jobs", "current_tasks"] Count in_flight.whole
        "Tasks in work now.";
    "waiting" ["queue_depth", "queue_size", "queue_length", "pending_tasks", "backlog"] Count waiting.whole
        "Tasks that wait for it.";
    "progress" ["progress_total", "progress_counter"] Count progress.whole
        "A counter that rises while it makes progress.";
    "task_seconds_total" ["task_duration_seconds_total"] Seconds task_seconds_total.real
        "Seconds spent on tasks since its start.";
    "cpu_percent" ["cpu_usage_percent"] CorePercent cpu_ratio.real
        "CPU in percent of one core: more than 100 on several.";
    "cpu_ratio" ["cpu_usage_ratio"] Ratio cpu_ratio.real
        "CPU of its limit, 0 to 1.";
    "memory_bytes" ["rss_bytes", "memory_rss_bytes", "memory_used_bytes"] Bytes memory_bytes.whole
        "Memory.";
    "memory_mb" ["rss_mb", "memory_used_mb"] Mebibytes memory_bytes.whole
        "Memory in MiB.";
    "memory_limit_bytes" [] Bytes memory_limit_bytes.whole
        "Limit of its memory.";
    "memory_percent" ["memory_usage_percent"] Percent memory_ratio.real
        "Memory of its limit, 0 to 100.";
    "memory_ratio" ["memory_usage_ratio"] Ratio memory_ratio.real
        "Memory of its limit, 0 to 1.";
    "host_cpu_percent" [] Percent host_cpu_ratio.real
        "CPU of its whole host, 0 to 100.";
    "host_memory_percent" [] Percent host_memory_ratio.real
        "Memory of its whole host, 0 to 100.";
    "disk_percent" ["disk_usage_percent"] Percent disk_ratio.real
        "Disk in use, 0 to 100.";
    "disk_ratio" ["disk_usage_ratio"] Ratio disk_ratio.real
        "Disk in use, 0 to 1.";
    "gpu_utilization" ["gpu_percent", "gpu_utilization_percent"] PercentOrRatio gpu_ratio.real
        "GPU in use: a ratio up to 1, or a percentage.";
    "gpu_memory_percent" ["gpu_memory_usage_percent"] Percent gpu_memory_ratio.real
        "GPU memory in use, 0 to 100.";
    "gpu_memory_ratio" ["gpu_memory_usage_ratio"] Ratio gpu_memory_ratio.real
        "GPU memory in use, 0 to 1.";
    "model_loaded" ["model_status", "model_state"] Model model.model
        "Whether its model is loaded.";
];

impl Number {
    /// Every name that is understood for it, in order of trust.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        // `progress` alone is more often a percentage than a counter: only by pointer or a clearer name.
        let own = (self.name != "progress").then_some(self.name);
        own.into_iter().chain(self.also.iter().copied())
    }

    /// Puts the value in its place, unless a name before it was there. `false`: it is no such number.
    pub(super) fn take(&self, value: &Value, numbers: &mut Numbers) -> bool {
        // Null is how a number that is not known is written; everything else that is no number is a fault.
        if value.is_null() {
            return true;
        }
        let reading = read(self.written, value);
        if let Some(reading) = reading {
            (self.put)(numbers, reading);
        }
        reading.is_some()
    }
}

fn read(written: Written, value: &Value) -> Option<Reading> {
    let whole = || value.as_u64().or_else(|| value.as_f64().and_then(integral));
    let real = |most: f64| value.as_f64().filter(|value| (0.0..=most).contains(value));
    let percent = |most: f64| real(most).map(|value| value / 100.0);
    Some(match written {
        Written::Count | Written::Bytes => Reading::Whole(whole()?),
        Written::Mebibytes => Reading::Whole(integral((value.as_f64()? * 1_048_576.0).round())?),
        Written::Percent => Reading::Real(percent(100.0)?),
        Written::CorePercent => Reading::Real(percent(102_400.0)?),
        Written::Ratio => Reading::Real(real(1.0)?),
        Written::PercentOrRatio if value.is_f64() && real(1.0).is_some() => Reading::Real(real(1.0)?),
        Written::PercentOrRatio => Reading::Real(percent(100.0)?),
        Written::Seconds => Reading::Real(real(f64::MAX)?),
        Written::Model => Reading::Model(model(value)?),
    })
}

/// A float that is a whole number: `3.0` as JavaScript and Lua write 3.
fn integral(value: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was just checked")]
    ((0.0..=9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}

fn model(value: &Value) -> Option<Model> {
    match value {
        Value::Bool(true) => Some(Model::Loaded),
        Value::Bool(false) => Some(Model::Loading),
        Value::String(word) => match fold(word).as_str() {
            "loaded" | "ready" | "ok" | "true" => Some(Model::Loaded),
            "loading" | "pending" | "initializing" | "starting" | "notloaded" | "false" => Some(Model::Loading),
            "failed" | "error" | "fail" => Some(Model::Failed),
            _ => None,
        },
        _ => None,
    }
}
