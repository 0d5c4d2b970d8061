//! Mount options (mount(8)) to flags of mount(2) and values that the sentry acts on.

use guest_abi::container::TmpfsSpec;
use rustix::mount::MountFlags;

use crate::size;

/// What the options of one mount say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Flags of mount(2).
    pub flags: u64,
    /// Whether the source is a host path (`bind` or `rbind`).
    pub bind: bool,
    /// Whether what is mounted below the source is shown too (`rbind`).
    pub submounts: bool,
    /// Options of a tmpfs. A size in percent, as tmpfs(5) allows, is refused: the sandbox's memory
    /// is not the host's.
    pub tmpfs: TmpfsSpec,
    /// Whether it asks for its ids to be mapped (`idmap` or `ridmap`).
    pub maps_ids: bool,
}

/// What an option does to the flags.
enum Effect {
    Set(MountFlags),
    Clear(MountFlags),
}

/// Options with an effect on the flags.
const FLAG_OPTIONS: &[(&str, Effect)] = &[
    ("ro", Effect::Set(MountFlags::RDONLY)),
    ("rw", Effect::Clear(MountFlags::RDONLY)),
    ("nosuid", Effect::Set(MountFlags::NOSUID)),
    ("suid", Effect::Clear(MountFlags::NOSUID)),
    ("nodev", Effect::Set(MountFlags::NODEV)),
    ("dev", Effect::Clear(MountFlags::NODEV)),
    ("noexec", Effect::Set(MountFlags::NOEXEC)),
    ("exec", Effect::Clear(MountFlags::NOEXEC)),
    ("sync", Effect::Set(MountFlags::SYNCHRONOUS)),
    ("async", Effect::Clear(MountFlags::SYNCHRONOUS)),
    ("dirsync", Effect::Set(MountFlags::DIRSYNC)),
    ("noatime", Effect::Set(MountFlags::NOATIME)),
    ("atime", Effect::Clear(MountFlags::NOATIME)),
    ("nodiratime", Effect::Set(MountFlags::NODIRATIME)),
    ("diratime", Effect::Clear(MountFlags::NODIRATIME)),
    ("relatime", Effect::Set(MountFlags::RELATIME)),
    ("norelatime", Effect::Clear(MountFlags::RELATIME)),
    ("strictatime", Effect::Set(MountFlags::STRICTATIME)),
    ("nostrictatime", Effect::Clear(MountFlags::STRICTATIME)),
    ("nosymfollow", Effect::Set(MountFlags::NOSYMFOLLOW)),
    ("symfollow", Effect::Clear(MountFlags::NOSYMFOLLOW)),
];

/// Their names.
const FLAG_NAMES: &[&str] = &[
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "sync",
    "async",
    "dirsync",
    "noatime",
    "atime",
    "nodiratime",
    "diratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "nosymfollow",
    "symfollow",
];

/// Options for a mount and those below it, each an `r` before one of [`FLAG_NAMES`]. A host tree is
/// one mount here, whatever the host has mounted in it.
const RECURSIVE_NAMES: &[&str] = &[
    "rro",
    "rrw",
    "rnosuid",
    "rsuid",
    "rnodev",
    "rdev",
    "rnoexec",
    "rexec",
    "rnoatime",
    "ratime",
    "rnodiratime",
    "rdiratime",
    "rrelatime",
    "rnorelatime",
    "rstrictatime",
    "rnostrictatime",
    "rnosymfollow",
    "rsymfollow",
];

/// Options that ask for what a sandbox has anyway: its mounts never propagate to the host, its
/// devpts is always an instance of its own, and it has no other users to map.
const WITHOUT_EFFECT: &[&str] = &[
    "defaults",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "shared",
    "rshared",
    "unbindable",
    "runbindable",
    "newinstance",
    "silent",
    "loud",
    "lazytime",
    "nolazytime",
    "mand",
    "nomand",
    "iversion",
    "noiversion",
];

/// The same for options with a value: owners and limits of file systems the sentry makes itself.
const WITHOUT_EFFECT_VALUED: &[&str] =
    &["ptmxmode", "nr_inodes", "nr_blocks", "huge", "mpol", "hidepid", "subset"];

/// Every option without a value, and the prefix of every one with a value, by group.
pub const KNOWN_MOUNT_OPTIONS: [&[&str]; 4] = [
    FLAG_NAMES,
    RECURSIVE_NAMES,
    WITHOUT_EFFECT,
    &["bind", "rbind", "size", "mode", "uid", "gid", "tmpcopyup"],
];

