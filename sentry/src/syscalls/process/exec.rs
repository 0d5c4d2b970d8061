//! execve(2) and execveat(2).

use alloc::{format, sync::Arc, vec, vec::Vec};

use crate::{
    errno::{Errno, Result},
    kernel::{Current, Resource},
    loader::{MAX_STRING, open_program, open_program_path},
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{Caller, FileKind, OpenFile, PATH_MAX, Path, WalkContext, WalkFlags, walk},
};

const AT_FDCWD: i32 = -100;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EMPTY_PATH: u32 = 0x1000;
/// Strings beyond which no list is read: each takes at least nine bytes of at most 6 MiB.
const MAX_STRINGS: usize = (6 << 20) / 9;

/// execve(2).
pub async fn execve(
    current: &mut Current,
    path: UserAddress,
    arguments: UserAddress,
    environment: UserAddress,
) -> SyscallResult {
    execveat(current, FileDescriptor(AT_FDCWD), path, arguments, environment, 0).await
}

/// execveat(2).
pub async fn execveat(
    current: &mut Current,
    directory: FileDescriptor,
    path: UserAddress,
    arguments: UserAddress,
    environment: UserAddress,
    flags: u32,
) -> SyscallResult {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = current.mm.read_string(path, PATH_MAX).await?.ok_or(Errno::ENAMETOOLONG)?;
    let (file, shown_name) = open(current, directory, &name, flags).await?;
    let limit = current.process().limit(Resource::Stack).soft;
    let mut room = usize::try_from(limit / 4).unwrap_or(usize::MAX).clamp(128 << 10, 6 << 20);
    let mut arguments = read_strings(current, arguments, &mut room).await?;
    let environment = read_strings(current, environment, &mut room).await?;
    if arguments.is_empty() {
        // As Linux since 5.18: programs rely on a name being there.
        arguments = vec![Vec::new()];
    }
    current.execute(file, shown_name, arguments, environment).await?;
    Ok(0)
}

/// Opens the program and answers the name it is known by.
async fn open(
    current: &Current,
    directory: FileDescriptor,
    name: &[u8],
    flags: u32,
) -> Result<(Arc<OpenFile>, Vec<u8>)> {
    let credentials = current.credentials();
    let root = current.fs.root();
    let context = WalkContext {
        caller: Caller {
            kernel: &current.kernel,
            task: Some(&current.task),
            credentials: &credentials,
        },
        root: &root,
        umask: current.fs.umask(),
    };
    if name.is_empty() {
        if flags & AT_EMPTY_PATH == 0 {
            return Err(Errno::ENOENT);
        }
        let path = descriptor_path(current, directory)?;
        let file = open_program_path(&context, path).await?;
        return Ok((file, format!("/dev/fd/{}", directory.0).into_bytes()));
    }
    let from_cwd = name.starts_with(b"/") || directory.0 == AT_FDCWD;
    let start = if from_cwd {
        current.fs.working_directory()
    } else {
        descriptor_path(current, directory)?
    };
    let shown = if from_cwd {
        name.to_vec()
    } else {
        [format!("/dev/fd/{}/", directory.0).as_bytes(), name].concat()
    };
    if flags & AT_SYMLINK_NOFOLLOW != 0 {
        let path = walk(&context, &start, name, WalkFlags::empty()).await?;
        if path.inode().kind() == FileKind::SymbolicLink {
            return Err(Errno::ELOOP);
        }
        return Ok((open_program_path(&context, path).await?, shown));
    }
    Ok((open_program(&context, &start, name).await?, shown))
}

fn descriptor_path(current: &Current, descriptor: FileDescriptor) -> Result<Path> {
    if descriptor.0 == AT_FDCWD {
        return Ok(current.fs.working_directory());
    }
    current.files.get_any(descriptor)?.path.clone().ok_or(Errno::EACCES)
}

/// Reads a NULL-terminated list of strings; a null list is an empty one. `room` is what both lists
/// may take.
async fn read_strings(
    current: &Current,
    list: UserAddress,
    room: &mut usize,
) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if list.is_null() {
        return Ok(strings);
    }
    for index in 0..MAX_STRINGS {
        let address: u64 = current.mm.read(list.offset(index as u64 * 8)?).await?;
        if address == 0 {
            return Ok(strings);
        }
        let string = current.mm.read_string(UserAddress(address), MAX_STRING).await?;
        let string = string.ok_or(Errno::E2BIG)?;
        *room = room.checked_sub(string.len() + 9).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
    Err(Errno::E2BIG)
}
