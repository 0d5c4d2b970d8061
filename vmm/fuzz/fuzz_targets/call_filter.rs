//! Filters of system calls: any program is refused or ends with a verdict, and one that depends on
//! the number alone is the same for all arguments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentry::seccomp::{CallData, Instruction, Program};

fuzz_target!(|data: &[u8]| {
    let words: Vec<u64> = data
        .chunks_exact(8)
        .filter_map(|chunk| chunk.try_into().ok())
        .map(u64::from_le_bytes)
        .collect();
    let code: Vec<_> = words.iter().copied().map(Instruction::from_bits).collect();
    let Ok(program) = Program::new(&code) else { return };
    let argument = words.iter().fold(0, |sum: u64, word| sum.rotate_left(7) ^ word);
    let data = CallData {
        number: argument as u32 % 512,
        instruction_pointer: argument,
        arguments: [argument; 6],
    };
    let verdict = program.run(&data);
    if let Some(constant) = program.constant_verdict(data.number) {
        assert_eq!(constant, verdict);
    }
});
