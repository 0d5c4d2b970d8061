//! Shared memory (shmget(2), shmop(2), shmctl(2)).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, READ, WRITE, find, find_for_stat, find_owned,
    stat_answer,
};
use crate::{
    errno::{Errno, Result},
    ipc::{Attachment, Object, Segment, UserPermission},
    kernel::{Capabilities, Credentials, Current, settings},
    memory::PAGE_SIZE,
    mm::{MapRequest, MapSource, Mapping, Placement, UserAddress, VmaFlags},
    platform::Protection,
    syscalls::SyscallResult,
    vfs::OpenFlags,
};

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;

const SHM_RDONLY: u32 = 0o10000;
const SHM_RND: u32 = 0o20000;
const SHM_REMAP: u32 = 0o40000;
const SHM_EXEC: u32 = 0o100000;
const SHM_HUGETLB: u32 = 0o4000;
/// In `mode`: the segment goes with its last user.
const SHM_DEST: u32 = 0o1000;

const PAGE: u64 = PAGE_SIZE as u64;

/// `struct shmid64_ds`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Status {
    permission: UserPermission,
    size: u64,
    attached: i64,
    detached: i64,
    changed: i64,
    creator: u32,
    last_user: u32,
    attachments: u64,
    unused: [u64; 2],
}

/// `struct shminfo64`.
#[derive(Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Limits {
    largest: u64,
    smallest: u64,
    segments: u64,
    segments_of_process: u64,
    pages: u64,
    unused: [u64; 4],
}

/// `struct shm_info`.
#[derive(Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Usage {
    segments: u64,
    pages: u64,
    resident: u64,
    swapped: u64,
    swap_attempts: u64,
    swap_successes: u64,
}

/// shmget(2).
///
/// # Errors
/// As shmget(2); EINVAL for huge pages.
pub fn shmget(current: &mut Current, key: i32, size: u64, flags: u32) -> SyscallResult {
    if flags & SHM_HUGETLB != 0 {
        return Err(Errno::EINVAL);
    }
    let kernel = &current.kernel;
    let pid = current.process().pid();
    let fits = |segment: &Segment| if size <= segment.size { Ok(()) } else { Err(Errno::EINVAL) };
    let make = |permission| {
        let total = kernel.frames.total_frames() as u64 * PAGE;
        match size {
            0 => Err(Errno::EINVAL),
            size if size > kernel.settings.number(settings::SHARED_SIZE, 0) => Err(Errno::EINVAL),
            size if size > total => Err(Errno::ENOMEM),
            size => Segment::new(kernel, permission, size, pid),
        }
    };
    let most = kernel.settings.size(settings::SHARED_SEGMENTS, 0);
    let segments = &current.container().ipc.segments;
    let id = segments.get(key, flags, &current.credentials(), most, fits, make)?;
    Ok(u64::from(id.unsigned_abs()))
}

/// shmat(2).
///
/// # Errors
/// As shmat(2).
pub fn shmat(current: &mut Current, id: i32, address: u64, flags: u32) -> SyscallResult {
    let read_only = flags & SHM_RDONLY != 0;
    let execute = flags & SHM_EXEC != 0;
    let wanted = READ | if read_only { 0 } else { WRITE } | if execute { 0o111 } else { 0 };
    let kernel = current.kernel.clone();
    let registry = &current.container().ipc.segments;
    let segment = find(current, registry, id, wanted)?;
    let access = if read_only { OpenFlags::empty() } else { OpenFlags::READ_WRITE };
    let open = segment.attach(&kernel, registry, (id, current.process().pid()), access);
    let mut protection = Protection::READ;
    protection.set(Protection::WRITE, !read_only);
    protection.set(Protection::EXECUTE, execute);
    let cache = open.file.page_cache()?;
    let source = MapSource::File { cache, offset: 0, file: Some(open) };
    let mut request = MapRequest::new(segment.size, protection, source);
    request.flags = VmaFlags::SHARED;
    request.placement = placement(address, flags)?;
    if read_only {
        request.allowed.remove(Protection::WRITE);
    }
    current.mm.map(request).map_err(|errno| match errno {
        Errno::EEXIST => Errno::EINVAL,
        errno => errno,
    })
}

fn placement(address: u64, flags: u32) -> Result<Placement> {
    let rounded = if flags & SHM_RND != 0 { address & !(PAGE - 1) } else { address };
    match address {
        0 if flags & SHM_REMAP != 0 => Err(Errno::EINVAL),
        0 => Ok(Placement::Anywhere(0)),
        _ if !rounded.is_multiple_of(PAGE) => Err(Errno::EINVAL),
        _ if flags & SHM_REMAP != 0 => Ok(Placement::Fixed(rounded)),
        _ => Ok(Placement::FixedNoReplace(rounded)),
    }
}

