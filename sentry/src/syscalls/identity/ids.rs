//! User and group ids (credentials(7)).

use alloc::{sync::Arc, vec::Vec};

use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Credentials, Current},
    mm::UserAddress,
    syscalls::SyscallResult,
};

/// An id that means "leave as it is" (setreuid(2)), and that is no valid id.
const UNCHANGED: u32 = u32::MAX;

/// getuid(2).
pub fn getuid(current: &mut Current) -> SyscallResult {
    let own = current.credentials();
    Ok(u64::from(own.shown_user(own.uid)))
}

/// geteuid(2).
pub fn geteuid(current: &mut Current) -> SyscallResult {
    let own = current.credentials();
    Ok(u64::from(own.shown_user(own.effective_uid)))
}

/// getgid(2).
pub fn getgid(current: &mut Current) -> SyscallResult {
    let own = current.credentials();
    Ok(u64::from(own.shown_group(own.gid)))
}

/// getegid(2).
pub fn getegid(current: &mut Current) -> SyscallResult {
    let own = current.credentials();
    Ok(u64::from(own.shown_group(own.effective_gid)))
}

/// getresuid(2).
pub async fn getresuid(
    current: &mut Current,
    real: UserAddress,
    effective: UserAddress,
    saved: UserAddress,
) -> SyscallResult {
    let own = current.credentials();
    current.mm.write(real, &own.shown_user(own.uid)).await?;
    current.mm.write(effective, &own.shown_user(own.effective_uid)).await?;
    current.mm.write(saved, &own.shown_user(own.saved_uid)).await?;
    Ok(0)
}

/// getresgid(2).
pub async fn getresgid(
    current: &mut Current,
    real: UserAddress,
    effective: UserAddress,
    saved: UserAddress,
) -> SyscallResult {
    let own = current.credentials();
    current.mm.write(real, &own.shown_group(own.gid)).await?;
    current.mm.write(effective, &own.shown_group(own.effective_gid)).await?;
    current.mm.write(saved, &own.shown_group(own.saved_gid)).await?;
    Ok(0)
}

/// The ids of one kind, user or group: real, effective, saved.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ids {
    real: u32,
    effective: u32,
    saved: u32,
}

impl Ids {
    const fn users(credentials: &Credentials) -> Self {
        Self {
            real: credentials.uid,
            effective: credentials.effective_uid,
            saved: credentials.saved_uid,
        }
    }

    const fn groups(credentials: &Credentials) -> Self {
        Self {
            real: credentials.gid,
            effective: credentials.effective_gid,
            saved: credentials.saved_gid,
        }
    }

    const fn has(&self, id: u32) -> bool {
        self.real == id || self.effective == id || self.saved == id
    }

    /// setuid(2): with privilege all three, else the effective one.
    fn set(self, id: u32, privileged: bool) -> Result<Self> {
        if id == UNCHANGED {
            return Err(Errno::EINVAL);
        }
        if privileged {
            return Ok(Self { real: id, effective: id, saved: id });
        }
        if id == self.real || id == self.saved {
            return Ok(Self { effective: id, ..self });
        }
        Err(Errno::EPERM)
    }

    /// setreuid(2).
    fn set_two(self, real: u32, effective: u32, privileged: bool) -> Result<Self> {
        let real_allowed = [self.real, self.effective, UNCHANGED].contains(&real);
        let effective_allowed = self.has(effective) || effective == UNCHANGED;
        if !(privileged || real_allowed && effective_allowed) {
            return Err(Errno::EPERM);
        }
        let mut new = self;
        if real != UNCHANGED {
            new.real = real;
        }
        if effective != UNCHANGED {
            new.effective = effective;
        }
        if real != UNCHANGED || (effective != UNCHANGED && effective != self.real) {
            new.saved = new.effective;
        }
        Ok(new)
    }

    /// setresuid(2).
    fn set_three(self, ids: [u32; 3], privileged: bool) -> Result<Self> {
        let allowed = |id: &u32| *id == UNCHANGED || self.has(*id);
        if !privileged && !ids.iter().all(allowed) {
            return Err(Errno::EPERM);
        }
        let choose = |new: u32, old: u32| if new == UNCHANGED { old } else { new };
        let [real, effective, saved] = ids;
        Ok(Self {
            real: choose(real, self.real),
            effective: choose(effective, self.effective),
            saved: choose(saved, self.saved),
        })
    }
}

/// The user that the caller calls `uid`, which may mean "leave as it is".
fn user(current: &Current, uid: u32) -> Result<u32> {
    if uid == UNCHANGED { Ok(uid) } else { current.credentials().named_user(uid) }
}

/// The same for a group.
fn group(current: &Current, gid: u32) -> Result<u32> {
    if gid == UNCHANGED { Ok(gid) } else { current.credentials().named_group(gid) }
}

fn change_users(current: &Current, change: impl FnOnce(Ids, bool) -> Result<Ids>) -> SyscallResult {
    let old: Arc<Credentials> = current.credentials();
    let ids = change(Ids::users(&old), old.has_in_own(Capabilities::SETUID))?;
    let mut new = (*old).clone();
    (new.uid, new.effective_uid, new.saved_uid) = (ids.real, ids.effective, ids.saved);
    new.fs_uid = ids.effective;
    new.after_uid_change(&old);
    current.task.set_credentials(new);
    current.identity_changed(&old);
    Ok(0)
}

fn change_groups(
    current: &Current,
    change: impl FnOnce(Ids, bool) -> Result<Ids>,
) -> SyscallResult {
    let old: Arc<Credentials> = current.credentials();
    let ids = change(Ids::groups(&old), old.has_in_own(Capabilities::SETGID))?;
    let mut new = (*old).clone();
    (new.gid, new.effective_gid, new.saved_gid) = (ids.real, ids.effective, ids.saved);
    new.fs_gid = ids.effective;
    current.task.set_credentials(new);
    current.identity_changed(&old);
    Ok(0)
}

