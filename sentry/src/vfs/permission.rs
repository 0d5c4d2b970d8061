//! Who may do what with a file: the one place that decides (path_resolution(7), capabilities(7)).

use bitflags::bitflags;

use super::{AttributeChange, Attributes, FileKind, Inode};
use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Credentials},
};

bitflags! {
    /// What is to be done with a file, with the numbers of access(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct AccessMode: u16 {
        /// Execute a file, or search a directory (X_OK).
        const EXECUTE = 1;
        /// Change the contents (W_OK).
        const WRITE = 2;
        /// Read the contents (R_OK).
        const READ = 4;
    }
}

/// Set-user-ID.
pub const SET_USER_ID: u16 = 0o4000;
/// Set-group-ID.
pub const SET_GROUP_ID: u16 = 0o2000;
/// The sticky bit.
pub const STICKY: u16 = 0o1000;
const GROUP_EXECUTE: u16 = 0o010;
const ANY_EXECUTE: u16 = 0o111;

/// Whether `credentials` may do `wanted` with a file of these attributes.
///
/// # Errors
/// EACCES.
pub fn check(credentials: &Credentials, file: &Attributes, wanted: AccessMode) -> Result<()> {
    let granted = if credentials.fs_uid == file.uid {
        file.permissions >> 6
    } else if credentials.in_group(file.gid) {
        file.permissions >> 3
    } else {
        file.permissions
    };
    if wanted.bits() & !granted == 0 || capability_grants(credentials, file, wanted) {
        return Ok(());
    }
    Err(Errno::EACCES)
}

fn capability_grants(credentials: &Credentials, file: &Attributes, wanted: AccessMode) -> bool {
    let directory = file.kind == FileKind::Directory;
    let has = |capability| credentials.has_over_file((file.uid, file.gid), capability);
    if has(Capabilities::DAC_OVERRIDE) {
        let executable = directory || file.permissions & ANY_EXECUTE != 0;
        return !wanted.contains(AccessMode::EXECUTE) || executable;
    }
    let harmless =
        if directory { !wanted.contains(AccessMode::WRITE) } else { wanted == AccessMode::READ };
    harmless && has(Capabilities::DAC_READ_SEARCH)
}

/// Whether `credentials` may search the directory `inode`; `None` if its attributes are not at
/// hand.
#[inline]
pub fn try_check_search(credentials: &Credentials, inode: &dyn Inode) -> Option<Result<()>> {
    let any = Capabilities::DAC_OVERRIDE.union(Capabilities::DAC_READ_SEARCH);
    if credentials.user_namespace.is_none() && credentials.effective.intersects(any) {
        return Some(Ok(()));
    }
    let attributes = inode.cached_attributes()?;
    Some(check(credentials, &attributes, AccessMode::EXECUTE))
}

/// Whether `credentials` own the file or stand in for its owner.
pub fn is_owner(credentials: &Credentials, file: &Attributes) -> bool {
    credentials.fs_uid == file.uid
        || credentials.has_over_file((file.uid, file.gid), Capabilities::FOWNER)
}

/// Whether `credentials` may remove or rename `file` in `directory`, which they may write: in a
/// sticky directory only the owner of either may.
///
/// # Errors
/// EPERM.
pub fn check_sticky(
    credentials: &Credentials,
    directory: &Attributes,
    file: &Attributes,
) -> Result<()> {
    let free = directory.permissions & STICKY == 0
        || credentials.fs_uid == directory.uid
        || is_owner(credentials, file);
    if free { Ok(()) } else { Err(Errno::EPERM) }
}

/// Owner, group and permissions of a new file in `directory`: the group, and for a directory the
/// bit itself, come from a set-group-ID directory (inode(7)).
pub fn of_new_file(
    credentials: &Credentials,
    directory: &Attributes,
    is_directory: bool,
    permissions: u16,
) -> (u32, u32, u16) {
    if directory.permissions & SET_GROUP_ID == 0 {
        return (credentials.fs_uid, credentials.fs_gid, permissions);
    }
    let permissions = if is_directory {
        permissions | SET_GROUP_ID
    } else {
        without_foreign_group_id(credentials, (directory.uid, directory.gid), permissions)
    };
    (credentials.fs_uid, directory.gid, permissions)
}

/// Without set-group-ID if the caller is not in the group it would confer.
fn without_foreign_group_id(
    credentials: &Credentials,
    (uid, gid): (u32, u32),
    permissions: u16,
) -> u16 {
    if credentials.in_group(gid) || credentials.has_over_file((uid, gid), Capabilities::FSETID) {
        permissions
    } else {
        permissions & !SET_GROUP_ID
    }
}

