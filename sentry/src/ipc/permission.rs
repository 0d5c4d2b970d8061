//! Who may use an object (sysvipc(7), `struct ipc_perm`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Credentials},
};

/// Owner and mode of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What it is found by; 0 (IPC_PRIVATE) if by nothing.
    pub key: i32,
    /// Owner, who may be changed.
    pub uid: u32,
    /// Group of the owner.
    pub gid: u32,
    /// Who made it.
    pub creator_uid: u32,
    /// Group of who made it.
    pub creator_gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// `struct ipc64_perm`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UserPermission {
    key: i32,
    /// See [`Permission`].
    pub uid: u32,
    /// See [`Permission`].
    pub gid: u32,
    creator_uid: u32,
    creator_gid: u32,
    /// See [`Permission`].
    pub mode: u32,
    sequence: u16,
    padding: [u16; 3],
    unused: [u64; 2],
}

impl Permission {
    /// Of an object that `credentials` make.
    pub const fn new(key: i32, mode: u32, credentials: &Credentials) -> Self {
        let (uid, gid) = (credentials.effective_uid, credentials.effective_gid);
        let mode = mode & 0o777;
        Self { key, uid, gid, creator_uid: uid, creator_gid: gid, mode }
    }

    /// Checks the access that bits `wanted` (as in a mode; any class) ask for.
    ///
    /// # Errors
    /// EACCES.
    pub fn check(&self, credentials: &Credentials, wanted: u32) -> Result<()> {
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
        let in_group = |gid| credentials.effective_gid == gid || credentials.groups.contains(&gid);
        let granted = if self.is_owner(credentials) {
            self.mode >> 6
        } else if in_group(self.gid) || in_group(self.creator_gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if wanted & !granted & 7 == 0 || credentials.has(Capabilities::IPC_OWNER) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// Checks whether the object may be changed or removed.
    ///
    /// # Errors
    /// EPERM.
    pub fn check_control(&self, credentials: &Credentials) -> Result<()> {
        if self.is_owner(credentials) || credentials.has(Capabilities::SYS_ADMIN) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    fn is_owner(&self, credentials: &Credentials) -> bool {
        [self.uid, self.creator_uid].contains(&credentials.effective_uid)
    }

    /// Takes owner and mode as `writer` gives them (IPC_SET).
    ///
    /// # Errors
    /// EINVAL if the writer's user namespace has no such ids.
    pub fn change(&mut self, user: &UserPermission, writer: &Credentials) -> Result<()> {
        let (uid, gid) = (writer.named_user(user.uid)?, writer.named_group(user.gid)?);
        let mode = self.mode & !0o777 | user.mode & 0o777;
        *self = Self { uid, gid, mode, ..*self };
        Ok(())
    }

    /// With the ids that they have in the user namespace of `reader`.
    #[must_use]
    pub fn seen_by(&self, reader: &Credentials) -> Self {
        Self {
            uid: reader.shown_user(self.uid),
            gid: reader.shown_group(self.gid),
            creator_uid: reader.shown_user(self.creator_uid),
            creator_gid: reader.shown_group(self.creator_gid),
            ..*self
        }
    }

    /// As `reader` sees it of the object `id`.
    pub fn to_user(&self, id: i32, reader: &Credentials) -> UserPermission {
        let seen = self.seen_by(reader);
        UserPermission {
            key: seen.key,
            uid: seen.uid,
            gid: seen.gid,
            creator_uid: seen.creator_uid,
            creator_gid: seen.creator_gid,
            mode: seen.mode,
            sequence: super::registry::sequence_of(id),
            ..UserPermission::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_bind_those_they_are_about() {
        let owner = Credentials { effective_uid: 1, effective_gid: 2, ..Credentials::default() };
        let permission = Permission::new(5, 0o640, &owner);
        assert_eq!(permission.check(&owner, 0o600), Ok(()));
        let member = Credentials { effective_uid: 3, effective_gid: 2, ..Credentials::default() };
        assert_eq!(permission.check(&member, 0o400), Ok(()));
        assert_eq!(permission.check(&member, 0o200), Err(Errno::EACCES));
        assert_eq!(permission.check_control(&member), Err(Errno::EPERM));
        let other = Credentials { effective_uid: 3, effective_gid: 4, ..Credentials::default() };
        assert_eq!(permission.check(&other, 0o004), Err(Errno::EACCES));
        assert_eq!(permission.check(&other, 0), Ok(()));
        assert_eq!(size_of::<UserPermission>(), 48);
    }
}
