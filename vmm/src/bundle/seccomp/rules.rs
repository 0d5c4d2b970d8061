//! The rules of a profile, gathered by call.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Operator, LinuxSyscall};
use sentry::syscalls::LINUX_CALLS;

use super::{
    assembler::{Assembler, Comparison, Condition},
    verdict,
};
use crate::{bundle::field::invalid, error::Result};

/// Number of arguments of a call.
const ARGUMENTS: usize = 6;

/// What a profile says of one call.
#[derive(Default)]
struct Rule {
    /// In order: conditions that must all hold, and the verdict then.
    alternatives: Vec<(Vec<Condition>, u32)>,
    /// The verdict whatever the arguments; the first of several counts.
    unconditional: Option<u32>,
}

/// All that it says.
pub struct Rules {
    calls: BTreeMap<u32, Rule>,
    default: u32,
    newest_named: Option<u32>,
}

impl Rules {
    /// Gathers them. Names of calls that do not exist on x86-64 are passed over, and so are rules
    /// that say what `default` says anyway.
    ///
    /// # Errors
    /// As [`verdict`]; if a condition is about an argument that no call has.
    pub fn collect(calls: &[LinuxSyscall], default: u32) -> Result<Self> {
        let mut rules = Self { calls: BTreeMap::new(), default, newest_named: None };
        for call in calls {
            let verdict = verdict(call.action(), call.errno_ret())?;
            let alternatives = alternatives(call.args().as_deref().unwrap_or_default())?;
            for number in call.names().iter().filter_map(|name| number(name)) {
                rules.newest_named = rules.newest_named.max(Some(number));
                if verdict == default {
                    continue;
                }
                let rule = rules.calls.entry(number).or_default();
                if alternatives.is_empty() {
                    rule.unconditional.get_or_insert(verdict);
                }
                let added = alternatives.iter().map(|conditions| (conditions.clone(), verdict));
                rule.alternatives.extend(added);
            }
        }
        Ok(rules)
    }

    /// The highest number of any call the profile names.
    pub const fn newest_named(&self) -> Option<u32> {
        self.newest_named
    }

    /// Writes them into a program.
    pub fn write(&self, program: &mut Assembler) {
        for (number, rule) in &self.calls {
            let otherwise = rule.unconditional.unwrap_or(self.default);
            program.answer(*number, &rule.alternatives, otherwise);
        }
    }
}

fn number(name: &str) -> Option<u32> {
    LINUX_CALLS.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// The conditions of a rule: they hold together, unless several are about the same argument; then
/// each is a rule of its own, as in runc.
fn alternatives(arguments: &[LinuxSeccompArg]) -> Result<Vec<Vec<Condition>>> {
    let conditions: Vec<_> = arguments.iter().map(condition).collect::<Result<_>>()?;
    let repeats = |one: &Condition| {
        conditions.iter().filter(|other| other.argument == one.argument).count() > 1
    };
    Ok(if conditions.is_empty() {
        Vec::new()
    } else if conditions.iter().any(repeats) {
        conditions.into_iter().map(|condition| vec![condition]).collect()
    } else {
        vec![conditions]
    })
}

fn condition(argument: &LinuxSeccompArg) -> Result<Condition> {
    let index = u8::try_from(argument.index()).ok().filter(|_| argument.index() < ARGUMENTS);
    let number = index.ok_or_else(|| {
        let what = format_args!("has a condition on argument {}", argument.index());
        invalid("linux.seccomp", what, "name one of 0 to 5")
    })?;
    let value = argument.value();
    let (comparison, value) = match argument.op() {
        Operator::ScmpCmpNe => (Comparison::NotEqual, value),
        Operator::ScmpCmpLt => (Comparison::Less, value),
        Operator::ScmpCmpLe => (Comparison::LessOrEqual, value),
        Operator::ScmpCmpEq => (Comparison::Equal, value),
        Operator::ScmpCmpGe => (Comparison::GreaterOrEqual, value),
        Operator::ScmpCmpGt => (Comparison::Greater, value),
        // `value` is the mask then, and what is compared with is the second value.
        Operator::ScmpCmpMaskedEq => {
            (Comparison::MaskedEqual(value), argument.value_two().unwrap_or_default() & value)
        }
    };
    Ok(Condition { argument: number, comparison, value })
}
