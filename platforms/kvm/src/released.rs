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

    /// Frees what `request` names (see [`guest_abi::kvm::RELEASE_PORT`]): its pages read as zero from
    /// now on. The request is the guest's; fails if it names anything but returnable memory.
    pub fn release(&self, request: &[u8]) -> Result<(), String> {
        let bytes = named_bytes(request)
            .filter(|bytes| self.range.start <= bytes.start && bytes.end <= self.range.end)
            .ok_or_else(|| format!("the guest gave back memory that it has not: {request:?}"))?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.punch_hole(bytes.start, bytes.end - bytes.start)
            .map_err(|error| format!("cannot free guest memory: {error}"))
    }
}

/// The range of bytes in a request: two 32-bit words, the first frame and how many.
fn named_bytes(request: &[u8]) -> Option<Range<u64>> {
    let words: &[u8; 8] = request.try_into().ok()?;
    let [a, b, c, d, e, f, g, h] = *words;
    let first = u64::from(u32::from_le_bytes([a, b, c, d])) * FRAME_BYTES;
    let length = u64::from(u32::from_le_bytes([e, f, g, h])) * FRAME_BYTES;
    (length > 0).then_some(first..first + length)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn request(first: u32, count: u32) -> Vec<u8> {
        [first.to_le_bytes(), count.to_le_bytes()].concat()
    }

    #[test]
    fn released_frames_read_as_zero_and_others_stay() {
        let file = tempfile();
        file.write_all_at(&[7; 16 * 4096], 0).unwrap();
        let memory = ReturnableMemory::new(file.try_clone().unwrap().into(), 4096..16 * 4096);
        memory.release(&request(2, 3)).unwrap();
        let byte_of = |frame: u64| {
            let mut byte = [1];
            file.read_exact_at(&mut byte, frame * 4096).unwrap();
            byte[0]
        };
        assert_eq!([1, 2, 3, 4, 5].map(byte_of), [7, 0, 0, 0, 7]);
    }

    #[test]
    fn what_the_guest_has_not_is_refused() {
        let file = tempfile();
        let memory = ReturnableMemory::new(file.into(), 4096..16 * 4096);
        for (first, count) in [(0, 1), (15, 2), (16, 1), (3, 0), (u32::MAX, u32::MAX)] {
            assert!(memory.release(&request(first, count)).is_err(), "{first} {count}");
        }
        assert!(memory.release(&[0; 4]).is_err());
    }

    fn tempfile() -> File {
        // SAFETY: the name is a string, and the descriptor is nobody else's.
        unsafe {
            use std::os::fd::FromRawFd;
            File::from_raw_fd(libc::memfd_create(c"test".as_ptr(), 0))
        }
    }
}
