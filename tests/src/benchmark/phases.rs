//! What a start is made of, from the times of the sandbox's own log.

use std::{
    fs,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use super::median;
use crate::{WorkDirectory, sandbox_binary};

/// Phases of a start, each with the word of the log that ends it. The last ends with the process.
const PHASES: [(&str, &str); 5] = [
    ("command line, choice of platform", "platform "),
    ("gofer process", "gofer process"),
    ("machine and executors", "executors started"),
    ("sentry, mounts, program", "the program is loaded"),
    ("the program, and the end", ""),
];

/// Names of the phases, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    PHASES.iter().map(|(name, _)| *name)
}

/// Milliseconds of each phase of `do -- /bin/true` on `platform`: medians of `runs`.
pub fn start_phases(platform: &str, runs: usize) -> Vec<Option<f64>> {
    let all: Vec<Vec<f64>> = (0..runs).filter_map(|_| start(platform)).collect();
    let of_phase = |phase: usize| {
        let values: Vec<f64> = all.iter().filter_map(|run| run.get(phase).copied()).collect();
        (!values.is_empty()).then(|| median(values))
    };
    (0..PHASES.len()).map(of_phase).collect()
}

fn start(platform: &str) -> Option<Vec<f64>> {
    let directory = WorkDirectory::new("phases");
    let log = directory.0.join("log");
    let mut command = Command::new(sandbox_binary());
    command.arg(format!("--platform={platform}"));
    command.args(["--debug", "--log-format=json", "--log"]).arg(&log);
    command.args(["do", "--", "/bin/true"]).stdin(Stdio::null());
    let start = nanosecond_of_day(SystemTime::now());
    command.status().ok()?;
    let end = nanosecond_of_day(SystemTime::now());
    let log = fs::read_to_string(log).ok()?;
    let mut times = vec![start];
    for (_, word) in PHASES.iter().take(PHASES.len() - 1) {
        let message = format!("\"msg\":\"{word}");
        let line = log.lines().find(|line| line.contains(&message))?;
        times.push(time_in(line)?);
    }
    times.push(end);
    let milliseconds = |pair: &[u64]| pair[1].saturating_sub(pair[0]) as f64 / 1e6;
    Some(times.windows(2).map(milliseconds).collect())
}

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

fn nanosecond_of_day(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() % 86_400 * NANOSECONDS_PER_SECOND + u64::from(since.subsec_nanos())
}

/// The time of day in a line such as `...,"time":"2026-11-22T21:55:45.787289532Z"}`.
fn time_in(line: &str) -> Option<u64> {
    let time = line.split_once("\"time\":\"")?.1.split_once('T')?.1.split_once('Z')?.0;
    let (clock, nanoseconds) = time.split_once('.')?;
    let seconds =
        clock.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))?;
    Some(seconds * NANOSECONDS_PER_SECOND + nanoseconds.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_log_lines_are_read() {
        let line = r#"{"level":"info","msg":"x","time":"2026-11-22T01:02:03.000000004Z"}"#;
        assert_eq!(time_in(line), Some(3723 * NANOSECONDS_PER_SECOND + 4));
        assert_eq!(time_in("no time"), None);
    }
}
