//! madvise(2).

use crate::{
    errno::Errno, kernel::Current, memory::PAGE_SIZE, mm::Advice, platform::Access,
    syscalls::SyscallResult,
};

const MADV_WILLNEED: u32 = 3;
const MADV_POPULATE_READ: u32 = 22;
const MADV_POPULATE_WRITE: u32 = 23;

/// Advice that may be ignored: NORMAL, RANDOM, SEQUENTIAL, HUGEPAGE, NOHUGEPAGE, COLD, PAGEOUT.
const WITHOUT_EFFECT: [u32; 7] = [0, 1, 2, 14, 15, 20, 21];

/// madvise(2).
///
/// # Errors
/// As madvise(2).
pub async fn madvise(
    current: &mut Current,
    address: u64,
    length: u64,
    advice: u32,
) -> SyscallResult {
    if !address.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let mm = &current.mm;
    let access = match advice {
        MADV_WILLNEED => {
            for part in mm.file_parts(address, length, false)? {
                let length = usize::try_from(part.length).unwrap_or(usize::MAX);
                part.cache.fetch(part.offset, length).await?;
            }
            return Ok(0);
        }
        MADV_POPULATE_READ => Access::Read,
        MADV_POPULATE_WRITE => Access::Write,
        _ if WITHOUT_EFFECT.contains(&advice) => return Ok(0),
        _ => {
            mm.advise(address, length, decode(advice).ok_or(Errno::EINVAL)?)?;
            return Ok(0);
        }
    };
    mm.populate(address, length, Some(access)).await?;
    Ok(0)
}

const fn decode(advice: u32) -> Option<Advice> {
    Some(match advice {
        4 => Advice::DontNeed,
        8 => Advice::Free,
        9 => Advice::Remove,
        10 => Advice::DontFork,
        11 => Advice::DoFork,
        16 => Advice::DontDump,
        17 => Advice::DoDump,
        18 => Advice::WipeOnFork,
        19 => Advice::KeepOnFork,
        24 => Advice::DontNeedLocked,
        _ => return None,
    })
}
