//! Profiles are judged by the sentry's own interpreter.

use proptest::prelude::*;
use sentry::seccomp::{CallData, Instruction, Program};
use serde_json::{Value, json};

use super::*;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = ERRNO | 1;

fn program(profile: Value) -> Program {
    let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
    let spec = convert(Some(&profile)).unwrap().unwrap();
    let code: Vec<_> = spec.program.iter().copied().map(Instruction::from_bits).collect();
    Program::new(&code).unwrap()
}

fn judge(program: &Program, number: u32, arguments: &[u64]) -> u32 {
    let mut data = CallData { number, ..CallData::default() };
    data.arguments[..arguments.len()].copy_from_slice(arguments);
    program.run(&data).0
}

fn condition(op: &str, value: u64) -> Program {
    program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{
            "names": ["personality"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "op": op, "value": value}],
        }],
    }))
}

#[test]
fn named_calls_are_allowed_and_newer_ones_do_not_exist() {
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["read", "write", "no_such_call", "clone3"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22},
            {"names": ["gettid"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["getuid"], "action": "SCMP_ACT_LOG"},
        ],
    }));
    assert_eq!(judge(&program, 0, &[]), ALLOW);
    assert_eq!(judge(&program, 2, &[]), EPERM);
    assert_eq!(judge(&program, 39, &[]), ERRNO | 22);
    assert_eq!(judge(&program, 186, &[]), 0x8000_0000);
    assert_eq!(judge(&program, 102, &[]), 0x7ffc_0000);
    assert_eq!(judge(&program, 435, &[]), ALLOW);
    assert_eq!(judge(&program, 436, &[]), ERRNO | ENOSYS);
    assert_eq!(judge(&program, X32_CALLS, &[]), ERRNO | ENOSYS);
    assert_eq!(program.constant_verdict(0).unwrap().0, ALLOW);
}

#[test]
fn profiles_that_permit_by_default_name_what_they_refuse() {
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_TRAP"}],
    }));
    assert_eq!(judge(&program, 83, &[]), 0x0003_0000);
    assert_eq!(judge(&program, 450, &[]), ALLOW);
    assert_eq!(judge(&program, X32_CALLS, &[]), KILL_THREAD);
    assert_eq!(judge(&program, u32::MAX, &[]), ALLOW);
    let all: LinuxSeccomp =
        serde_json::from_value(json!({"defaultAction": "SCMP_ACT_ALLOW"})).unwrap();
    assert_eq!(convert(Some(&all)).unwrap(), None);
}

#[test]
fn masks_and_repeated_arguments() {
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "syscalls": [
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0x7e02_0000, "valueTwo": 0}]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 0},
                      {"index": 0, "op": "SCMP_CMP_EQ", "value": 0xffff_ffff_u32}]},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1},
                      {"index": 1, "op": "SCMP_CMP_NE", "value": 5}]},
        ],
    }));
    assert_eq!(judge(&program, 56, &[0x1200]), ALLOW);
    assert_eq!(judge(&program, 56, &[0x1000_0000]), ERRNO | 38);
    assert_eq!(judge(&program, 135, &[0xffff_ffff]), ALLOW);
    assert_eq!(judge(&program, 135, &[8]), ERRNO | 38);
    assert_eq!(judge(&program, 41, &[1, 2]), ALLOW);
    assert_eq!(judge(&program, 41, &[1, 5]), ERRNO | 38);
    assert_eq!(judge(&program, 41, &[2, 2]), ERRNO | 38);
}

#[test]
fn a_call_with_many_rules_is_jumped_over() {
    let rule = |value: u32| {
        json!({"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
               "args": [{"index": 1, "op": "SCMP_CMP_EQ", "value": value}]})
    };
    let mut rules: Vec<Value> = (0..100).map(rule).collect();
    rules.push(json!({"names": ["openat"], "action": "SCMP_ACT_ALLOW"}));
    let program = program(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
    assert_eq!(judge(&program, 16, &[0, 99]), ALLOW);
    assert_eq!(judge(&program, 16, &[0, 100]), EPERM);
    assert_eq!(judge(&program, 257, &[]), ALLOW);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let refused = [
        json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}),
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 6, "op": "SCMP_CMP_EQ", "value": 0}]}]}),
    ];
    for profile in refused {
        let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
        let message = convert(Some(&profile)).unwrap_err().to_string();
        assert!(message.contains("linux.seccomp"), "{message}");
    }
}

proptest! {
    #[test]
    fn comparisons_are_of_64_bits(
        value in prop_oneof![0_u64..4, any::<u64>()],
        distance in prop::sample::select(vec![0_i64, 1, -1, 1 << 32, -(1 << 32), i64::MIN]),
    ) {
        let argument = value.wrapping_add_signed(distance);
        let expected = [
            ("SCMP_CMP_EQ", argument == value),
            ("SCMP_CMP_NE", argument != value),
            ("SCMP_CMP_LT", argument < value),
            ("SCMP_CMP_LE", argument <= value),
            ("SCMP_CMP_GT", argument > value),
            ("SCMP_CMP_GE", argument >= value),
        ];
        for (op, holds) in expected {
            let verdict = judge(&condition(op, value), 135, &[argument]);
            prop_assert_eq!(verdict == ALLOW, holds, "{} {} {}", argument, op, value);
        }
    }
}
