//! Mount options (mount(8)) to flags of mount(2) and values that the sentry acts on.

use rustix::mount::MountFlags;

use crate::size;

/// What the options of one mount say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Flags of mount(2).
    pub flags: u64,
    /// Whether the source is a host path (`bind` or `rbind`).
    pub bind: bool,
    /// Size limit in bytes (tmpfs). A percentage, as tmpfs(5) allows, is refused: the sandbox's
    /// memory is not the host's.
    pub size: Option<u64>,
    /// Mode of the root directory (tmpfs).
    pub mode: Option<u32>,
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
    "nosymfollow",
    "symfollow",
    "lazytime",
    "nolazytime",
    "mand",
    "nomand",
    "iversion",
    "noiversion",
];

/// The same for options with a value: owners and limits of file systems the sentry makes itself.
const WITHOUT_EFFECT_VALUED: &[&str] =
    &["gid", "uid", "ptmxmode", "nr_inodes", "nr_blocks", "huge", "mpol", "hidepid", "subset"];

/// Every option without a value, and the prefix of every one with a value, by group.
pub const KNOWN_MOUNT_OPTIONS: [&[&str]; 3] =
    [FLAG_NAMES, WITHOUT_EFFECT, &["bind", "rbind", "size", "mode"]];

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
            Some(("size", value)) => self.size = Some(size::parse(value)?),
            Some(("mode", value)) => self.mode = Some(parse_mode(value)?),
            Some((name, _)) => return WITHOUT_EFFECT_VALUED.contains(&name).then_some(self),
            None if matches!(option, "bind" | "rbind") => self.bind = true,
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
    fn sizes_and_modes() {
        let options = parse(&["size=65536k", "mode=755"]).unwrap();
        assert_eq!((options.size, options.mode), (Some(64 << 20), Some(0o755)));
        for bad in ["size=", "size=1x", "size=99999999999g", "size=50%", "mode=9", "mode=77777"] {
            assert_eq!(parse(&[bad]), Err(bad.to_owned()));
        }
    }

    #[test]
    fn names_are_those_of_the_table() {
        assert!(FLAG_OPTIONS.iter().map(|(name, _)| name).eq(FLAG_NAMES));
    }

    #[test]
    fn unknown_options_are_named() {
        assert_eq!(parse(&["ro", "frobnicate"]), Err("frobnicate".to_owned()));
        assert_eq!(parse(&["tmpcopyup"]), Err("tmpcopyup".to_owned()));
    }
}
