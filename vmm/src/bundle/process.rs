//! `process` of config.json.

use guest_abi::container::ProcessSpec;
use oci_spec::runtime::Box as ConsoleSize;

use super::{Process, capabilities, field, field::invalid, rlimits, scheduling};
use crate::error::Result;

/// A process of the container as config.json, or the file of an exec command, describes it.
///
/// # Errors
/// If it is missing, or a field has no valid meaning.
pub fn convert(process: Option<&Process>) -> Result<ProcessSpec> {
    let process =
        process.ok_or_else(|| invalid("process", "is missing", "say what to run in it"))?;
    let terminal = process.terminal.unwrap_or(false);
    process.exec_cpu_affinity.as_ref().map_or(Ok(()), scheduling::check_affinity)?;
    Ok(ProcessSpec {
        program: None,
        arguments: arguments(process)?,
        environment: field::texts("process.env", process.env.as_deref().unwrap_or_default())?,
        working_directory: field::absolute_path("process.cwd", &process.cwd)?,
        uid: process.user.uid(),
        gid: process.user.gid(),
        additional_gids: process.user.additional_gids().clone().unwrap_or_default(),
        umask: process.user.umask().map(|umask| umask & 0o777),
        capabilities: capabilities::convert(process.capabilities.as_ref()),
        rlimits: rlimits::convert(process.rlimits.as_deref().unwrap_or_default())?,
        no_new_privileges: process.no_new_privileges.unwrap_or(false),
        terminal,
        terminal_size: process.console_size.filter(|_| terminal).and_then(terminal_size),
        oom_adjustment: process.oom_score_adj.map(oom_adjustment).transpose()?,
        io_priority: process.io_priority.as_ref().map(scheduling::io_priority).transpose()?,
        scheduling: process.scheduler.as_ref().map(scheduling::convert).transpose()?,
    })
}

/// How likely it is to be ended when memory runs out.
fn oom_adjustment(value: i32) -> Result<i32> {
    if (-1000..=1000).contains(&value) {
        Ok(value)
    } else {
        let what = format_args!("is {value}");
        Err(invalid("process.oomScoreAdj", what, "choose a number from -1000 to 1000"))
    }
}

/// The program and its arguments: at least one, and a program with a name.
fn arguments(process: &Process) -> Result<Vec<String>> {
    let arguments = field::texts("process.args", process.args.as_deref().unwrap_or_default())?;
    match arguments.first() {
        None => Err(invalid("process.args", "is empty", "name the program to run")),
        Some(program) if program.is_empty() => {
            Err(invalid("process.args[0]", "is an empty string", "name the program to run"))
        }
        Some(_) => Ok(arguments),
    }
}

/// The terminal size, unless it is absent (zero) or absurd.
fn terminal_size(size: ConsoleSize) -> Option<(u16, u16)> {
    let rows = u16::try_from(size.height()).ok().filter(|&rows| rows > 0)?;
    let columns = u16::try_from(size.width()).ok().filter(|&columns| columns > 0)?;
    Some((rows, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(json: &str) -> Result<ProcessSpec> {
        convert(Some(&serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn converts_every_field() {
        let process = process(
            r#"{"terminal": true, "consoleSize": {"height": 40, "width": 120},
                "user": {"uid": 1, "gid": 2, "umask": 63, "additionalGids": [5, 6]},
                "args": ["sh", "-c", "true"], "env": ["A=b"], "cwd": "/tmp",
                "noNewPrivileges": true}"#,
        )
        .unwrap();
        assert_eq!(process.arguments, ["sh", "-c", "true"]);
        assert_eq!(process.environment, ["A=b"]);
        assert_eq!(process.working_directory, "/tmp");
        assert_eq!((process.uid, process.gid, process.umask), (1, 2, Some(0o77)));
        assert_eq!(process.additional_gids, [5, 6]);
        assert_eq!(process.terminal_size, Some((40, 120)));
        assert!(process.terminal && process.no_new_privileges);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let cases = [
            (r#"{"user": {}, "args": [], "cwd": "/"}"#, "process.args is empty"),
            (r#"{"user": {}, "args": [""], "cwd": "/"}"#, "process.args[0]"),
            (r#"{"user": {}, "args": ["a\u0000b"], "cwd": "/"}"#, "NUL"),
            (r#"{"user": {}, "args": ["a"], "cwd": "tmp"}"#, "process.cwd 'tmp'"),
            (
                r#"{"user": {}, "args": ["a"], "cwd": "/", "oomScoreAdj": 1001}"#,
                "process.oomScoreAdj is 1001",
            ),
        ];
        for (json, expected) in cases {
            let message = process(json).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(convert(None).unwrap_err().to_string().contains("process is missing"));
    }
}
