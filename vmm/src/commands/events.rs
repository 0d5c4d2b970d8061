//! `events`: what a container uses, as JSON lines.

use std::{thread, time::Duration};

use libcgroups::stats::{BlkioDeviceStat, CpuStats, MemoryData, Stats};
use serde_json::{Value, json};

use super::{Context, not_running, print};
use crate::error::{Failure, Result};

/// The command: once, or every `interval` until the container ends.
///
/// # Errors
/// If there is no such container, or it has no control group.
pub fn run(context: &Context, id: &str, once: bool, interval: Duration) -> Result<()> {
    let (_, record) = context.find(id)?;
    let cgroup = record.cgroup.as_ref().ok_or_else(|| {
        Failure::new("the container has no control group", "set linux.cgroupsPath in config.json")
    })?;
    if record.has_stopped() {
        return Err(not_running());
    }
    loop {
        let statistics = cgroup.statistics()?;
        let event = json!({ "type": "stats", "id": id, "data": data(&statistics) });
        print(&format!("{event}\n"))?;
        if once {
            return Ok(());
        }
        thread::sleep(interval);
        if record.has_stopped() {
            return Ok(());
        }
    }
}

/// The statistics under the names that readers of runc's events know.
fn data(statistics: &Stats) -> Value {
    let Stats { memory, pids, blkio, .. } = statistics;
    json!({
        "cpu": processor(&statistics.cpu),
        "memory": {
            "cache": memory.cache,
            "usage": usage(&memory.memory),
            "swap": usage(&memory.memswap),
            "kernel": usage(&memory.kernel),
            "kernelTCP": usage(&memory.kernel_tcp),
            "raw": memory.stats,
        },
        "pids": { "current": pids.current, "limit": pids.limit },
        "blkio": {
            "ioServiceBytesRecursive": devices(&blkio.service_bytes),
            "ioServicedRecursive": devices(&blkio.serviced),
            "ioQueueRecursive": devices(&blkio.queued),
            "ioServiceTimeRecursive": devices(&blkio.service_time),
            "ioWaitTimeRecursive": devices(&blkio.wait_time),
            "ioMergedRecursive": devices(&blkio.merged),
            "ioTimeRecursive": devices(&blkio.time),
            "sectorsRecursive": devices(&blkio.sectors),
        },
        "hugetlb": statistics.hugetlb,
    })
}

/// Times in nanoseconds.
fn processor(statistics: &CpuStats) -> Value {
    let (usage, throttling) = (&statistics.usage, &statistics.throttling);
    // The totals of version 1 are in ticks; the sums of all processors are exact.
    let sum = |of_each: &[u64], total| match of_each {
        [] => total,
        times => times.iter().sum(),
    };
    json!({
        "usage": {
            "total": usage.usage_total,
            "percpu": usage.per_core_usage_total,
            "percpu_kernel": usage.per_core_usage_kernel,
            "percpu_user": usage.per_core_usage_user,
            "kernel": sum(&usage.per_core_usage_kernel, usage.usage_kernel),
            "user": sum(&usage.per_core_usage_user, usage.usage_user),
        },
        "throttling": {
            "periods": throttling.periods,
            "throttledPeriods": throttling.throttled_periods,
            "throttledTime": throttling.throttled_time,
        },
    })
}

/// One number a device and operation.
fn devices(numbers: &[BlkioDeviceStat]) -> Vec<Value> {
    let one = |of: &BlkioDeviceStat| {
        let BlkioDeviceStat { major, minor, op_type, value } = of;
        json!({ "major": major, "minor": minor, "op": op_type, "value": value })
    };
    numbers.iter().map(one).collect()
}

/// Bytes of memory.
fn usage(data: &MemoryData) -> Value {
    json!({
        "limit": data.limit,
        "usage": data.usage,
        "max": data.max_usage,
        "failcnt": data.fail_count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_runc() {
        let mut statistics = Stats::default();
        statistics.memory.memory.fail_count = 3;
        statistics.cpu.usage.per_core_usage_kernel = vec![2, 5];
        let data = data(&statistics);
        assert_eq!(data["memory"]["usage"]["failcnt"], 3);
        assert_eq!(data["cpu"]["usage"]["kernel"], 7);
        assert_eq!(data["pids"]["current"], 0);
    }
}
