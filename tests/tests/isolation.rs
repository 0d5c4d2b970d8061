//! User code cannot reach what belongs to the kernel below it.

use integration_tests::{describe, native, sandbox_binary, sandboxed};

#[test]
fn privileged_instructions_and_kernel_memory_are_out_of_reach() {
    let program = sandbox_binary().with_file_name("escape_attempts");
    let program = program.to_str().unwrap();
    let expected = native(&[program]).output().unwrap();
    let actual = sandboxed(&[program]).output().unwrap();
    assert!(actual.status.success(), "{}", describe(&actual));
    assert_eq!(String::from_utf8_lossy(&actual.stdout), String::from_utf8_lossy(&expected.stdout));
    let text = String::from_utf8_lossy(&actual.stdout).into_owned();
    assert!(text.lines().count() > 20);
    assert!(!text.lines().any(|line| line.ends_with(" 0")), "an attempt succeeded:\n{text}");
}
