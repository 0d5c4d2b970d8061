//! `process.scheduler` and `process.ioPriority`.

use guest_abi::container::SchedulingSpec;
use oci_spec::runtime::{
    IOPriorityClass, LinuxIOPriority, LinuxSchedulerFlag, LinuxSchedulerPolicy as Policy, Scheduler,
};

use super::field::invalid;
use crate::error::Result;

/// Priorities of real-time policies (sched(7)).
const REAL_TIME: std::ops::RangeInclusive<i32> = 1..=99;

/// The scheduling that a process starts with.
///
/// # Errors
/// If the policy does not exist here or a number is out of range.
pub fn convert(scheduler: &Scheduler) -> Result<SchedulingSpec> {
    let wrong = |what: String| invalid("process.scheduler", what, "see sched_setattr(2)");
    let (policy, is_real_time) = match scheduler.policy() {
        Policy::SchedOther => (libc::SCHED_OTHER, false),
        Policy::SchedBatch => (libc::SCHED_BATCH, false),
        Policy::SchedIdle => (libc::SCHED_IDLE, false),
        Policy::SchedFifo => (libc::SCHED_FIFO, true),
        Policy::SchedRr => (libc::SCHED_RR, true),
        Policy::SchedIso | Policy::SchedDeadline => {
            return Err(wrong(format!("asks for {}, which is not supported", scheduler.policy())));
        }
    };
    let (nice, priority) =
        (scheduler.nice().unwrap_or_default(), scheduler.priority().unwrap_or_default());
    let fits = if is_real_time { REAL_TIME.contains(&priority) } else { priority == 0 };
    if !fits || !(-20..=19).contains(&nice) {
        return Err(wrong(format!("has priority {priority} and niceness {nice}")));
    }
    let flags = scheduler.flags().as_deref().unwrap_or_default();
    Ok(SchedulingSpec {
        policy: policy.unsigned_abs(),
        priority: priority.unsigned_abs(),
        nice,
        reset_on_fork: flags.contains(&LinuxSchedulerFlag::SchedResetOnFork),
    })
}

/// Class and priority as ioprio_set(2) encodes them.
///
/// # Errors
/// If the priority is none of 0 to 7.
pub fn io_priority(priority: &LinuxIOPriority) -> Result<u32> {
    const CLASS_SHIFT: u32 = 13;
    let class = match priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let level = u32::try_from(priority.priority()).ok().filter(|level| *level < 8);
    let level = level.ok_or_else(|| {
        let what = format_args!("is {}", priority.priority());
        invalid("process.ioPriority.priority", what, "choose one of 0 to 7")
    })?;
    Ok(class << CLASS_SHIFT | level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(json: &str) -> Result<SchedulingSpec> {
        convert(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn policies_have_their_numbers_and_ranges() {
        let fifo = scheduler(r#"{"policy": "SCHED_FIFO", "priority": 5}"#).unwrap();
        assert_eq!((fifo.policy, fifo.priority), (1, 5));
        let batch =
            scheduler(r#"{"policy": "SCHED_BATCH", "nice": 7, "flags": ["SCHED_RESET_ON_FORK"]}"#);
        assert!(
            batch.is_ok_and(|batch| batch.policy == 3 && batch.nice == 7 && batch.reset_on_fork)
        );
        for wrong in [
            r#"{"policy": "SCHED_DEADLINE"}"#,
            r#"{"policy": "SCHED_FIFO"}"#,
            r#"{"policy": "SCHED_OTHER", "priority": 1}"#,
            r#"{"policy": "SCHED_OTHER", "nice": 20}"#,
        ] {
            assert!(scheduler(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn io_priorities_are_encoded_as_the_kernel_does() {
        let encode = |json: &str| io_priority(&serde_json::from_str(json).unwrap()).ok();
        assert_eq!(encode(r#"{"class": "IOPRIO_CLASS_BE", "priority": 4}"#), Some(2 << 13 | 4));
        assert_eq!(encode(r#"{"class": "IOPRIO_CLASS_RT", "priority": 8}"#), None);
    }
}
