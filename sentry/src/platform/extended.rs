//! Vector and floating-point state of one task.

use alloc::{sync::Arc, vec, vec::Vec};
use core::ops::{Deref, DerefMut};

use spin::mutex::{SpinMutex, SpinMutexGuard};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Vector and floating-point state. It stays in the processor (KVM) or the stub (ptrace) until
/// another task needs the place, so a platform keeps a reference of its own to write it back.
#[derive(Clone, Debug)]
pub struct ExtendedState(Arc<SpinMutex<ExtendedArea>>);

/// An XSAVE area and where its truth is.
#[derive(Clone, Debug)]
pub struct ExtendedArea {
    /// The area, in the standard format; valid unless `live`.
    pub bytes: AreaBytes,
    /// The state is in the hardware and newer than `bytes`.
    pub live: bool,
}

/// Smallest area: the legacy region and the header (Intel SDM volume 1, section 13.4).
const MIN_AREA_BYTES: usize = 576;

impl ExtendedState {
    /// Initial state as after FNINIT with MXCSR 0x1f80, in an area of `size` bytes (at least 576).
    pub fn initial(size: usize) -> Self {
        let mut bytes = AreaBytes::zeroed(size.max(MIN_AREA_BYTES));
        bytes[0..2].copy_from_slice(&0x37f_u16.to_le_bytes());
        bytes[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
        Self(Arc::new(SpinMutex::new(ExtendedArea { bytes, live: false })))
    }

    /// A state of its own with the same contents, for a new task. The contents must have been
    /// saved ([`super::Platform::save_extended_state`]).
    pub fn duplicate(&self) -> Self {
        Self(Arc::new(SpinMutex::new(self.0.lock().clone())))
    }

    /// Whether both are the same state (not merely equal ones).
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Access to the area.
    pub fn lock(&self) -> SpinMutexGuard<'_, ExtendedArea> {
        self.0.lock()
    }
}

/// The bytes of an XSAVE area, aligned as the instruction demands: to 64 bytes.
#[derive(Clone, Debug)]
pub struct AreaBytes {
    lines: Vec<Line>,
    length: usize,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

const LINE_BYTES: usize = 64;

impl AreaBytes {
    fn zeroed(length: usize) -> Self {
        Self { lines: vec![Line([0; LINE_BYTES]); length.div_ceil(LINE_BYTES)], length }
    }
}

impl Deref for AreaBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.lines.as_bytes()[..self.length]
    }
}

impl DerefMut for AreaBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.lines.as_mut_bytes()[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_aligned_and_as_long_as_asked() {
        for size in [0, 576, 832, 833, 2696] {
            let state = ExtendedState::initial(size);
            let area = state.lock();
            assert_eq!(area.bytes.len(), size.max(576));
            assert_eq!(area.bytes.as_ptr().addr() % 64, 0);
        }
    }
}
