//! Writing a filter program.

/// Most instructions of a program (BPF_MAXINSNS).
const MAX_INSTRUCTIONS: usize = 4096;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Instructions of classic BPF that are used (`<linux/bpf_common.h>`), by what they do.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// What an argument is compared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Its bits of this mask are equal.
    MaskedEqual(u64),
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Number of the argument, below 6.
    pub argument: u8,
    pub comparison: Comparison,
    /// What it is compared with.
    pub value: u64,
}

/// An instruction whose jumps may lead to the end of the alternative it is part of.
#[derive(Clone, Copy)]
struct Draft {
    code: u16,
    then: Target,
    otherwise: Target,
    operand: u32,
}

/// Where a comparison leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// This many instructions further.
    Skip(u8),
    /// To what follows the alternative.
    Fail,
}

/// A program in the making. Between two steps the number of the call is in the accumulator.
pub struct Assembler(Vec<u64>);

impl Assembler {
    /// A program that kills what is not of `architecture` and answers `x32` to numbers from
    /// `x32_calls` on; -1, by which tracers skip a call, is not one of them.
    pub fn new(architecture: u32, x32_calls: u32, x32: u32) -> Self {
        let mut program = Self(Vec::new());
        program.push(LOAD, 0, 0, ARCHITECTURE);
        program.push(IF_EQUAL, 1, 0, architecture);
        program.push(RETURN, 0, 0, super::KILL_THREAD);
        program.push(LOAD, 0, 0, NUMBER);
        program.push(IF_EQUAL, 2, 0, u32::MAX);
        program.push(IF_GREATER_OR_EQUAL, 0, 1, x32_calls);
        program.push(RETURN, 0, 0, x32);
        program
    }

    fn push(&mut self, code: u16, jump_true: u8, jump_false: u8, operand: u32) {
        let jumps = u64::from(jump_true) << 16 | u64::from(jump_false) << 24;
        self.0.push(u64::from(code) | jumps | u64::from(operand) << 32);
    }

    /// Answers `verdict` to numbers above `newest`.
    pub fn refuse_above(&mut self, newest: u32, verdict: u32) {
        self.push(IF_GREATER, 0, 1, newest);
        self.push(RETURN, 0, 0, verdict);
    }

    /// Answers the call `number`: with the verdict of the first of `alternatives` all of whose
    /// conditions hold, else with `otherwise`.
    pub fn answer(&mut self, number: u32, alternatives: &[(Vec<Condition>, u32)], otherwise: u32) {
        let mut body = Self(Vec::new());
        for (conditions, verdict) in alternatives {
            body.alternative(conditions, *verdict);
        }
        body.push(RETURN, 0, 0, otherwise);
        if let Ok(length) = u8::try_from(body.0.len()) {
            self.push(IF_EQUAL, 0, length, number);
        } else {
            self.push(IF_EQUAL, 1, 0, number);
            // A body that is too long for any number is too long for a program as well.
            self.push(JUMP, 0, 0, u32::try_from(body.0.len()).unwrap_or(u32::MAX));
        }
        self.0.append(&mut body.0);
    }

    /// Returns `verdict` if all `conditions` hold.
    fn alternative(&mut self, conditions: &[Condition], verdict: u32) {
        let mut drafts: Vec<Draft> = conditions.iter().flat_map(Condition::drafts).collect();
        drafts.push(draft(RETURN, Target::Skip(0), Target::Skip(0), verdict));
        for (position, draft) in drafts.iter().enumerate() {
            let resolve = |target| match target {
                Target::Skip(count) => count,
                // At most six conditions of at most six instructions each.
                Target::Fail => u8::try_from(drafts.len() - position - 1).unwrap_or(u8::MAX),
            };
            self.push(draft.code, resolve(draft.then), resolve(draft.otherwise), draft.operand);
        }
    }

    /// The program, which answers `otherwise` to all other calls; `None` if it is too long.
    pub fn finish(mut self, otherwise: u32) -> Option<Vec<u64>> {
        self.push(RETURN, 0, 0, otherwise);
        (self.0.len() <= MAX_INSTRUCTIONS).then_some(self.0)
    }
}

const fn draft(code: u16, then: Target, otherwise: Target, operand: u32) -> Draft {
    Draft { code, then, otherwise, operand }
}

impl Condition {
    /// Its instructions: they run to their end if it holds. A word has 32 bits, an argument two.
    fn drafts(&self) -> Vec<Draft> {
        use Target::{Fail, Skip};
        let low_at = ARGUMENTS + 8 * u32::from(self.argument);
        let load = |offset| draft(LOAD, Skip(0), Skip(0), offset);
        let (low, high) = (self.value as u32, (self.value >> 32) as u32);
        let next = Skip(0);
        // For an order, the high words decide unless they are equal; then the low words do.
        let ordered = |code, then, otherwise| {
            vec![
                load(low_at + 4),
                draft(IF_GREATER, if then == next { Skip(3) } else { then }, next, high),
                draft(IF_EQUAL, next, if otherwise == next { Skip(2) } else { otherwise }, high),
                load(low_at),
                draft(code, then, otherwise, low),
            ]
        };
        match self.comparison {
            Comparison::Equal => vec![
                load(low_at + 4),
                draft(IF_EQUAL, next, Fail, high),
                load(low_at),
                draft(IF_EQUAL, next, Fail, low),
            ],
            Comparison::NotEqual => vec![
                load(low_at + 4),
                draft(IF_EQUAL, next, Skip(2), high),
                load(low_at),
                draft(IF_EQUAL, Fail, next, low),
            ],
            Comparison::MaskedEqual(mask) => vec![
                load(low_at + 4),
                draft(AND, next, next, (mask >> 32) as u32),
                draft(IF_EQUAL, next, Fail, high),
                load(low_at),
                draft(AND, next, next, mask as u32),
                draft(IF_EQUAL, next, Fail, low),
            ],
            Comparison::Greater => ordered(IF_GREATER, next, Fail),
            Comparison::GreaterOrEqual => ordered(IF_GREATER_OR_EQUAL, next, Fail),
            Comparison::LessOrEqual => ordered(IF_GREATER, Fail, next),
            Comparison::Less => ordered(IF_GREATER_OR_EQUAL, Fail, next),
        }
    }
}
