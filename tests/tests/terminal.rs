//! An interactive shell on a terminal, natively and in the sandbox.

use integration_tests::{native, pseudo_terminal::Session, sandboxed};

const BASH: &[&str] = &["/bin/bash", "--norc", "--noprofile", "-i"];

/// Runs `conversation` with both shells; what it asserts must hold for both.
fn with_both(conversation: fn(&mut Session)) {
    for mut command in [native(BASH), sandboxed(BASH)] {
        command.env("PS1", "ready> ").env("TERM", "dumb").env_remove("PROMPT_COMMAND");
        let mut session = Session::start(&command);
        session.expect("ready> ");
        conversation(&mut session);
        session.send("exit 7\n");
        let (code, transcript) = session.finish();
        assert_eq!(code, Some(7), "{command:?}: {transcript}");
    }
}

#[test]
fn lines_are_echoed_and_edited() {
    with_both(|session| {
        session.send("echo a$((40+2))b\n");
        session.expect("a42b");
        session.send("cat\n");
        session.send("wrong\x15right\n");
        session.expect("right\r\nright");
        session.send("\x04");
        session.expect("ready> ");
        session.send("tty && stty size\n");
        session.expect("24 80");
    });
}

#[test]
fn interrupt_reaches_the_foreground_job_only() {
    with_both(|session| {
        session.send("sleep 1000\n");
        session.expect("sleep 1000\r\n");
        session.send("\x03");
        session.expect("ready> ");
        session.send("echo status $?\n");
        session.expect("status 130");
    });
}

#[test]
fn jobs_stop_and_continue() {
    with_both(|session| {
        session.send("cat\n");
        session.expect("cat\r\n");
        session.send("\x1a");
        session.expect("Stopped");
        session.expect("ready> ");
        session.send("jobs\n");
        session.expect("Stopped");
        session.send("fg\n");
        session.expect("cat\r\n");
        session.send("alive\n");
        session.expect("alive\r\nalive");
        session.send("\x04");
        session.expect("ready> ");
    });
}

#[test]
fn background_reader_is_stopped() {
    with_both(|session| {
        session.send("cat & sleep 0.2; jobs\n");
        session.expect("Stopped");
        session.send("kill -9 %1; wait\n");
        session.expect("ready> ");
    });
}

#[test]
fn a_resize_is_seen() {
    with_both(|session| {
        session.send("trap 'echo resized' WINCH; echo armed $((1+1))\n");
        session.expect("armed 2");
        session.resize(50, 132);
        session.send("sleep 0.2; stty size\n");
        session.expect("50 132");
    });
}

#[test]
fn starting_needs_no_terminal() {
    let output = sandboxed(&["/bin/echo", "plain"]).output().unwrap();
    assert_eq!(output.stdout, b"plain\n");
}
