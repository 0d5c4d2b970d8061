//! `linux.resources` as limits that are seen inside.

use guest_abi::container::Limits;
use oci_spec::runtime::{LinuxPids, LinuxResources};

/// What of `resources` is a limit; zero is what engines send for "unset", and less for "any".
pub fn convert(resources: &LinuxResources) -> Limits {
    let given = |value: Option<i64>| {
        value.filter(|&value| value != 0).map(|value| u64::try_from(value).unwrap_or(u64::MAX))
    };
    let positive = |value: Option<u64>| value.filter(|&value| value > 0);
    let processor = resources.cpu().as_ref();
    Limits {
        tasks: given(resources.pids().as_ref().map(LinuxPids::limit)),
        memory_bytes: given(resources.memory().as_ref().and_then(|memory| memory.limit())),
        processor_quota_microseconds: given(processor.and_then(|cpu| cpu.quota())),
        processor_period_microseconds: positive(processor.and_then(|cpu| cpu.period())),
        processor_weight: positive(processor.and_then(|cpu| cpu.shares())).map(weight),
    }
}

/// Version 2's weight (1 to 10000) of a share of version 1 (2 to 262144), in proportion, as container
/// runtimes have it.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(resources: &str) -> Limits {
        convert(&serde_json::from_str(resources).unwrap())
    }

    #[test]
    fn what_is_unset_stays() {
        let zeros = r#"{"memory": {"limit": 0}, "pids": {"limit": 0},
            "cpu": {"quota": 0, "period": 0, "shares": 0}}"#;
        assert_eq!(limits(zeros), Limits::default());
        assert_eq!(limits("{}"), Limits::default());
    }

    #[test]
    fn limits_are_taken_over() {
        let given = r#"{"memory": {"limit": 4096}, "pids": {"limit": 5},
            "cpu": {"quota": 50000, "period": 200000, "shares": 1024}}"#;
        let expected = Limits {
            tasks: Some(5),
            memory_bytes: Some(4096),
            processor_quota_microseconds: Some(50_000),
            processor_period_microseconds: Some(200_000),
            processor_weight: Some(39),
        };
        assert_eq!(limits(given), expected);
        let any = r#"{"memory": {"limit": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}}"#;
        let any = limits(any);
        assert_eq!((any.tasks, any.memory_bytes), (Some(u64::MAX), Some(u64::MAX)));
        assert_eq!(any.processor_quota_microseconds, Some(u64::MAX));
        assert_eq!((weight(2), weight(262_144)), (1, 10_000));
    }
}
