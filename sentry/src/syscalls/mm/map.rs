//! mmap(2), munmap(2), mprotect(2), mremap(2), brk(2).

use super::{PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_WRITE, protection};
use crate::{
    errno::{Errno, Result},
    fs::dev::Zero,
    kernel::Current,
    mm::{MapRequest, MapSource, Placement, RemapTarget, UserAddress, VmaFlags},
    platform::Protection,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{MountFlags, OpenFile},
};

const MAP_TYPE: u32 = 0xf;
const MAP_SHARED: u32 = 1;
const MAP_PRIVATE: u32 = 2;
const MAP_SHARED_VALIDATE: u32 = 3;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_32BIT: u32 = 0x40;
const MAP_GROWSDOWN: u32 = 0x100;
const MAP_DENYWRITE: u32 = 0x800;
const MAP_EXECUTABLE: u32 = 0x1000;
const MAP_LOCKED: u32 = 0x2000;
const MAP_NORESERVE: u32 = 0x4000;
const MAP_POPULATE: u32 = 0x8000;
const MAP_NONBLOCK: u32 = 0x1_0000;
const MAP_STACK: u32 = 0x2_0000;
const MAP_HUGETLB: u32 = 0x4_0000;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;

/// Flags that MAP_SHARED_VALIDATE knows; others are EOPNOTSUPP there and ignored elsewhere.
const KNOWN_FLAGS: u32 = MAP_TYPE
    | MAP_FIXED
    | MAP_ANONYMOUS
    | MAP_32BIT
    | MAP_GROWSDOWN
    | MAP_DENYWRITE
    | MAP_EXECUTABLE
    | MAP_LOCKED
    | MAP_NORESERVE
    | MAP_POPULATE
    | MAP_NONBLOCK
    | MAP_STACK
    | MAP_HUGETLB
    | MAP_FIXED_NOREPLACE;

const MREMAP_MAYMOVE: u64 = 1;
const MREMAP_FIXED: u64 = 2;
const MREMAP_DONTUNMAP: u64 = 4;

/// mmap(2).
///
/// # Errors
/// As mmap(2); ENOMEM for huge pages, of which there are none.
pub async fn mmap(
    current: &mut Current,
    address: u64,
    length: u64,
    protection_bits: u64,
    flags: u32,
    descriptor: FileDescriptor,
    offset: u64,
) -> SyscallResult {
    let shared = match flags & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE if flags & !KNOWN_FLAGS != 0 => return Err(Errno::EOPNOTSUPP),
        MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM);
    }
    let mut request = MapRequest::new(length, protection(protection_bits), MapSource::Anonymous);
    request.placement = placement(flags, address);
    request.no_reserve = flags & MAP_NORESERVE != 0;
    request.flags.set(VmaFlags::SHARED, shared);
    request.flags.set(VmaFlags::LOCKED, flags & MAP_LOCKED != 0);
    if flags & MAP_ANONYMOUS == 0 {
        let open = current.files.get(descriptor)?;
        set_file(&mut request, open, offset)?;
    } else if shared {
        request.source = MapSource::SharedAnonymous;
    }
    if flags & MAP_GROWSDOWN != 0 {
        if shared || flags & MAP_ANONYMOUS == 0 {
            return Err(Errno::EINVAL);
        }
        request.flags |= VmaFlags::GROWS_DOWN;
    }
    let start = current.mm.map(request)?;
    let populate = flags & MAP_LOCKED != 0 || flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE;
    if populate {
        // The mapping is made; that it could not be filled shows when it is touched.
        let _ = current.mm.populate(start, length, None).await;
    }
    Ok(start)
}

const fn placement(flags: u32, address: u64) -> Placement {
    if flags & MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedNoReplace(address)
    } else if flags & MAP_FIXED != 0 {
        Placement::Fixed(address)
    } else if flags & MAP_32BIT != 0 {
        Placement::Low
    } else {
        Placement::Anywhere(address)
    }
}

/// Makes `request` map `open`, as far as the way it was opened allows.
fn set_file(request: &mut MapRequest, open: alloc::sync::Arc<OpenFile>, offset: u64) -> Result<()> {
    let is_writable = open.flags().writable();
    if !open.flags().readable() {
        return Err(Errno::EACCES);
    }
    if request.flags.contains(VmaFlags::SHARED) && !is_writable {
        if request.protection.contains(Protection::WRITE) {
            return Err(Errno::EACCES);
        }
        request.allowed.remove(Protection::WRITE);
    }
    let mount_flags = open.path.as_ref().map_or(MountFlags::empty(), |path| path.mount.flags());
    if mount_flags.contains(MountFlags::NO_EXECUTE) {
        if request.protection.contains(Protection::EXECUTE) {
            return Err(Errno::EPERM);
        }
        request.allowed.remove(Protection::EXECUTE);
    }
    if open.downcast::<Zero>().is_some() {
        // Mapping /dev/zero is mapping nothing (mem(4)).
        let shared = request.flags.contains(VmaFlags::SHARED);
        request.source = if shared { MapSource::SharedAnonymous } else { MapSource::Anonymous };
        return Ok(());
    }
    let cache = open.file.page_cache()?;
    request.source = MapSource::File { cache, offset, file: Some(open) };
    Ok(())
}

/// munmap(2).
///
/// # Errors
/// As munmap(2).
pub fn munmap(current: &mut Current, address: u64, length: u64) -> SyscallResult {
    current.mm.unmap(address, length)?;
    Ok(0)
}

/// mprotect(2).
///
/// # Errors
/// As mprotect(2).
pub fn mprotect(
    current: &mut Current,
    address: u64,
    length: u64,
    protection_bits: u64,
) -> SyscallResult {
    let known = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN;
    // PROT_GROWSUP needs a stack that grows up, which x86-64 has not.
    if protection_bits & (PROT_GROWSUP | !known) != 0 {
        return Err(Errno::EINVAL);
    }
    let grows_down = protection_bits & PROT_GROWSDOWN != 0;
    current.mm.protect(address, length, protection(protection_bits), grows_down)?;
    Ok(0)
}

/// mremap(2).
///
/// # Errors
/// As mremap(2).
pub fn mremap(
    current: &mut Current,
    address: u64,
    old_length: u64,
    new_length: u64,
    flags: u64,
    new_address: u64,
) -> SyscallResult {
    let target = match flags & (MREMAP_MAYMOVE | MREMAP_FIXED) {
        0 => RemapTarget::InPlace,
        MREMAP_MAYMOVE => RemapTarget::Anywhere,
        MREMAP_FIXED => return Err(Errno::EINVAL),
        _ => RemapTarget::Fixed(new_address),
    };
    let keep_old = flags & MREMAP_DONTUNMAP != 0;
    let known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    if flags & !known != 0 || (keep_old && target == RemapTarget::InPlace) {
        return Err(Errno::EINVAL);
    }
    current.mm.remap(address, old_length, new_length, target, keep_old)
}

/// brk(2): the raw call answers where the break is, moved or not.
///
/// # Errors
/// None.
pub fn brk(current: &mut Current, address: UserAddress) -> SyscallResult {
    Ok(current.mm.brk(address.0))
}
