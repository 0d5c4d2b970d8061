//! An interactive shell on a terminal, natively and in the sandbox.

use integration_tests::{native, pseudo_terminal::Session, sandboxed};

const BASH: &[&str] = &["/bin/bash", "--norc", "--noprofile", "-i"];

/// Runs `conversation` with both shells; what it asserts must hold for both. The terminal must be
/// left as it was found.
fn with_both(conversation: fn(&mut Session)) {
    for mut command in [native(BASH), sandboxed(BASH)] {
        command.env("PS1", "ready> ").env("TERM", "dumb").env_remove("PROMPT_COMMAND");
        let mut session = Session::start(&command);
        session.expect("ready> ");
        conversation(&mut session);
        session.send("exit 7\n");
        assert_eq!(session.finish(), Some(7), "{command:?}: {}", session.transcript);
        assert_eq!(session.modes(), session.found, "{command:?}");
    }
}

/// Starts `program` as a job and waits until it runs, so that what is typed next is for it and not
/// for the line editor of the shell.
fn start_job(session: &mut Session, program: &str) {
    session.send(&format!("/bin/sh -c 'echo run\"\"ning; {program}'\n"));
    session.expect("running\r\n");
}

#[test]
fn lines_are_echoed_and_edited() {
    with_both(|session| {
        session.send("echo a$((40+2))b\n");
        session.expect("a42b");
        start_job(session, "exec cat");
        session.send("wrong\x15right\n");
        session.expect("right\r\nright");
        session.send("\x04");
        session.expect("ready> ");
        session.send("tty > /dev/null && stty size\n");
        session.expect("24 80");
    });
}

#[test]
fn raw_mode_passes_every_key() {
    with_both(|session| {
        session.send(
            "found=$(stty -g); stty raw -echo; echo ra''w; head -c 4 | od -An -c; stty $found\n",
        );
        session.expect("raw\n");
        session.send("\x03\r\x1aq");
        session.expect(r"003  \r 032   q");
        session.expect("ready> ");
    });
}

#[test]
fn interrupt_reaches_the_foreground_job_only() {
    with_both(|session| {
        start_job(session, "exec sleep 1000");
        session.send("\x03");
        session.expect("ready> ");
        session.send("echo status $?\n");
        session.expect("status 130");
    });
}

#[test]
fn jobs_stop_and_continue() {
    with_both(|session| {
        start_job(session, "exec cat");
        session.send("\x1a");
        session.expect("Stopped");
        session.expect("ready> ");
        session.send("jobs\n");
        session.expect("Stopped");
        session.expect("ready> ");
        session.send("fg\n");
        session.expect("exec cat'\r\n");
        session.send("alive\n");
        session.expect("alive\r\nalive");
        session.send("\x04");
        session.expect("ready> ");
    });
}

#[test]
fn a_resize_is_seen() {
    with_both(|session| {
        let wait = "trap \"stty size; exit\" WINCH; echo arm\"\"ed; while :; do sleep 0.02; done";
        start_job(session, wait);
        session.expect("armed");
        session.resize(50, 132);
        session.expect("50 132");
        session.expect("ready> ");
        session.send("stty size\n");
        session.expect("50 132");
    });
}

#[test]
fn background_reader_is_stopped() {
    with_both(|session| {
        session.send("cat &\n");
        session.expect("ready> ");
        session.send("until grep -q 'State:.T' /proc/$!/status; do sleep 0.02; done; jobs\n");
        session.expect("Stopped");
        session.expect("ready> ");
        session.send("kill -9 %1; while kill -0 $! 2> /dev/null; do sleep 0.02; done\n");
        session.expect("ready> ");
    });
}

#[test]
fn starting_needs_no_terminal() {
    let output = sandboxed(&["/bin/echo", "plain"]).output().unwrap();
    assert_eq!(output.stdout, b"plain\n");
}
