//! capget(2) and capset(2).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Credentials, Current},
    mm::UserAddress,
    syscalls::SyscallResult,
};

const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`: 32 bits of each set.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Reads the header and answers how many [`Sets`] follow. An unknown version is answered with the
/// one to use.
async fn read_header(current: &Current, address: UserAddress) -> Result<(Header, usize)> {
    let header: Header = current.mm.read(address).await?;
    match header.version {
        VERSION_1 => Ok((header, 1)),
        VERSION_2 | VERSION_3 => Ok((header, 2)),
        _ => {
            current.mm.write(address, &VERSION_3).await?;
            Err(Errno::EINVAL)
        }
    }
}

const fn half(set: Capabilities, index: usize) -> u32 {
    (set.bits() >> (32 * index) & 0xffff_ffff) as u32
}

/// capget(2).
pub async fn capget(
    current: &mut Current,
    header_address: UserAddress,
    data: UserAddress,
) -> SyscallResult {
    let (header, count) = match read_header(current, header_address).await {
        // Asking for the version only.
        Err(Errno::EINVAL) if data.is_null() => return Ok(0),
        other => other?,
    };
    let credentials = match u32::try_from(header.pid).map_err(|_| Errno::EINVAL)? {
        0 => current.credentials(),
        tid => current.processes().task(tid).ok_or(Errno::ESRCH)?.credentials(),
    };
    for index in 0..count {
        let sets = Sets {
            effective: half(credentials.effective, index),
            permitted: half(credentials.permitted, index),
            inheritable: half(credentials.inheritable, index),
        };
        current.mm.write(data.offset(index as u64 * 12)?, &sets).await?;
    }
    Ok(0)
}

/// capset(2).
pub async fn capset(
    current: &mut Current,
    header: UserAddress,
    data: UserAddress,
) -> SyscallResult {
    let (header, count) = read_header(current, header).await?;
    let own = header.pid == 0 || u32::try_from(header.pid) == Ok(current.task.tid());
    if !own {
        return Err(Errno::EPERM);
    }
    let mut bits = [0_u64; 3];
    for index in 0..count {
        let sets: Sets = current.mm.read(data.offset(index as u64 * 12)?).await?;
        let halves = [sets.effective, sets.permitted, sets.inheritable];
        bits.iter_mut().zip(halves).for_each(|(set, half)| *set |= u64::from(half) << (32 * index));
    }
    let [effective, permitted, inheritable] = bits.map(Capabilities::from_bits_truncate);
    let old = current.credentials();
    check(&old, effective, permitted, inheritable)?;
    let ambient = old.ambient & permitted & inheritable;
    let new = Credentials { effective, permitted, inheritable, ambient, ..(*old).clone() };
    current.task.set_credentials(new);
    Ok(0)
}

/// The rules of capset(2): capabilities(7), "Programmatically adjusting capability sets".
fn check(
    old: &Credentials,
    effective: Capabilities,
    permitted: Capabilities,
    inheritable: Capabilities,
) -> Result<()> {
    let inheritable_limit = if old.has_in_own(Capabilities::SETPCAP) {
        old.inheritable | old.bounding
    } else {
        old.inheritable | old.permitted
    };
    let allowed = inheritable_limit.contains(inheritable)
        && (old.inheritable | old.bounding).contains(inheritable)
        && old.permitted.contains(permitted)
        && permitted.contains(effective);
    if allowed { Ok(()) } else { Err(Errno::EPERM) }
}