/// shmdt(2).
///
/// # Errors
/// EINVAL if no segment was attached at `address`.
pub fn shmdt(current: &mut Current, address: u64) -> SyscallResult {
    let mappings = current.mm.mappings(false);
    let is_start = |mapping: &&Mapping| {
        mapping.range.start.checked_sub(mapping.offset) == Some(address) && attached(mapping)
    };
    let first = mappings.iter().find(is_start).ok_or(Errno::EINVAL)?;
    let file = first.file.clone().ok_or(Errno::EINVAL)?;
    // Parts of it may have been unmapped or protected otherwise.
    for mapping in &mappings {
        let same =
            mapping.file.as_ref().is_some_and(|other| alloc::sync::Arc::ptr_eq(other, &file));
        if same && mapping.range.start.checked_sub(mapping.offset) == Some(address) {
            let range = mapping.range.clone();
            current.mm.unmap(range.start, range.end - range.start)?;
        }
    }
    drop(mappings);
    if let Some(attachment) = file.downcast::<Attachment>() {
        attachment.segment().note_detached(&current.kernel, current.process().pid());
    }
    Ok(0)
}

fn attached(mapping: &Mapping) -> bool {
    mapping.file.as_ref().is_some_and(|open| open.downcast::<Attachment>().is_some())
}

/// shmctl(2).
///
/// # Errors
/// As shmctl(2).
pub async fn shmctl(
    current: &mut Current,
    id: i32,
    command: i32,
    buffer: UserAddress,
) -> SyscallResult {
    let kernel = current.kernel.clone();
    let registry = &current.container().ipc.segments;
    match command {
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let (id, segment) = find_for_stat(current, registry, id, command, SHM_STAT_ANY)?;
            let status = status(id, &segment, &current.credentials());
            current.mm.write(buffer, &status).await?;
            Ok(stat_answer(command, id))
        }
        IPC_SET => {
            let status: Status = current.mm.read(buffer).await?;
            let segment = find_owned(current, registry, id)?;
            segment.permission().lock().change(&status.permission, &current.credentials())?;
            segment.note_changed(&kernel);
            Ok(0)
        }
        IPC_RMID => {
            let segment = find_owned(current, registry, id)?;
            registry.remove_when_unused(id, &segment);
            Ok(0)
        }
        // Segments are never swapped out, locked or not.
        SHM_LOCK | SHM_UNLOCK => {
            let segment = registry.find(id)?;
            let privileged = current.credentials().has(Capabilities::IPC_LOCK);
            if !privileged {
                segment.permission().lock().check_control(&current.credentials())?;
            }
            Ok(0)
        }
        IPC_INFO => {
            let segments = kernel.settings.number(settings::SHARED_SEGMENTS, 0);
            let limits = Limits {
                largest: kernel.settings.number(settings::SHARED_SIZE, 0),
                smallest: 1,
                segments,
                segments_of_process: segments,
                pages: kernel.settings.number(settings::SHARED_PAGES, 0),
                unused: [0; 4],
            };
            current.mm.write(buffer, &limits).await?;
            Ok(registry.highest_place())
        }
        SHM_INFO => {
            let mut usage = Usage::default();
            for (_, segment) in registry.all() {
                usage.segments += 1;
                usage.pages += segment.size.div_ceil(PAGE);
                usage.resident += segment.resident_pages();
            }
            current.mm.write(buffer, &usage).await?;
            Ok(registry.highest_place())
        }
        _ => Err(Errno::EINVAL),
    }
}

fn status(id: i32, segment: &Segment, reader: &Credentials) -> Status {
    let state = segment.state();
    let mut permission = segment.permission().lock().to_user(id, reader);
    if state.removed {
        permission.mode |= SHM_DEST;
    }
    Status {
        permission,
        size: segment.size,
        attached: state.attached,
        detached: state.detached,
        changed: state.changed,
        creator: state.creator,
        last_user: state.last_user,
        attachments: segment.attachments(),
        unused: [0; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!([size_of::<Status>(), size_of::<Limits>(), size_of::<Usage>()], [112, 72, 48]);
    }

    #[test]
    fn addresses_are_rounded_if_asked() {
        assert_eq!(placement(4097, SHM_RND), Ok(Placement::FixedNoReplace(4096)));
        assert_eq!(placement(4097, 0), Err(Errno::EINVAL));
        assert_eq!(placement(0, SHM_REMAP), Err(Errno::EINVAL));
        assert_eq!(placement(8192, SHM_REMAP), Ok(Placement::Fixed(8192)));
    }
}
