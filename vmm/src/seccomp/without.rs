//! In debug builds, filters can lack a rule: a test shows that each of them is needed.

use std::{env, io::Read};

use seccompiler::{BpfProgram, TargetArch, compile_from_json};
use serde_json::Value;

use super::Filter;

/// Environment variable with the name of a filter and the index of the rule to leave out, as in
/// `gofer-main:3`.
pub const VARIABLE: &str = "SANDBOX_VMM_SECCOMP_WITHOUT";

/// The program of `filter` without the rule, if the variable names one of it.
pub fn program(filter: Filter) -> Option<BpfProgram> {
    let wanted = env::var(VARIABLE).ok()?;
    let (name, index) = wanted.split_once(':')?;
    if name != filter.name() {
        return None;
    }
    let mut filters: Value = serde_json::from_str(filter.source()).ok()?;
    let rules = filters.get_mut(name)?.get_mut("filter")?.as_array_mut()?;
    let index = index.parse().ok().filter(|index| *index < rules.len())?;
    rules.remove(index);
    let text = filters.to_string();
    let mut programs = compile_from_json(text.as_bytes().by_ref(), TargetArch::x86_64).ok()?;
    programs.remove(name)
}
