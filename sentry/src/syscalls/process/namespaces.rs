//! Parts of a process of its own, and namespaces (unshare(2), setns(2)). There is one namespace of
//! each kind: no other can be made, and joining it changes nothing.

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
    if flags.intersects(CloneFlags::NAMESPACES) {
        let may = current.credentials().has(Capabilities::SYS_ADMIN);
        return Err(if may { Errno::EINVAL } else { Errno::EPERM });
    }
    if flags.intersects(threads) && current.process().threads().len() > 1 {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::FILES) {
        let own = current.files.duplicate();
        current.set_files(own);
    }
    if flags.contains(CloneFlags::FS) {
        let own = current.fs.duplicate();
        current.set_fs(own);
    }
    Ok(0)
}

/// setns(2).
///
/// # Errors
/// As setns(2); EINVAL for a pidfd.
pub fn setns(current: &mut Current, descriptor: FileDescriptor, kind: u32) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    let NamespaceFile(namespace) = open.downcast().ok_or(Errno::EINVAL)?;
    // A user namespace cannot be entered again (user_namespaces(7)).
    let is_user = *namespace == NamespaceKind::USER;
    if is_user || (kind != 0 && u64::from(kind) != namespace.clone_flag().bits()) {
        return Err(Errno::EINVAL);
    }
    if current.credentials().has(Capabilities::SYS_ADMIN) { Ok(0) } else { Err(Errno::EPERM) }
}
