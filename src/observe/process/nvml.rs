//! NVIDIA's management library, loaded when it is needed. Every call may block: it is made in a lane.

use std::collections::HashMap;

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device as Handle, Nvml};
use verdict::words::Failure;

use super::gpu::{Device, Driver, Opened, User};

/// `nvmlDeviceGetMigMode` answers this for a device that is divided.
const DIVIDED: u32 = 1;

/// Opens the library; `Ok(None)` where there is none, or no driver for it to talk to.
pub(super) fn open() -> Opened {
    match Nvml::init() {
        Ok(library) => Ok(Some(Box::new(Library { nvml: library, seen: HashMap::new() }))),
        Err(
            NvmlError::LibloadingError(_)
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::LibraryNotFound
            | NvmlError::DriverNotLoaded,
        ) => Ok(None),
        Err(error) => Err(failure(&error)),
    }
}

struct Library {
    nvml: Nvml,
    /// By device, up to when its samples of processes were read: microseconds of the driver's clock.
    seen: HashMap<u32, u64>,
}

impl Driver for Library {
    fn devices(&mut self) -> Result<Vec<Device>, Failure> {
        let count = self.nvml.device_count().map_err(|error| failure(&error))?;
        let mut devices = Vec::new();
        let mut first_failure = None;
        for index in 0..count {
            match self.nvml.device_by_index(index) {
                Ok(handle) => devices.extend(read(&handle, index, self.seen.entry(index).or_default())),
                // One that is lost, or not ours to see, hides no other.
                Err(error) => first_failure = first_failure.or(Some(failure(&error))),
            }
        }
        match first_failure {
            Some(failure) if devices.is_empty() => Err(failure),
            _ => Ok(devices),
        }
    }
}

/// A device, or the slices of one that is divided.
fn read(handle: &Handle<'_>, index: u32, seen: &mut u64) -> Vec<Device> {
    if handle.mig_mode().is_ok_and(|mode| mode.current == DIVIDED) {
        let slices = handle.mig_device_count().unwrap_or_default();
        let slice = |at| {
            let slice = handle.mig_device_by_index(at).ok()?;
            Some(Device { id: format!("{index}/{at}"), ..whole(&slice) })
        };
        return (0..slices).filter_map(slice).collect();
    }
    let mut device = Device { id: index.to_string(), ..whole(handle) };
    device.busy = handle.utilization_rates().ok().map(|rates| f64::from(rates.gpu.min(100)) / 100.0);
    shares(handle, &mut device, seen);
    vec![device]
}

/// What a device and a slice have in common. What the driver does not tell is left out.
fn whole(handle: &Handle<'_>) -> Device {
    let compute = handle.running_compute_processes().unwrap_or_default();
    let graphics = handle.running_graphics_processes().unwrap_or_default();
    let mut users: Vec<User> = Vec::new();
    for process in compute.iter().chain(&graphics) {
        let user = user(process);
        // One that computes and draws is listed twice, with the same memory.
        if !users.iter().any(|known| known.pid == user.pid) {
            users.push(user);
        }
    }
    Device {
        id: String::new(),
        name: handle.name().unwrap_or_default(),
        busy: None,
        memory: handle.memory_info().ok().map(|memory| (memory.used, memory.total)),
        users,
    }
}

fn user(process: &ProcessInfo) -> User {
    let memory = match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    User { pid: process.pid, memory, busy: None }
}

/// The share of each process since the last reading, as the mean of the driver's samples.
fn shares(handle: &Handle<'_>, device: &mut Device, seen: &mut u64) {
    let samples = match handle.process_utilization_stats(*seen) {
        Ok(samples) => samples,
        // That is how it says that nobody did anything since then.
        Err(NvmlError::NotFound) => Vec::new(),
        Err(_) => return,
    };
    let mut sums: HashMap<u32, (f64, f64)> = HashMap::new();
    for sample in samples.iter().filter(|sample| sample.timestamp > *seen && sample.sm_util <= 100) {
        let (sum, count) = sums.entry(sample.pid).or_default();
        *sum += f64::from(sample.sm_util) / 100.0;
        *count += 1.0;
    }
    *seen = samples.iter().map(|sample| sample.timestamp).chain([*seen]).max().unwrap_or_default();
    for user in &mut device.users {
        // Who is in no sample did nothing.
        user.busy = Some(sums.get(&user.pid).map_or(0.0, |(sum, count)| sum / count));
    }
}

fn failure(error: &NvmlError) -> Failure {
    match error {
        NvmlError::NoPermission => Failure::PermissionDenied,
        NvmlError::Timeout => Failure::Timeout,
        NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => {
            Failure::Unimplemented
        }
        NvmlError::InsufficientMemory | NvmlError::OperatingSystem => Failure::Local,
        _ => Failure::Internal,
    }
}
