//! Parts of a process of its own, and namespaces (unshare(2), setns(2)). New namespaces are those of
//! users; of the other kinds there is one each, and joining it changes nothing.

use crate::{
    errno::Errno,
    fs::namespace::{NamespaceFile, NamespaceKind},
    kernel::{Capabilities, CloneFlags, Current},
    syscalls::{FileDescriptor, SyscallResult},
};

/// unshare(2).
///
/// # Errors
/// As unshare(2), built without namespaces.
pub fn unshare(current: &mut Current, flags: u64) -> SyscallResult {
    let flags = CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let threads = CloneFlags::THREAD | CloneFlags::SIGHAND | CloneFlags::VM;
    let parts = CloneFlags::FILES | CloneFlags::FS | CloneFlags::SYSVSEM;
    if !(CloneFlags::NAMESPACES | threads | parts).contains(flags) {
        return Err(Errno::EINVAL);
    }
    current.check_namespaces(flags)?;
    let alone = threads | CloneFlags::NEW_USER;
    if flags.intersects(alone) && current.process().threads().len() > 1 {
        return Err(Errno::EINVAL);
    }
    let user = flags.contains(CloneFlags::NEW_USER).then(|| current.in_new_user_namespace());
    let user = user.transpose()?;
    if flags.contains(CloneFlags::FILES) {
        let own = current.files.duplicate();
        current.set_files(own);
    }
    if flags.intersects(CloneFlags::FS | CloneFlags::NEW_USER) {
        let own = current.fs.duplicate();
        current.set_fs(own);
    }
    if let Some(user) = user {
        current.task.set_credentials(user);
    }
    Ok(0)
}

/// setns(2).
///
/// # Errors
/// As setns(2); EINVAL for a pidfd.
pub fn setns(current: &mut Current, descriptor: FileDescriptor, kind: u32) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let file: &NamespaceFile = open.downcast().ok_or(Errno::EINVAL)?;
    if kind != 0 && u64::from(kind) != file.kind.clone_flag().bits() {
        return Err(Errno::EINVAL);
    }
    if file.kind == NamespaceKind::USER {
        let credentials = current.in_user_namespace(file.user.clone())?;
        if current.process().threads().len() > 1 {
            return Err(Errno::EINVAL);
        }
        let own = current.fs.duplicate();
        current.set_fs(own);
        current.task.set_credentials(credentials);
        return Ok(0);
    }
    if current.credentials().has(Capabilities::SYS_ADMIN) { Ok(0) } else { Err(Errno::EPERM) }
}
