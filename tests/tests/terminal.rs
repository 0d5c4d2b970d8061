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
fn background_reader_is_stopped() {
    with_both(|session| {
        session.send("cat & sleep 0.2; jobs\n");
        session.expect("Stopped");
        session.send("kill -9 %1; wait\n");
        session.expect("ready> ");
    });
}

#[test]
fn starting_needs_no_terminal() {
    let output = sandboxed(&["/bin/echo", "plain"]).output().unwrap();
    assert_eq!(output.stdout, b"plain\n");
}
