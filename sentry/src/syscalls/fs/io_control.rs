//! ioctl(2): what every descriptor knows, then what the file does.

use alloc::boxed::Box;

use crate::{
    errno::{Errno, Result},
    kernel::Current,
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult},
    vfs::{FileKind, OpenFile, OpenFlags},
};

/// FIGETBSZ: the block size.
const GET_BLOCK_SIZE: u32 = 2;
/// FIONREAD.
const BYTES_READABLE: u32 = 0x541b;
/// FIONBIO.
const SET_NON_BLOCKING: u32 = 0x5421;
/// FIONCLEX.
const CLEAR_CLOSE_ON_EXEC: u32 = 0x5450;
/// FIOCLEX.
const SET_CLOSE_ON_EXEC: u32 = 0x5451;
/// FIOASYNC.
const SET_ASYNC: u32 = 0x5452;

/// ioctl(2).
///
/// # Errors
/// As ioctl(2).
pub async fn ioctl(
    current: &mut Current,
    descriptor: FileDescriptor,
    command: u32,
    argument: u64,
) -> SyscallResult {
    let open = current.files.get(descriptor)?;
    match command {
        SET_CLOSE_ON_EXEC | CLEAR_CLOSE_ON_EXEC => {
            let close = command == SET_CLOSE_ON_EXEC;
            current.files.set_close_on_exec(descriptor, close)?;
            return Ok(0);
        }
        SET_NON_BLOCKING => {
            return set_flag(current, &open, OpenFlags::NON_BLOCKING, argument).await;
        }
        SET_ASYNC => return set_flag(current, &open, OpenFlags::ASYNC, argument).await,
        _ => {}
    }
    match Box::pin(open.file.ioctl(current, command, argument)).await {
        Err(Errno::ENOTTY) => of_regular_file(current, &open, command, argument).await,
        answer => answer,
    }
}

async fn set_flag(
    current: &Current,
    open: &OpenFile,
    flag: OpenFlags,
    argument: u64,
) -> SyscallResult {
    let on: i32 = current.mm.read(UserAddress(argument)).await?;
    let mut flags = open.flags();
    flags.set(flag, on != 0);
    open.set_status_flags(flags);
    Ok(0)
}

/// What regular files know, whatever their file system.
async fn of_regular_file(
    current: &Current,
    open: &OpenFile,
    command: u32,
    argument: u64,
) -> SyscallResult {
    let path = open.path.as_ref().ok_or(Errno::ENOTTY)?;
    if path.inode().kind() != FileKind::Regular {
        return Err(Errno::ENOTTY);
    }
    let attributes = path.inode().attributes().await?;
    let value = match command {
        GET_BLOCK_SIZE => u64::from(attributes.block_size),
        BYTES_READABLE => attributes.size.saturating_sub(*open.offset().lock()),
        _ => return Err(Errno::ENOTTY),
    };
    let value: Result<i32, _> = i32::try_from(value);
    current.mm.write(UserAddress(argument), &value.unwrap_or(i32::MAX)).await?;
    Ok(0)
}
