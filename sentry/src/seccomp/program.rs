//! One filter program: checked, decoded, run.

use alloc::{vec, vec::Vec};

use super::{CallData, Verdict};
use crate::errno::{Errno, Result};

/// Most instructions of a program (BPF_MAXINSNS).
const MAX_INSTRUCTIONS: usize = 4096;

/// Words of scratch memory (BPF_MEMWORDS).
const MEMORY_WORDS: usize = 16;

/// An instruction as user code writes it (`struct sock_filter`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub jump_true: u8,
    /// Instructions to skip if it does not.
    pub jump_false: u8,
    /// Operand.
    pub operand: u32,
}

impl Instruction {
    /// The eight bytes of `struct sock_filter`, read as one little-endian number.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            code: bits as u16,
            jump_true: (bits >> 16) as u8,
            jump_false: (bits >> 24) as u8,
            operand: (bits >> 32) as u32,
        }
    }
}

/// A checked program.
#[derive(Debug, PartialEq, Eq)]
pub struct Program(Vec<Step>);

/// The second operand of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    /// A constant.
    Value(u32),
    /// The index register.
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Or,
    And,
    ShiftLeft,
    ShiftRight,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

/// A decoded instruction. Targets of jumps are positions in the program, after the jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    LoadData(u32),
    Load(u32),
    LoadMemory(usize),
    LoadIndex(u32),
    LoadIndexMemory(usize),
    Store(usize),
    StoreIndex(usize),
    Compute(Arithmetic, Operand),
    Negate,
    Jump(usize),
    Branch(Comparison, Operand, usize, usize),
    Return(u32),
    ReturnAccumulator,
    ToIndex,
    FromIndex,
}

