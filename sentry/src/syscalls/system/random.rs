//! getrandom(2).

use crate::{errno::Errno, kernel::Current, mm::UserAddress, syscalls::SyscallResult};

const NON_BLOCKING: u32 = 1;
const RANDOM: u32 = 2;
const INSECURE: u32 = 4;
/// Most bytes of one call, as in Linux.
const MAX_BYTES: usize = i32::MAX as usize;

/// getrandom(2). The generator is seeded before the first task, so no flag matters.
pub async fn getrandom(
    current: &mut Current,
    buffer: UserAddress,
    length: usize,
    flags: u32,
) -> SyscallResult {
    let both = RANDOM | INSECURE;
    if flags & !(NON_BLOCKING | both) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let length = length.min(MAX_BYTES);
    let mut done = 0;
    let mut block = [0; 256];
    while done < length {
        let count = block.len().min(length - done);
        let bytes = block.get_mut(..count).unwrap_or_default();
        current.kernel.random.fill(bytes);
        let written = current.mm.copy_out(buffer.offset(done as u64)?, bytes).await;
        match written {
            Ok(()) => done += count,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
        // A long request can be ended by a signal once it has given something.
        if done >= 256 && current.task.has_deliverable_signal() {
            break;
        }
    }
    Ok(done as u64)
}
