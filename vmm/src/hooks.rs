//! Hooks: programs that config.json has run at certain points of a container's life (OCI runtime
//! specification, "POSIX-platform Hooks"). Here are those that run on the host; those of
//! startContainer are of the container (commands/start_hooks.rs).

use std::os::unix::process::CommandExt;
use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use oci_spec::runtime::Hook;

use crate::error::{Failure, Result};

/// How often a hook with a time limit is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Runs `hooks` in order, each with `state` on its standard input.
///
/// # Errors
/// The first that fails, or takes longer than it may.
pub fn run(kind: &str, hooks: Option<&Vec<Hook>>, state: &str) -> Result<()> {
    run_by(kind, hooks, |hook| run_one(hook, state))
}

/// Has `run_one` run each of `hooks` in order.
///
/// # Errors
/// The first that fails.
pub fn run_by(
    kind: &str,
    hooks: Option<&Vec<Hook>>,
    run_one: impl Fn(&Hook) -> std::result::Result<(), String>,
) -> Result<()> {
    outcomes(kind, hooks, run_one).collect()
}

/// The same for hooks whose failure ends nothing: all run. Answers the failures.
pub fn run_all(kind: &str, hooks: Option<&Vec<Hook>>, state: &str) -> Vec<Failure> {
    outcomes(kind, hooks, |hook| run_one(hook, state)).filter_map(Result::err).collect()
}

/// The time that `hook` may take, if it is limited.
pub fn time_limit(hook: &Hook) -> Option<Duration> {
    let seconds = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    seconds.filter(|&seconds| seconds > 0).map(Duration::from_secs)
}

/// What is said of a hook that took longer than it may.
pub fn too_slow(limit: Duration) -> String {
    format!("it took longer than {} s", limit.as_secs())
}

fn outcomes(
    kind: &str,
    hooks: Option<&Vec<Hook>>,
    run_one: impl Fn(&Hook) -> std::result::Result<(), String>,
) -> impl Iterator<Item = Result<()>> {
    hooks.into_iter().flatten().enumerate().map(move |(index, hook)| {
        let outcome = if hook.path().is_absolute() {
            run_one(hook)
        } else {
            Err("its path is not absolute".to_owned())
        };
        outcome.map_err(|cause| {
            let path = hook.path().display();
            Failure::new(
                format_args!("error running {kind} hook #{index}: {path}: {cause}"),
                "see what the hook says",
            )
        })
    })
}

fn run_one(hook: &Hook, state: &str) -> std::result::Result<(), String> {
    let mut command = Command::new(hook.path());
    let mut arguments = hook.args().iter().flatten();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env_clear();
    for variable in hook.env().iter().flatten() {
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        // A hook need not read it.
        let _ = input.write_all(state.as_bytes());
    }
    if let Some(limit) = time_limit(hook) {
        let deadline = Instant::now() + limit;
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(too_slow(limit));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{}, stderr: {said}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(json: &str) -> Vec<Hook> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn hooks_get_the_state_and_run_in_order() {
        let directory = vmm_sys_util::tempdir::TempDir::new().unwrap();
        let file = directory.as_path().join("out");
        let hooks = hooks(&format!(
            r#"[{{"path": "/bin/sh", "args": ["sh", "-c", "cat >> {0}"]}},
                {{"path": "/bin/sh", "args": ["sh", "-c", "echo $A >> {0}"], "env": ["A=b"]}}]"#,
            file.display()
        ));
        run("prestart", Some(&hooks), "{}").unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "{}b\n");
    }

    #[test]
    fn failures_need_not_stop_the_others() {
        let directory = vmm_sys_util::tempdir::TempDir::new().unwrap();
        let file = directory.as_path().join("out");
        let hooks = hooks(&format!(
            r#"[{{"path": "/bin/false"}}, {{"path": "/bin/sh", "args": ["sh", "-c", "echo a > {}"]}}]"#,
            file.display()
        ));
        assert!(run("poststart", Some(&hooks), "{}").is_err() && !file.exists());
        assert_eq!(run_all("poststart", Some(&hooks), "{}").len(), 1);
        assert!(file.exists());
    }

    #[test]
    fn a_hook_that_fails_or_hangs_is_named() {
        let fails = hooks(r#"[{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]"#);
        let failure = run("prestart", Some(&fails), "{}").unwrap_err().to_string();
        assert!(failure.contains("prestart hook #0: /bin/sh") && failure.contains("no"));
        let hangs = hooks(r#"[{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]"#);
        let failure = run("poststop", Some(&hangs), "{}").unwrap_err().to_string();
        assert!(failure.contains("longer than 1 s"), "{failure}");
        let relative = hooks(r#"[{"path": "true"}]"#);
        let failure = run("prestart", Some(&relative), "{}").unwrap_err().to_string();
        assert!(failure.contains("not absolute"), "{failure}");
        run("poststop", None, "{}").unwrap();
    }
}