impl MountOptions {
    /// Takes the options of one mount.
    ///
    /// # Errors
    /// The first option that means nothing, or whose value does not parse.
    pub fn parse(options: &[String]) -> Result<Self, &str> {
        options
            .iter()
            .try_fold(Self::default(), |parsed, option| parsed.with(option).ok_or(option.as_str()))
    }

    /// These options and `option`, if it is valid.
    fn with(mut self, option: &str) -> Option<Self> {
        match option.split_once('=') {
            Some(("size", value)) => self.tmpfs.size = Some(size::parse(value)?),
            Some(("mode", value)) => self.tmpfs.mode = Some(parse_mode(value)?),
            Some(("uid", value)) => self.tmpfs.uid = value.parse().ok()?,
            Some(("gid", value)) => self.tmpfs.gid = value.parse().ok()?,
            Some((name, _)) => return WITHOUT_EFFECT_VALUED.contains(&name).then_some(self),
            None if option == "bind" => self.bind = true,
            None if option == "rbind" => (self.bind, self.submounts) = (true, true),
            None if matches!(option, "idmap" | "ridmap") => self.maps_ids = true,
            None if option == "tmpcopyup" => self.tmpfs.copies_up = true,
            None if RECURSIVE_NAMES.contains(&option) => {
                return option.strip_prefix('r').and_then(|option| self.with_flag(option));
            }
            None => return self.with_flag(option),
        }
        Some(self)
    }

    fn with_flag(mut self, option: &str) -> Option<Self> {
        match FLAG_OPTIONS.iter().find(|(name, _)| *name == option) {
            Some((_, Effect::Set(flag))) => self.flags |= u64::from(flag.bits()),
            Some((_, Effect::Clear(flag))) => self.flags &= !u64::from(flag.bits()),
            None => return WITHOUT_EFFECT.contains(&option).then_some(self),
        }
        Some(self)
    }
}

fn parse_mode(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<MountOptions, String> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        MountOptions::parse(&options).map_err(str::to_owned)
    }

    #[test]
    fn the_last_of_two_opposites_wins() {
        let flags = |options: &[&str]| parse(options).unwrap().flags;
        assert_eq!(flags(&["ro", "nosuid", "noexec", "nodev"]), 1 | 2 | 8 | 4);
        assert_eq!(flags(&["ro", "rw"]), 0);
        assert_eq!(flags(&["rbind", "rprivate", "ro"]), 1);
    }

    #[test]
    fn links_are_followed_unless_forbidden() {
        assert_eq!(parse(&["nosymfollow"]).unwrap().flags, 256);
        assert_eq!(parse(&["rnosymfollow", "symfollow"]).unwrap().flags, 0);
    }

    #[test]
    fn sizes_and_modes() {
        let options = parse(&["size=65536k", "mode=755"]).unwrap();
        assert_eq!((options.tmpfs.size, options.tmpfs.mode), (Some(64 << 20), Some(0o755)));
        for bad in ["size=", "size=1x", "size=99999999999g", "size=50%", "mode=9", "mode=77777"] {
            assert_eq!(parse(&[bad]), Err(bad.to_owned()));
        }
    }

    #[test]
    fn recursive_options_are_those_of_one_mount() {
        assert_eq!(parse(&["rbind", "rro", "rnosuid"]).unwrap().flags, 1 | 2);
        for name in RECURSIVE_NAMES {
            assert!(FLAG_NAMES.contains(&name.strip_prefix('r').unwrap()), "{name}");
        }
    }

    #[test]
    fn a_tmpfs_has_an_owner_and_may_start_full() {
        let tmpfs = parse(&["uid=5", "gid=6", "tmpcopyup"]).unwrap().tmpfs;
        assert_eq!((tmpfs.uid, tmpfs.gid, tmpfs.copies_up), (5, 6, true));
    }

    #[test]
    fn names_are_those_of_the_table() {
        assert!(FLAG_OPTIONS.iter().map(|(name, _)| name).eq(FLAG_NAMES));
    }

    #[test]
    fn unknown_options_are_named() {
        assert_eq!(parse(&["ro", "frobnicate"]), Err("frobnicate".to_owned()));
        assert_eq!(parse(&["uid=x"]), Err("uid=x".to_owned()));
    }
}
