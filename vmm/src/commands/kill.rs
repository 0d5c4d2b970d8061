//! `kill`: sends a container a signal.

use super::{Context, ask, not_running};
use crate::{
    control_socket::{PROMPT, Request},
    error::{Failure, Result},
    signals::KILL,
};

/// Signals by name (signal(7)), with their numbers on x86-64.
const NAMES: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

/// The command: `signal` is a number or a name.
///
/// # Errors
/// If there is no such container or signal, or the container does not run.
pub fn run(context: &Context, id: &str, signal: &str, all: bool) -> Result<()> {
    let number = parse(signal).ok_or_else(|| {
        Failure::new(format_args!("unknown signal '{signal}'"), "use a name or a number of kill -l")
    })?;
    let (container, record) = context.find(id)?;
    if record.has_stopped() {
        // What was to be ended has.
        return if all { Ok(()) } else { Err(not_running()) };
    }
    match ask(&container, &Request::Signal { number, all }, Some(PROMPT)) {
        Ok(_) => Ok(()),
        Err(_) if number == KILL && record.stand_in.is_alive() => {
            // A sandbox process that does not serve its socket is killed itself.
            record.stand_in.kill().map_err(|error| Failure::new(error, "kill its process"))
        }
        Err(failure) => Err(failure),
    }
}

/// The number of a signal: itself, or a name with or without SIG, in either case.
pub fn parse(signal: &str) -> Option<u8> {
    if let Ok(number) = signal.parse::<u8>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = signal.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(&(_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(number);
    }
    let offset = |prefix| name.strip_prefix(prefix)?.parse::<u8>().ok();
    let number = match (offset("RTMIN+"), offset("RTMAX-")) {
        (Some(offset), _) => 34_u8.checked_add(offset)?,
        (_, Some(offset)) => 64_u8.checked_sub(offset)?,
        _ => return None,
    };
    (34..=64).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        for (text, number) in
            [("9", 9), ("KILL", 9), ("SIGTERM", 15), ("sigusr1", 10), ("RTMIN+3", 37), ("64", 64)]
        {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in ["", "0", "65", "-1", "SIG", "NOPE", "RTMIN+31", "RTMAX-40", "SIGSIGTERM"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
