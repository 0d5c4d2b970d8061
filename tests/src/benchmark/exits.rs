//! VM exits per operation.

use std::fs;

use crate::{WorkDirectory, sandbox_binary};

/// Rounds whose exits are compared, so that what starting costs cancels out.
const FEW_ROUNDS: u64 = 2;
const MANY_ROUNDS: u64 = 6;

/// Exits per repetition of `operation` on one vCPU, without those that the host's own interrupts
/// cause; `None` if they could not be counted.
pub fn exits_per_operation(operation: &str) -> Option<f64> {
    let (few, repetitions) = exits(operation, FEW_ROUNDS)?;
    let (many, _) = exits(operation, MANY_ROUNDS)?;
    let repeated = (MANY_ROUNDS - FEW_ROUNDS) * repetitions;
    Some(many.saturating_sub(few) as f64 / repeated as f64)
}

/// Exits of a whole run, and how often a round repeats the operation.
fn exits(operation: &str, rounds: u64) -> Option<(u64, u64)> {
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
    Some((count(counts, "exits").saturating_sub(count(counts, "irq_exits")), repetitions))
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
