//! Calls that make files without a name.

pub mod event_fd;
pub mod message_queue;
pub mod pipe;
pub mod signal_fd;
pub mod timer_fd;

use alloc::sync::Arc;

use super::SyscallResult;
use crate::{
    errno::{Errno, Result},
    kernel::{Current, Resource},
    mm::UserAddress,
    syscalls::FileDescriptor,
    vfs::{File, OpenFile, OpenFlags},
};

/// What O_CLOEXEC and O_NONBLOCK say of a new descriptor. All these calls give the flags their own
/// names and the values of open(2).
#[derive(Clone, Copy, Debug)]
pub struct NewDescriptor {
    /// O_CLOEXEC.
    pub close_on_exec: bool,
    /// Access mode and status flags.
    pub flags: OpenFlags,
}

impl NewDescriptor {
    /// From the flags of a call; it knows `others` besides.
    ///
    /// # Errors
    /// EINVAL for unknown flags.
    pub fn new(flags: u32, others: u32) -> Result<Self> {
        let common = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NON_BLOCKING;
        if flags & !(common.bits() | others) != 0 {
            return Err(Errno::EINVAL);
        }
        let given = OpenFlags::from_bits_truncate(flags);
        Ok(Self {
            close_on_exec: given.contains(OpenFlags::CLOSE_ON_EXEC),
            flags: OpenFlags::READ_WRITE | (given & OpenFlags::NON_BLOCKING),
        })
    }

    /// The same with another access mode.
    pub fn with_access(self, access: OpenFlags) -> Self {
        Self { flags: (self.flags - OpenFlags::READ_WRITE) | access, ..self }
    }

    /// Opens two files, each with its own settings, and writes the two descriptors to `address`.
    ///
    /// # Errors
    /// EMFILE, EFAULT; neither is open then.
    pub async fn install_pair(
        current: &Current,
        one: (Self, Arc<dyn File>),
        other: (Self, Arc<dyn File>),
        address: UserAddress,
    ) -> SyscallResult {
        let one = one.0.install(current, one.1)?;
        let error = match other.0.install(current, other.1) {
            Ok(other) => match current.mm.write(address, &[one.0, other.0]).await {
                Ok(()) => return Ok(0),
                Err(errno) => {
                    current.files.close(other)?;
                    errno
                }
            },
            Err(errno) => errno,
        };
        current.files.close(one)?;
        Err(error)
    }

    /// Opens `file` so, at the lowest free descriptor.
    ///
    /// # Errors
    /// EMFILE.
    pub fn install(self, current: &Current, file: Arc<dyn File>) -> Result<FileDescriptor> {
        let open = OpenFile::new(file, None, self.flags);
        let limit = current.process().limit(Resource::OpenFiles).soft;
        current.files.install(open, self.close_on_exec, limit)
    }
}

/// A descriptor as the result of a call.
pub fn answer(descriptor: FileDescriptor) -> SyscallResult {
    Ok(u64::from(descriptor.0.unsigned_abs()))
}
