//! uname(2), sethostname(2), setdomainname(2).

use alloc::vec::Vec;

use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Current, KERNEL_RELEASE, KERNEL_VERSION},
    mm::UserAddress,
    syscalls::SyscallResult,
};

/// Size of each field of `struct utsname`.
const FIELD: usize = 65;
/// Longest name in bytes.
const MAX_NAME: usize = 64;

/// uname(2).
pub async fn uname(current: &mut Current, buffer: UserAddress) -> SyscallResult {
    let names = current.container().uts.read().clone();
    let fields: [&[u8]; 6] = [
        b"Linux",
        &names.host,
        KERNEL_RELEASE.as_bytes(),
        KERNEL_VERSION.as_bytes(),
        b"x86_64",
        if names.domain.is_empty() { b"(none)" } else { &names.domain },
    ];
    let mut bytes = [0; 6 * FIELD];
    for (place, field) in bytes.chunks_exact_mut(FIELD).zip(fields) {
        place.iter_mut().zip(field.iter().take(MAX_NAME)).for_each(|(to, from)| *to = *from);
    }
    current.mm.copy_out(buffer, &bytes).await?;
    Ok(0)
}

async fn read_name(current: &Current, name: UserAddress, length: i32) -> Result<Vec<u8>> {
    if !current.credentials().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_NAME);
    let mut bytes = alloc::vec![0; length.ok_or(Errno::EINVAL)?];
    current.mm.copy_in(name, &mut bytes).await?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}

/// sethostname(2).
pub async fn sethostname(current: &mut Current, name: UserAddress, length: i32) -> SyscallResult {
    let name = read_name(current, name, length).await?;
    current.container().uts.write().host = name;
    Ok(0)
}

/// setdomainname(2).
pub async fn setdomainname(current: &mut Current, name: UserAddress, length: i32) -> SyscallResult {
    let name = read_name(current, name, length).await?;
    current.container().uts.write().domain = name;
    Ok(0)
}
