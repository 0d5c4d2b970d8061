//! mount(2) and umount2(2), within the one namespace that a container has.

use alloc::{string::String, sync::Arc, vec::Vec};

use super::{AT_FDCWD, AT_SYMLINK_NOFOLLOW, Names, check_flags, place};
use crate::{
    errno::{Errno, Result},
    fs::{
        devpts, mqueue, proc, sys,
        tmpfs::{self, Tmpfs},
    },
    kernel::{Capabilities, Current},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{FileKind, FileSystem, Mount, MountFlags, Path},
};

const HERE: FileDescriptor = FileDescriptor(AT_FDCWD);
const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;
const MS_MOVE: u64 = 8192;
/// MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE: a mount that nothing propagates to is all of these.
const MS_NO_PROPAGATION: u64 = 1 << 17 | 1 << 18 | 1 << 19;
const MS_SHARED: u64 = 1 << 20;
const MNT_FORCE: u32 = 1;
const MNT_DETACH: u32 = 2;
const UMOUNT_NOFOLLOW: u32 = 8;

/// mount(2).
///
/// # Errors
/// As mount(2); ENODEV for types that are served by the host or unknown, EINVAL for MS_MOVE and MS_SHARED.
pub async fn mount(
    current: &mut Current,
    source: UserAddress,
    target: UserAddress,
    kind: UserAddress,
    flags: u64,
    data: UserAddress,
) -> SyscallResult {
    let names = Names::new(current);
    let target = place(current, &names, HERE, target, 0).await?;
    if !names.credentials.has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    if flags & (MS_MOVE | MS_SHARED) != 0 {
        return Err(Errno::EINVAL);
    }
    let restrictions = MountFlags::from_bits_truncate(flags);
    if flags & MS_REMOUNT != 0 {
        return remount(&target, restrictions);
    }
    if flags & MS_BIND != 0 {
        let source = place(current, &names, HERE, source, 0).await?;
        return bind(&source, &target);
    }
    if flags & MS_NO_PROPAGATION != 0 {
        return Ok(0);
    }
    let kind = super::read_name(current, kind).await?;
    let options = read_options(current, data).await?;
    if target.inode().kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    let (file_system, name) = file_system(current, &kind, &options)?;
    let cache = &current.kernel.vfs.dentries;
    Mount::new(file_system, cache, name, restrictions).attach(&target)?;
    Ok(0)
}

/// A new file system of type `kind`, and what /proc/mounts calls its source.
fn file_system(
    current: &Current,
    kind: &[u8],
    options: &str,
) -> Result<(Arc<dyn FileSystem>, &'static str)> {
    let (kernel, container) = (&current.kernel, current.container());
    Ok(match kind {
        b"tmpfs" => {
            let ram = kernel.frames.total_bytes();
            (Tmpfs::new(kernel, tmpfs::Options::parse(options, ram)?), "tmpfs")
        }
        b"proc" => (proc::new(kernel, container), "proc"),
        b"sysfs" => (sys::new(kernel), "sysfs"),
        b"devpts" => (devpts::new(kernel, &container.terminals.ptys), "devpts"),
        b"mqueue" => (mqueue::new(kernel, &container.ipc), "mqueue"),
        _ => return Err(Errno::ENODEV),
    })
}

fn remount(target: &Path, restrictions: MountFlags) -> SyscallResult {
    if !Arc::ptr_eq(&target.dentry, &target.mount.root) {
        return Err(Errno::EINVAL);
    }
    target.mount.set_flags(restrictions);
    Ok(0)
}

fn bind(source: &Path, target: &Path) -> SyscallResult {
    let is_directory = |path: &Path| path.inode().kind() == FileKind::Directory;
    if is_directory(source) != is_directory(target) {
        return Err(Errno::ENOTDIR);
    }
    Mount::bind(source).attach(target)?;
    Ok(0)
}

async fn read_options(current: &Current, data: UserAddress) -> Result<String> {
    if data.is_null() {
        return Ok(String::new());
    }
    let bytes: Vec<u8> = super::read_name(current, data).await?;
    String::from_utf8(bytes).map_err(|_| Errno::EINVAL)
}

/// umount2(2). A mount in use lives on, detached, until its last user is gone.
///
/// # Errors
/// As umount2(2); EINVAL for MNT_EXPIRE.
pub async fn umount2(current: &mut Current, target: UserAddress, flags: u32) -> SyscallResult {
    check_flags(flags, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW)?;
    let names = Names::new(current);
    let follow = if flags & UMOUNT_NOFOLLOW != 0 { AT_SYMLINK_NOFOLLOW } else { 0 };
    let path = place(current, &names, HERE, target, follow).await?;
    if !names.credentials.has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    if !Arc::ptr_eq(&path.dentry, &path.mount.root) {
        return Err(Errno::EINVAL);
    }
    if flags & MNT_DETACH == 0 && !path.mount.children().is_empty() {
        return Err(Errno::EBUSY);
    }
    path.mount.detach()?;
    Ok(0)
}