/// The permission bits chmod(2) really sets.
///
/// # Errors
/// EPERM if the caller is not the owner.
pub fn of_chmod(credentials: &Credentials, file: &Attributes, permissions: u16) -> Result<u16> {
    if !is_owner(credentials, file) {
        return Err(Errno::EPERM);
    }
    if file.kind == FileKind::Directory {
        return Ok(permissions);
    }
    Ok(without_foreign_group_id(credentials, (file.uid, file.gid), permissions))
}

/// The change that chown(2) to `uid` and `gid` makes, with set-id bits cleared.
///
/// # Errors
/// EPERM.
pub fn of_chown(
    credentials: &Credentials,
    file: &Attributes,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<AttributeChange> {
    let owner = credentials.fs_uid == file.uid;
    let same_user = uid.is_none_or(|uid| owner && uid == file.uid);
    let own_group = gid.is_none_or(|gid| owner && (gid == file.gid || credentials.in_group(gid)));
    let privileged = credentials.has_over_file((file.uid, file.gid), Capabilities::CHOWN);
    let allowed = same_user && own_group || privileged;
    if !allowed {
        return Err(Errno::EPERM);
    }
    let cleared = match file.kind {
        FileKind::Directory => None,
        _ => without_set_id(file.permissions),
    };
    Ok(AttributeChange { permissions: cleared, uid, gid, ..AttributeChange::default() })
}

/// The permission bits that remain when the contents or the owner change; `None` if they stay.
/// Set-group-ID without group execution means mandatory locking, not identity, and stays.
pub fn without_set_id(permissions: u16) -> Option<u16> {
    let mut left = permissions & !SET_USER_ID;
    if permissions & GROUP_EXECUTE != 0 {
        left &= !SET_GROUP_ID;
    }
    (left != permissions).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{DeviceNumber, Timestamp};

    fn file(kind: FileKind, permissions: u16, uid: u32, gid: u32) -> Attributes {
        Attributes {
            device: DeviceNumber::default(),
            inode: 1,
            kind,
            permissions,
            links: 1,
            uid,
            gid,
            device_node: DeviceNumber::default(),
            size: 0,
            block_size: 4096,
            blocks: 0,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: None,
        }
    }

    fn user(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        Credentials::new(uid, gid, groups, guest_abi::container::CapabilitySets::default())
    }

    #[test]
    fn the_first_matching_class_decides() {
        let secret = file(FileKind::Regular, 0o077, 10, 20);
        assert_eq!(check(&user(10, 20, &[]), &secret, AccessMode::READ), Err(Errno::EACCES));
        assert_eq!(check(&user(11, 1, &[20]), &secret, AccessMode::READ), Ok(()));
        let group = file(FileKind::Regular, 0o604, 10, 20);
        assert_eq!(check(&user(11, 20, &[]), &group, AccessMode::READ), Err(Errno::EACCES));
        assert_eq!(check(&user(12, 1, &[]), &group, AccessMode::READ), Ok(()));
    }

    #[test]
    fn override_executes_only_what_someone_may_execute() {
        let root = Credentials::kernel();
        let plain = file(FileKind::Regular, 0, 10, 20);
        assert_eq!(check(&root, &plain, AccessMode::READ | AccessMode::WRITE), Ok(()));
        assert_eq!(check(&root, &plain, AccessMode::EXECUTE), Err(Errno::EACCES));
        let directory = file(FileKind::Directory, 0, 10, 20);
        assert_eq!(check(&root, &directory, AccessMode::all()), Ok(()));
    }

    #[test]
    fn sticky_directories_protect_the_files_of_others() {
        let directory = file(FileKind::Directory, 0o1777, 0, 0);
        let theirs = file(FileKind::Regular, 0o666, 5, 5);
        assert_eq!(check_sticky(&user(6, 6, &[]), &directory, &theirs), Err(Errno::EPERM));
        assert_eq!(check_sticky(&user(5, 6, &[]), &directory, &theirs), Ok(()));
        assert_eq!(check_sticky(&Credentials::kernel(), &directory, &theirs), Ok(()));
    }

    #[test]
    fn giving_away_needs_the_capability_and_clears_set_id() {
        let own = file(FileKind::Regular, 0o6755, 5, 5);
        let owner = user(5, 5, &[7]);
        assert_eq!(of_chown(&owner, &own, Some(6), None), Err(Errno::EPERM));
        assert_eq!(of_chown(&owner, &own, None, Some(8)), Err(Errno::EPERM));
        let change = of_chown(&owner, &own, None, Some(7)).unwrap();
        assert_eq!(change.permissions, Some(0o755));
        assert_eq!(without_set_id(0o2644), None);
    }
}
