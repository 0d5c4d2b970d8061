//! Memory that the guest gives back: free-page reporting, by a port instead of a balloon device,
//! because the sentry does it only when it has nothing else to do, in blocks of megabytes.

use std::{
    fs::File,
    ops::Range,
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
};

use vmm_sys_util::write_zeroes::PunchHole;

/// Size of a frame in bytes.
const FRAME_BYTES: u64 = 4096;

/// The part of sandbox memory that the sentry hands out, and may so give back.
#[derive(Debug)]
pub struct ReturnableMemory {
    file: Mutex<File>,
    range: Range<u64>,
}

impl ReturnableMemory {
    /// The bytes of `range` in the file `memory`.
    pub fn new(memory: OwnedFd, range: Range<u64>) -> Self {
        Self { file: Mutex::new(File::from(memory)), range }
    }

    /// Frees `2^order` frames from the one whose number is in `first`, a 32-bit word (see
    /// [`guest_abi::kvm::RELEASE_PORT_BASE`]): they read as zero from now on. Both are the guest's;
    /// fails if they name anything but returnable memory.
    pub fn release(&self, first: &[u8], order: u16) -> Result<(), String> {
        let bytes = named_bytes(first, order)
            .filter(|bytes| self.range.start <= bytes.start && bytes.end <= self.range.end)
            .ok_or_else(|| {
                format!("the guest gave back memory that it has not: {first:?}, order {order}")
            })?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.punch_hole(bytes.start, bytes.end - bytes.start)
            .map_err(|error| format!("cannot free guest memory: {error}"))
    }
}

fn named_bytes(first: &[u8], order: u16) -> Option<Range<u64>> {
    let first = u64::from(u32::from_le_bytes(first.try_into().ok()?)) * FRAME_BYTES;
    let length = FRAME_BYTES.checked_shl(order.into())?;
    Some(first..first.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn released_frames_read_as_zero_and_others_stay() {
        let file = tempfile();
        file.write_all_at(&[7; 16 * 4096], 0).unwrap();
        let memory = ReturnableMemory::new(file.try_clone().unwrap().into(), 4096..16 * 4096);
        memory.release(&2_u32.to_le_bytes(), 1).unwrap();
        let byte_of = |frame: u64| {
            let mut byte = [1];
            file.read_exact_at(&mut byte, frame * 4096).unwrap();
            byte[0]
        };
        assert_eq!([1, 2, 3, 4].map(byte_of), [7, 0, 0, 7]);
    }

    #[test]
    fn what_the_guest_has_not_is_refused() {
        let file = tempfile();
        let memory = ReturnableMemory::new(file.into(), 4096..16 * 4096);
        for (first, order) in [(0_u32, 0), (15, 1), (16, 0), (1, 31), (u32::MAX, 63), (1, 64)] {
            assert!(memory.release(&first.to_le_bytes(), order).is_err(), "{first} {order}");
        }
        assert!(memory.release(&[2], 0).is_err());
    }

    fn tempfile() -> File {
        // SAFETY: the name is a string, and the descriptor is nobody else's.
        unsafe {
            use std::os::fd::FromRawFd;
            File::from_raw_fd(libc::memfd_create(c"test".as_ptr(), 0))
        }
    }
}
