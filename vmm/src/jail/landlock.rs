//! What Landlock takes (landlock(7)): the wall that holds even if a descriptor of a directory, or a
//! system call that the filters allow, turns out to lead further than it should.

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use std::os::fd::AsFd;

/// The newest rules that are asked for: kernels before Linux 6.12 do a part of them.
const RULES: ABI = ABI::V6;

/// Takes all files, TCP ports, abstract sockets, and signals to processes that are not made by this
/// thread or those that it makes. They are bound by the same.
///
/// # Errors
/// If the kernel has no Landlock.
pub fn deny_all() -> io::Result<()> {
    restrict(None::<(io::Stdin, _)>)
}

/// The same but for the files beneath `root`, which may be read, or read and changed.
///
/// # Errors
/// As [`deny_all`].
pub fn deny_all_but(root: impl AsFd, read_only: bool) -> io::Result<()> {
    let access = if read_only {
        AccessFs::ReadFile | AccessFs::ReadDir
    } else {
        AccessFs::from_all(RULES) & !(AccessFs::Execute | AccessFs::MakeBlock | AccessFs::IoctlDev)
    };
    restrict(Some((root, access)))
}

fn restrict(tree: Option<(impl AsFd, BitFlags<AccessFs>)>) -> io::Result<()> {
    let rules = tree.map(|(root, access)| Ok::<_, RulesetError>(PathBeneath::new(root, access)));
    let build = || -> Result<_, RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(RULES))?
            .handle_access(AccessNet::from_all(RULES))?
            .scope(Scope::from_all(RULES))?
            .create()?
            .add_rules(rules)?
            .restrict_self()
    };
    let status = build().map_err(io::Error::other)?;
    match status.ruleset {
        landlock::RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(()),
    }
}