impl Current {
    /// A process that changed its effective identity may hold what the new one should not see, so
    /// it is not dumpable (prctl(2), PR_SET_DUMPABLE).
    fn identity_changed(&self, old: &Credentials) {
        let new = self.credentials();
        if new.effective_uid != old.effective_uid || new.effective_gid != old.effective_gid {
            self.process().set_dumpable(0);
        }
    }
}

/// setuid(2).
pub fn setuid(current: &mut Current, uid: u32) -> SyscallResult {
    let uid = user(current, uid)?;
    change_users(current, |ids, privileged| ids.set(uid, privileged))
}

/// setgid(2).
pub fn setgid(current: &mut Current, gid: u32) -> SyscallResult {
    let gid = group(current, gid)?;
    change_groups(current, |ids, privileged| ids.set(gid, privileged))
}

/// setreuid(2).
pub fn setreuid(current: &mut Current, real: u32, effective: u32) -> SyscallResult {
    let (real, effective) = (user(current, real)?, user(current, effective)?);
    change_users(current, |ids, privileged| ids.set_two(real, effective, privileged))
}

/// setregid(2).
pub fn setregid(current: &mut Current, real: u32, effective: u32) -> SyscallResult {
    let (real, effective) = (group(current, real)?, group(current, effective)?);
    change_groups(current, |ids, privileged| ids.set_two(real, effective, privileged))
}

/// setresuid(2).
pub fn setresuid(current: &mut Current, real: u32, effective: u32, saved: u32) -> SyscallResult {
    let ids_given = [user(current, real)?, user(current, effective)?, user(current, saved)?];
    change_users(current, |ids, privileged| ids.set_three(ids_given, privileged))
}

/// setresgid(2).
pub fn setresgid(current: &mut Current, real: u32, effective: u32, saved: u32) -> SyscallResult {
    let ids_given = [group(current, real)?, group(current, effective)?, group(current, saved)?];
    change_groups(current, |ids, privileged| ids.set_three(ids_given, privileged))
}

/// setfsuid(2): answers the old id and never fails.
pub fn setfsuid(current: &mut Current, uid: u32) -> SyscallResult {
    let old = current.credentials();
    let shown = u64::from(old.shown_user(old.fs_uid));
    let Ok(uid) = user(current, uid) else { return Ok(shown) };
    let ids = Ids::users(&old);
    let allowed = ids.has(uid) || old.fs_uid == uid || old.has_in_own(Capabilities::SETUID);
    if allowed && uid != UNCHANGED {
        let mut new = Credentials { fs_uid: uid, ..(*old).clone() };
        new.after_fs_uid_change(&old);
        current.task.set_credentials(new);
    }
    Ok(shown)
}

/// setfsgid(2): answers the old id and never fails.
pub fn setfsgid(current: &mut Current, gid: u32) -> SyscallResult {
    let old = current.credentials();
    let shown = u64::from(old.shown_group(old.fs_gid));
    let Ok(gid) = group(current, gid) else { return Ok(shown) };
    let ids = Ids::groups(&old);
    let allowed = ids.has(gid) || old.fs_gid == gid || old.has_in_own(Capabilities::SETGID);
    if allowed && gid != UNCHANGED {
        current.task.set_credentials(Credentials { fs_gid: gid, ..(*old).clone() });
    }
    Ok(shown)
}

/// getgroups(2).
pub async fn getgroups(current: &mut Current, size: i32, list: UserAddress) -> SyscallResult {
    let credentials = current.credentials();
    let count = credentials.groups.len();
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size != 0 {
        if size < count {
            return Err(Errno::EINVAL);
        }
        let shown = credentials.groups.iter().map(|gid| credentials.shown_group(*gid));
        let bytes: Vec<u8> = shown.flat_map(u32::to_le_bytes).collect();
        current.mm.copy_out(list, &bytes).await?;
    }
    Ok(count as u64)
}

/// setgroups(2).
pub async fn setgroups(current: &mut Current, size: usize, list: UserAddress) -> SyscallResult {
    const MAX_GROUPS: usize = 65_536;
    let own = current.credentials();
    let allowed = own.user_namespace.as_ref().is_none_or(|namespace| namespace.allows_setgroups());
    if !allowed || !own.has_in_own(Capabilities::SETGID) {
        return Err(Errno::EPERM);
    }
    if size > MAX_GROUPS {
        return Err(Errno::EINVAL);
    }
    let mut groups: Vec<u32> = Vec::new();
    for index in 0..size {
        groups.push(own.named_group(current.mm.read(list.offset(index as u64 * 4)?).await?)?);
    }
    groups.sort_unstable();
    let new = Credentials { groups, ..(*current.credentials()).clone() };
    current.task.set_credentials(new);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: Ids = Ids { real: 1, effective: 2, saved: 3 };

    #[test]
    fn without_privilege_only_known_ids() {
        assert!(IDS.set(9, false).is_err());
        assert!(IDS.set(3, false).unwrap() == Ids { effective: 3, ..IDS });
        assert!(IDS.set_three([2, 3, 1], false).is_ok());
        assert!(IDS.set_three([9, 1, 1], false).is_err());
    }

    #[test]
    fn setreuid_updates_the_saved_id() {
        assert!(IDS.set_two(UNCHANGED, 1, false).unwrap().saved == 3);
        assert!(IDS.set_two(UNCHANGED, 3, false).unwrap().saved == 3);
        let swapped = IDS.set_two(2, 1, false).unwrap();
        assert!(swapped == Ids { real: 2, effective: 1, saved: 1 });
    }
}
