//! memfd_create(2).

use alloc::sync::Arc;

use super::{check_flags, install};
use crate::{
    errno::Errno,
    fs::tmpfs::{RegularFile, TmpfsInode},
    kernel::Current,
    mm::UserAddress,
    syscalls::SyscallResult,
    vfs::{Dentry, NewInode, NewNode, OpenFile, OpenFlags, Path},
};

const MFD_CLOEXEC: u32 = 1;
const MFD_ALLOW_SEALING: u32 = 2;
const MFD_NOEXEC_SEAL: u32 = 8;
const MFD_EXEC: u32 = 16;

/// Longest name with its NUL: NAME_MAX less the prefix.
const NAME_ROOM: usize = 250;

/// memfd_create(2).
///
/// # Errors
/// As memfd_create(2); EINVAL for MFD_HUGETLB.
pub async fn memfd_create(current: &mut Current, name: UserAddress, flags: u32) -> SyscallResult {
    check_flags(flags, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)?;
    let both = MFD_NOEXEC_SEAL | MFD_EXEC;
    if flags & both == both {
        return Err(Errno::EINVAL);
    }
    let name = current.mm.read_string(name, NAME_ROOM).await?.ok_or(Errno::EINVAL)?;
    let name = [&b"memfd:"[..], &name].concat();
    let credentials = current.credentials();
    let no_execute = flags & MFD_NOEXEC_SEAL != 0;
    let new = NewInode {
        node: NewNode::Regular,
        permissions: if no_execute { 0o666 } else { 0o777 },
        uid: credentials.fs_uid,
        gid: credentials.fs_gid,
    };
    let (store, mount) = current.kernel.vfs.memory_files(&current.kernel);
    let inode = TmpfsInode::new(&store, new);
    let file = RegularFile::new(inode.clone());
    if flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) != 0 {
        file.allow_seals();
    }
    let dentry = Dentry::unnamed(&mount.root, &name, inode);
    let path = Path { mount, dentry };
    let flags_of_file = OpenFlags::READ_WRITE | OpenFlags::LARGE_FILE;
    let open = OpenFile::new(Arc::new(file), Some(path), flags_of_file);
    install(current, open, flags & MFD_CLOEXEC != 0)
}
