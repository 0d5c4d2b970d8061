//! `process.scheduler`, `process.ioPriority` and `process.execCPUAffinity`.

use guest_abi::container::SchedulingSpec;
use oci_spec::runtime::{
    IOPriorityClass, LinuxIOPriority, LinuxSchedulerFlag, LinuxSchedulerPolicy as Policy, Scheduler,
};

use super::{field::invalid, spec::CpuAffinity};
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

/// Checks lists of processors. They have no effect: executors are threads that serve all processes.
///
/// # Errors
/// If one is no list.
pub fn check_affinity(affinity: &CpuAffinity) -> Result<()> {
    for (name, list) in [("initial", &affinity.initial), ("final", &affinity.r#final)] {
        if let Some(list) = list.as_ref().filter(|list| !is_list_of_processors(list)) {
            let field = format!("process.execCPUAffinity.{name}");
            return Err(invalid(&field, format_args!("is '{list}'"), "write it like 0-3,7"));
        }
    }
    Ok(())
}

/// Numbers and ranges with commas between them. Spaces and commas too many do no harm, as in runc.
fn is_list_of_processors(list: &str) -> bool {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    let mut items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.all(|item| match item.split_once('-') {
        None => number(item).is_some(),
        Some((first, last)) => {
            number(first).zip(number(last)).is_some_and(|(first, last)| first <= last)
        }
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
    fn processors_come_in_lists() {
        let check = |list: &str| {
            let json = format!(r#"{{"initial": "{list}", "final": "0"}}"#);
            check_affinity(&serde_json::from_str(&json).unwrap())
        };
        for list in ["", "0", "0-3,7", " 1 , 2-2,"] {
            assert_eq!(check(list), Ok(()), "{list}");
        }
        for list in ["a", "3-1", "1-", "-1", "1-2-3", "0 1", "+1", "99999"] {
            let text = check(list).unwrap_err().to_string();
            assert!(text.contains("process.execCPUAffinity.initial is '"), "{text}");
        }
    }

    #[test]
    fn io_priorities_are_encoded_as_the_kernel_does() {
        let encode = |json: &str| io_priority(&serde_json::from_str(json).unwrap()).ok();
        assert_eq!(encode(r#"{"class": "IOPRIO_CLASS_BE", "priority": 4}"#), Some(2 << 13 | 4));
        assert_eq!(encode(r#"{"class": "IOPRIO_CLASS_RT", "priority": 8}"#), None);
    }
}
