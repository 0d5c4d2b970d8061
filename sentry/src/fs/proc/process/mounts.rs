//! mounts and mountinfo.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use super::ProcessSubject;
use crate::{
    errno::Result,
    vfs::{Dentry, Mount, MountFlags, Path},
};

/// /proc/PID/mounts (fstab(5)).
pub(super) fn mounts(subject: &ProcessSubject) -> Result<Vec<u8>> {
    let fs = subject.fs()?;
    let mut text = Vec::new();
    for (mount, place) in visible(&fs.namespace().mounts(), &fs.root()) {
        text.extend(escape(mount.source.as_bytes()));
        text.push(b' ');
        text.extend(escape(&place));
        let options = options(mount.flags());
        text.extend(format!(" {} {options} 0 0\n", mount.file_system.name()).into_bytes());
    }
    Ok(text)
}

/// /proc/PID/mountinfo (proc_pid_mountinfo(5)).
pub(super) fn mountinfo(subject: &ProcessSubject) -> Result<Vec<u8>> {
    let fs = subject.fs()?;
    let mut text = Vec::new();
    for (mount, place) in visible(&fs.namespace().mounts(), &fs.root()) {
        let parent = mount.place().map_or(0, |place| place.mount.id);
        let attributes = mount.root.inode.cached_attributes();
        let device = attributes.map(|attributes| attributes.device).unwrap_or_default();
        let (major, minor) = (device.major, device.minor);
        text.extend(format!("{} {parent} {major}:{minor} ", mount.id).into_bytes());
        text.extend(escape(&name_in_file_system(&mount.root)));
        text.push(b' ');
        text.extend(escape(&place));
        let access = options(mount.flags());
        text.extend(format!(" {access} - {} ", mount.file_system.name()).into_bytes());
        text.extend(escape(mount.source.as_bytes()));
        text.extend_from_slice(b" rw\n");
    }
    Ok(text)
}

/// The mounts that can be reached from `root`, with the names of their places.
fn visible(mounts: &[Arc<Mount>], root: &Path) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let named = |mount: &Arc<Mount>| {
        let name = mount.root_path().name_from(root, false)?;
        Some((mount.clone(), name))
    };
    mounts.iter().filter_map(named).collect()
}

/// The name of `dentry` from the root of its file system.
fn name_in_file_system(dentry: &Arc<Dentry>) -> Vec<u8> {
    let mut components = Vec::new();
    let mut at = dentry.clone();
    while let Some(parent) = at.parent() {
        components.push(at.name());
        at = parent;
    }
    let mut name = Vec::new();
    for component in components.iter().rev() {
        name.push(b'/');
        name.extend_from_slice(component);
    }
    if name.is_empty() { b"/".to_vec() } else { name }
}

fn options(flags: MountFlags) -> String {
    let names = [
        (MountFlags::NO_SET_ID, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXECUTE, ",noexec"),
        (MountFlags::NO_ACCESS_TIME, ",noatime"),
        (MountFlags::NO_DIRECTORY_ACCESS_TIME, ",nodiratime"),
        (MountFlags::RELATIVE_ACCESS_TIME, ",relatime"),
        (MountFlags::NO_LINKS, ",nosymfollow"),
    ];
    let access = if flags.contains(MountFlags::READ_ONLY) { "ro" } else { "rw" };
    let set = names.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name);
    core::iter::once(access).chain(set).collect()
}

/// Writes white space and backslashes as octal numbers, as getmntent(3) reads them.
fn escape(name: &[u8]) -> Vec<u8> {
    let one = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => alloc::vec![*byte],
    };
    name.iter().flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_do_not_split_fields() {
        assert_eq!(escape(b"/a b\\c"), b"/a\\040b\\134c");
    }

    #[test]
    fn options_say_how_a_mount_is_restricted() {
        let flags = MountFlags::READ_ONLY | MountFlags::NO_DEVICES;
        assert_eq!(options(flags), "ro,nodev");
        assert_eq!(options(MountFlags::empty()), "rw");
    }
}
