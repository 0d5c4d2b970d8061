//! `linux.seccomp` to the filter program that the sentry runs.
//!
//! The program judges as one made by libseccomp for runc does: a call of a foreign architecture
//! kills the thread; of a call's rules those with conditions are tried first; calls newer than any
//! that the profile names fail with ENOSYS, so that a C library falls back to older ones.

mod assembler;
mod rules;

use guest_abi::container::SeccompSpec;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompFilterFlag as Flag,
};

use self::{assembler::Assembler, rules::Rules};
use super::field::invalid;
use crate::error::Result;

/// SECCOMP_RET_KILL_THREAD.
const KILL_THREAD: u32 = 0;

/// SECCOMP_RET_ERRNO.
const ERRNO: u32 = 0x0005_0000;

/// Errno of a call that does not exist.
const ENOSYS: u32 = libc::ENOSYS.unsigned_abs();

/// AUDIT_ARCH_X86_64, the only architecture that calls come from.
const X86_64: u32 = 0xc000_003e;

/// First number of the x32 interface (__X32_SYSCALL_BIT), which does not exist here.
const X32_CALLS: u32 = 0x4000_0000;

/// The filter; `None` if the profile allows everything.
///
/// # Errors
/// If it asks for a supervisor (SCMP_ACT_NOTIFY), a condition names no argument, or it is too long.
pub fn convert(seccomp: Option<&LinuxSeccomp>) -> Result<Option<SeccompSpec>> {
    let Some(profile) = seccomp else { return Ok(None) };
    let calls = profile.syscalls().as_deref().unwrap_or_default();
    if profile.default_action() == Action::ScmpActAllow && calls.is_empty() {
        return Ok(None);
    }
    let default = verdict(profile.default_action(), profile.default_errno_ret())?;
    let rules = Rules::collect(calls, default)?;
    let x32 = if allows_x32(profile) { ERRNO | ENOSYS } else { KILL_THREAD };
    let newest = rules.newest_named().filter(|_| answers_enosys(profile));
    let mut program = Assembler::new(X86_64, X32_CALLS, x32);
    if let Some(newest) = newest {
        program.refuse_above(newest, ERRNO | ENOSYS);
    }
    rules.write(&mut program);
    let program = program.finish(default).ok_or_else(|| {
        invalid("linux.seccomp", "is too long: more than 4096 instructions", "name fewer calls")
    })?;
    let flags = profile.flags().as_deref().unwrap_or_default();
    let logs = flags.contains(&Flag::SeccompFilterFlagLog);
    Ok(Some(SeccompSpec { program, logs }))
}

fn allows_x32(profile: &LinuxSeccomp) -> bool {
    profile.architectures().as_deref().unwrap_or_default().contains(&Arch::ScmpArchX32)
}

/// Whether calls newer than the profile are to look as if they did not exist: where the profile
/// would refuse them otherwise, and does not say so itself.
fn answers_enosys(profile: &LinuxSeccomp) -> bool {
    let permits = matches!(profile.default_action(), Action::ScmpActAllow | Action::ScmpActLog);
    !permits && profile.default_errno_ret() != Some(ENOSYS)
}

/// The value that a filter returns for `action`; its errno is EPERM if absent.
fn verdict(action: Action, errno: Option<u32>) -> Result<u32> {
    match action {
        Action::ScmpActNotify => Err(invalid(
            "linux.seccomp",
            "has SCMP_ACT_NOTIFY, for which the sandbox has no supervisor",
            "use SCMP_ACT_ERRNO instead",
        )),
        Action::ScmpActErrno | Action::ScmpActTrace => {
            let errno = errno.unwrap_or(libc::EPERM.unsigned_abs());
            if errno > u32::from(u16::MAX) {
                let what = format_args!("has errnoRet {errno}");
                return Err(invalid("linux.seccomp", what, "use an error number"));
            }
            Ok(action.as_u32(Some(errno)))
        }
        _ => Ok(action.as_u32(None)),
    }
}

#[cfg(test)]
mod tests;
