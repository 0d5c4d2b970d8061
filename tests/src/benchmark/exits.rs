//! VM exits per operation.

use std::fs;

use crate::{WorkDirectory, sandbox_binary};

/// Rounds whose exits are compared, so that what starting costs cancels out.
const FEW_ROUNDS: u64 = 2;
const MANY_ROUNDS: u64 = 6;

/// Exits per repetition of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Exits {
    /// All but those that the host's own interrupts cause.
    pub all: f64,
    /// Of them, memory of the guest that the host had to provide.
    pub memory: f64,
    /// Of them, interrupts: the timer is set, the vCPU can take one, it is acknowledged. By the timer,
    /// tasks that wait for the vCPU get their turn; that is once in a time slice at most.
    pub interrupts: f64,
}

/// Counts of a whole run.
struct Counts {
    all: u64,
    memory: u64,
    interrupts: u64,
    /// How often a round repeats the operation.
    repetitions: u64,
}

/// Exits per repetition of `operation` on one vCPU; `None` if they could not be counted.
pub fn exits_per_operation(operation: &str) -> Option<Exits> {
    let few = exits(operation, FEW_ROUNDS)?;
    let many = exits(operation, MANY_ROUNDS)?;
    let repeated = ((MANY_ROUNDS - FEW_ROUNDS) * many.repetitions) as f64;
    let each = |many: u64, few: u64| many.saturating_sub(few) as f64 / repeated;
    Some(Exits {
        all: each(many.all, few.all),
        memory: each(many.memory, few.memory),
        interrupts: each(many.interrupts, few.interrupts),
    })
}

fn exits(operation: &str, rounds: u64) -> Option<Counts> {
    let directory = WorkDirectory::new("exits");
    let log = directory.0.join("log");
    let program = sandbox_binary().with_file_name("microbenchmarks");
    let output = std::process::Command::new(sandbox_binary())
        .args(["--platform=kvm", "--executors=1", "--debug", "--log"])
        .arg(&log)
        .args(["do", "--"])
        .arg(program)
        .args(["--rounds", &rounds.to_string(), operation])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let repetitions = text.split_whitespace().nth(2)?.parse().ok()?;
    let log = fs::read_to_string(log).ok()?;
    let counts = log.lines().find_map(|line| line.split_once("vm exits: "))?.1;
    let all = count(counts, "exits").saturating_sub(count(counts, "irq_exits"));
    let interrupts = ["timer_settings", "irq_window_exits", "interrupts_ended"];
    let interrupts = interrupts.map(|reason| count(counts, reason)).iter().sum();
    Some(Counts { all, memory: count(counts, "pf_taken"), interrupts, repetitions })
}

/// The number after `reason=` in `counts`.
fn count(counts: &str, reason: &str) -> u64 {
    let mut words = counts.split_whitespace().filter_map(|word| word.split_once('='));
    let found = words.find(|(name, _)| *name == reason);
    found.and_then(|(_, number)| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_whole_name() {
        let line = "exits=30 irq_exits=4 pf_taken=6";
        assert_eq!((count(line, "exits"), count(line, "irq_exits")), (30, 4));
        assert_eq!(count(line, "halt_exits"), 0);
    }
}