impl Program {
    /// Checks and decodes `instructions`.
    ///
    /// # Errors
    /// EINVAL for what Linux refuses: an empty or too long program, an unknown instruction, a jump
    /// out of the program, a division by a constant zero, a load of what is not there or was not
    /// stored, an end without a return.
    pub fn new(instructions: &[Instruction]) -> Result<Self> {
        if instructions.is_empty() || instructions.len() > MAX_INSTRUCTIONS {
            return Err(Errno::EINVAL);
        }
        let decoded = instructions.iter().enumerate();
        let steps: Vec<Step> = decoded
            .map(|(position, instruction)| decode(*instruction, position, instructions.len()))
            .collect::<Option<_>>()
            .ok_or(Errno::EINVAL)?;
        let returns = matches!(steps.last(), Some(Step::Return(_) | Step::ReturnAccumulator));
        if returns && loads_only_what_is_stored(&steps) {
            Ok(Self(steps))
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Number of its instructions.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Its verdict about a call.
    pub fn run(&self, data: &CallData) -> Verdict {
        let verdict = self.execute(|offset| Some(data.word(offset)));
        verdict.unwrap_or(Verdict(0))
    }

    /// Its verdict about every call with this number, if that does not depend on anything else.
    pub fn constant_verdict(&self, number: u32) -> Option<Verdict> {
        let data = CallData { number, ..CallData::default() };
        self.execute(|offset| (offset < 8).then(|| data.word(offset)))
    }

    /// Runs it on data of which `load` gives a word; `None` as soon as a word is missing.
    fn execute(&self, load: impl Fn(u32) -> Option<u32>) -> Option<Verdict> {
        let (mut accumulator, mut index) = (0_u32, 0_u32);
        let mut memory = [0_u32; MEMORY_WORDS];
        let mut position = 0;
        // A checked program ends by a return; running out of it would kill, the safe answer.
        while let Some(step) = self.0.get(position) {
            position += 1;
            let value = |operand: Operand| match operand {
                Operand::Value(value) => value,
                Operand::Index => index,
            };
            match *step {
                Step::LoadData(offset) => accumulator = load(offset)?,
                Step::Load(value) => accumulator = value,
                Step::LoadMemory(at) => accumulator = memory.get(at).copied().unwrap_or_default(),
                Step::LoadIndex(value) => index = value,
                Step::LoadIndexMemory(at) => index = memory.get(at).copied().unwrap_or_default(),
                Step::Store(at) => store(&mut memory, at, accumulator),
                Step::StoreIndex(at) => store(&mut memory, at, index),
                Step::Compute(Arithmetic::Divide, operand) if value(operand) == 0 => {
                    return Some(Verdict(0));
                }
                Step::Compute(arithmetic, operand) => {
                    accumulator = compute(arithmetic, accumulator, value(operand));
                }
                Step::Negate => accumulator = accumulator.wrapping_neg(),
                Step::Jump(target) => position = target,
                Step::Branch(comparison, operand, then, otherwise) => {
                    let holds = compare(comparison, accumulator, value(operand));
                    position = if holds { then } else { otherwise };
                }
                Step::Return(value) => return Some(Verdict(value)),
                Step::ReturnAccumulator => return Some(Verdict(accumulator)),
                Step::ToIndex => index = accumulator,
                Step::FromIndex => accumulator = index,
            }
        }
        Some(Verdict(0))
    }
}

fn store(memory: &mut [u32; MEMORY_WORDS], at: usize, value: u32) {
    if let Some(word) = memory.get_mut(at) {
        *word = value;
    }
}

fn compute(arithmetic: Arithmetic, one: u32, other: u32) -> u32 {
    match arithmetic {
        Arithmetic::Add => one.wrapping_add(other),
        Arithmetic::Subtract => one.wrapping_sub(other),
        Arithmetic::Multiply => one.wrapping_mul(other),
        Arithmetic::Divide => one.checked_div(other).unwrap_or_default(),
        Arithmetic::Or => one | other,
        Arithmetic::And => one & other,
        // A shift by a register counts modulo 32, as the processor does it.
        Arithmetic::ShiftLeft => one.wrapping_shl(other),
        Arithmetic::ShiftRight => one.wrapping_shr(other),
        Arithmetic::Xor => one ^ other,
    }
}

fn compare(comparison: Comparison, one: u32, other: u32) -> bool {
    match comparison {
        Comparison::Equal => one == other,
        Comparison::Greater => one > other,
        Comparison::GreaterOrEqual => one >= other,
        Comparison::AnyBit => one & other != 0,
    }
}

/// The instruction at `position` of a program of `length`; `None` if it is not allowed in a filter
/// of system calls (`<linux/bpf_common.h>`; seccomp knows no packets and no remainder).
fn decode(instruction: Instruction, position: usize, length: usize) -> Option<Step> {
    let Instruction { code, operand, .. } = instruction;
    let word = || usize::try_from(operand).ok().filter(|word| *word < MEMORY_WORDS);
    Some(match code {
        0x20 if operand < CallData::SIZE && operand % 4 == 0 => Step::LoadData(operand),
        0x00 => Step::Load(operand),
        0x60 => Step::LoadMemory(word()?),
        0x80 => Step::Load(CallData::SIZE),
        0x01 => Step::LoadIndex(operand),
        0x61 => Step::LoadIndexMemory(word()?),
        0x81 => Step::LoadIndex(CallData::SIZE),
        0x02 => Step::Store(word()?),
        0x03 => Step::StoreIndex(word()?),
        0x84 => Step::Negate,
        0x05 => Step::Jump(target(position, operand, length)?),
        0x06 => Step::Return(operand),
        0x16 => Step::ReturnAccumulator,
        0x07 => Step::ToIndex,
        0x87 => Step::FromIndex,
        _ if code & 7 == 4 => decode_arithmetic(code, operand)?,
        _ if code & 7 == 5 => decode_branch(instruction, position, length)?,
        _ => return None,
    })
}

fn second_operand(code: u16, operand: u32) -> Operand {
    if code & 8 == 0 { Operand::Value(operand) } else { Operand::Index }
}

fn decode_arithmetic(code: u16, operand: u32) -> Option<Step> {
    let arithmetic = match code & !0xf {
        0x00 => Arithmetic::Add,
        0x10 => Arithmetic::Subtract,
        0x20 => Arithmetic::Multiply,
        0x30 => Arithmetic::Divide,
        0x40 => Arithmetic::Or,
        0x50 => Arithmetic::And,
        0x60 => Arithmetic::ShiftLeft,
        0x70 => Arithmetic::ShiftRight,
        0xa0 => Arithmetic::Xor,
        _ => return None,
    };
    let operand = second_operand(code, operand);
    let valid = match (arithmetic, operand) {
        (Arithmetic::Divide, Operand::Value(value)) => value != 0,
        (Arithmetic::ShiftLeft | Arithmetic::ShiftRight, Operand::Value(value)) => value < 32,
        _ => true,
    };
    valid.then_some(Step::Compute(arithmetic, operand))
}

fn decode_branch(instruction: Instruction, position: usize, length: usize) -> Option<Step> {
    let comparison = match instruction.code & !0xf {
        0x10 => Comparison::Equal,
        0x20 => Comparison::Greater,
        0x30 => Comparison::GreaterOrEqual,
        0x40 => Comparison::AnyBit,
        _ => return None,
    };
    let operand = second_operand(instruction.code, instruction.operand);
    let then = target(position, instruction.jump_true.into(), length)?;
    let otherwise = target(position, instruction.jump_false.into(), length)?;
    Some(Step::Branch(comparison, operand, then, otherwise))
}

/// Where a jump over `skipped` instructions leads, if it stays in the program.
fn target(position: usize, skipped: u32, length: usize) -> Option<usize> {
    let target = position.checked_add(1)?.checked_add(usize::try_from(skipped).ok()?)?;
    (target < length).then_some(target)
}

/// Whether no way through the program reads a word of memory before it was written. `written[N]`
/// has the words that all ways to instruction N have written.
fn loads_only_what_is_stored(steps: &[Step]) -> bool {
    let mut written = vec![u16::MAX; steps.len()];
    let mut here = 0_u16;
    let arrive = |written: &mut Vec<u16>, target: usize, here: u16| {
        if let Some(at_target) = written.get_mut(target) {
            *at_target &= here;
        }
    };
    for (position, step) in steps.iter().enumerate() {
        here &= written.get(position).copied().unwrap_or_default();
        match *step {
            Step::Store(word) | Step::StoreIndex(word) => here |= 1 << word,
            Step::LoadMemory(word) | Step::LoadIndexMemory(word) if here & 1 << word == 0 => {
                return false;
            }
            Step::Jump(target) => {
                arrive(&mut written, target, here);
                here = u16::MAX;
            }
            Step::Branch(_, _, then, otherwise) => {
                arrive(&mut written, then, here);
                arrive(&mut written, otherwise, here);
                here = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn plain(code: u16, operand: u32) -> Instruction {
        Instruction { code, jump_true: 0, jump_false: 0, operand }
    }

    const fn branch(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Instruction {
        Instruction { code, jump_true, jump_false, operand }
    }

    fn run(instructions: &[Instruction], data: &CallData) -> u32 {
        Program::new(instructions).unwrap().run(data).0
    }

    #[test]
    fn a_list_of_numbers_is_decided_by_the_number_alone() {
        let program = Program::new(&[
            plain(0x20, 0),
            branch(0x15, 39, 0, 1),
            plain(0x06, 7),
            branch(0x15, 41, 0, 2),
            plain(0x20, 16),
            plain(0x16, 0),
            plain(0x06, 9),
        ])
        .unwrap();
        assert_eq!(program.constant_verdict(39), Some(Verdict(7)));
        assert_eq!(program.constant_verdict(40), Some(Verdict(9)));
        assert_eq!(program.constant_verdict(41), None);
        let data = CallData { number: 41, arguments: [5; 6], ..CallData::default() };
        assert_eq!(program.run(&data), Verdict(5));
    }

    #[test]
    fn arithmetic_is_that_of_the_documentation() {
        // (accumulator, code, operand) gives the result; the index register holds 3.
        let cases = [
            (5, 0x04, 2, 7),
            (5, 0x1c, 0, 2),
            (5, 0x24, 2, 10),
            (7, 0x34, 2, 3),
            (5, 0x44, 2, 7),
            (7, 0x54, 2, 2),
            (1, 0x6c, 0, 8),
            (16, 0x74, 2, 4),
            (7, 0xa4, 2, 5),
            (1, 0x84, 0, u32::MAX),
        ];
        for (start, code, operand, expected) in cases {
            let code = [plain(0x01, 3), plain(0x00, start), plain(code, operand), plain(0x16, 0)];
            assert_eq!(run(&code, &CallData::default()), expected, "{code:?}");
        }
        // A division by a zero that only shows when it runs ends the program with 0.
        let divide = [plain(0x01, 0), plain(0x00, 5), plain(0x3c, 0), plain(0x06, 1)];
        assert_eq!(run(&divide, &CallData::default()), 0);
    }

    #[test]
    fn memory_and_registers_move() {
        let code = [
            plain(0x00, 4),
            plain(0x02, 15),
            plain(0x61, 15),
            plain(0x03, 0),
            plain(0x60, 0),
            plain(0x07, 0),
            plain(0x00, 0),
            plain(0x87, 0),
            plain(0x16, 0),
        ];
        assert_eq!(run(&code, &CallData::default()), 4);
    }

    #[test]
    fn what_linux_refuses_is_refused() {
        let end = plain(0x06, 0);
        let refused: &[&[Instruction]] = &[
            &[],
            &[plain(0x00, 0)],
            &[plain(0x20, 64), end],
            &[plain(0x20, 2), end],
            &[plain(0x28, 0), end],
            &[plain(0x34, 0), end],
            &[plain(0x94, 3), end],
            &[plain(0x64, 32), end],
            &[plain(0x60, 0), end],
            &[plain(0x02, 16), end],
            &[plain(0x05, 1), end],
            &[plain(0x05, u32::MAX), end],
            &[branch(0x15, 0, 1, 0), end],
            &[plain(0x0e, 0)],
            // Only one of two ways stores the word.
            &[branch(0x15, 0, 1, 0), plain(0x02, 0), plain(0x60, 0), end],
        ];
        for code in refused {
            assert_eq!(Program::new(code), Err(Errno::EINVAL), "{code:?}");
        }
        let longest = vec![end; MAX_INSTRUCTIONS];
        assert!(Program::new(&longest).is_ok());
        assert!(Program::new(&vec![end; MAX_INSTRUCTIONS + 1]).is_err());
    }

    fn instruction() -> impl Strategy<Value = Instruction> {
        let codes = [
            0x20, 0x00, 0x60, 0x80, 0x01, 0x61, 0x02, 0x03, 0x04, 0x3c, 0x54, 0x64, 0x6c, 0x84,
            0x05, 0x15, 0x25, 0x3d, 0x45, 0x06, 0x16, 0x07, 0x87,
        ];
        let code = prop_oneof![8 => prop::sample::select(codes.to_vec()), 1 => any::<u16>()];
        let operand = prop_oneof![4 => 0_u32..64, 1 => any::<u32>()];
        (code, 0_u8..8, 0_u8..8, operand).prop_map(|(code, jump_true, jump_false, operand)| {
            Instruction { code, jump_true, jump_false, operand }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_program_is_refused_or_ends(
            mut code in prop::collection::vec(instruction(), 1..12),
            number in any::<u32>(),
            argument in any::<u64>(),
        ) {
            code.push(plain(0x16, 0));
            if let Ok(program) = Program::new(&code) {
                let arguments = [argument; 6];
                let data = CallData { number, instruction_pointer: argument, arguments };
                let verdict = program.run(&data);
                // What depends on the number alone is the same whatever else the call has.
                if let Some(constant) = program.constant_verdict(number) {
                    prop_assert_eq!(constant, verdict);
                }
            }
        }
    }
}
