//! pipe(2).

use super::NewDescriptor;
use crate::{
    fs::pipe,
    kernel::Current,
    mm::UserAddress,
    syscalls::SyscallResult,
    vfs::{File, OpenFlags},
};

/// pipe(2).
///
/// # Errors
/// As pipe(2).
pub async fn pipe(current: &mut Current, descriptors: UserAddress) -> SyscallResult {
    pipe2(current, descriptors, 0).await
}

/// pipe2(2).
///
/// # Errors
/// As pipe2(2).
pub async fn pipe2(current: &mut Current, descriptors: UserAddress, flags: u32) -> SyscallResult {
    let new = NewDescriptor::new(flags, OpenFlags::DIRECT.bits())?;
    let packets = OpenFlags::from_bits_truncate(flags) & OpenFlags::DIRECT;
    let credentials = current.credentials();
    let (reader, writer) = pipe::create((credentials.fs_uid, credentials.fs_gid));
    writer.flags_changed(packets);
    let read_only = new.with_access(OpenFlags::empty());
    let write_only = new.with_access(OpenFlags::WRITE_ONLY | packets);
    NewDescriptor::install_pair(current, (read_only, reader), (write_only, writer), descriptors)
        .await
}
