//! Bounds-checked access to the sandbox's physical memory.
//!
//! The one place where the sentry turns a physical address into a pointer. User code, other
//! executors and device back ends write this memory at any time, so nothing here makes a Rust
//! reference to it: bytes are copied, and words that must be whole are atomics.
#![allow(
    unsafe_code,
    reason = "leaf module: raw access to memory shared with user code and devices"
)]

use core::{
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64},
};

use smallvec::SmallVec;

/// An access outside every region, or a misaligned atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

/// One contiguous range of physical memory and where it is mapped.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    base: u64,
    length: usize,
    pointer: NonNull<u8>,
}

// SAFETY: a region is plain shared memory; every access below is a volatile-like copy or an atomic.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Describes `length` bytes of physical memory from `base`, mapped at `pointer`.
    ///
    /// # Safety
    /// The memory must stay mapped readable and writable for as long as any copy of the region, or a
    /// [`SharedU16`] in it, is used, be page aligned in both respects, and belong to no Rust object.
    pub const unsafe fn new(base: u64, length: usize, pointer: NonNull<u8>) -> Self {
        Self { base, length, pointer }
    }

    /// Physical address of its first byte.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Its size in bytes.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The word at physical `address`, if it lies in the region and is aligned.
    #[inline]
    pub fn atomic_u64(&self, address: u64) -> Option<&AtomicU64> {
        self.atomic(address)
    }

    /// The atomic of type `T` at physical `address`, if it lies in the region and is aligned.
    #[inline]
    fn atomic<T: Atomic>(&self, address: u64) -> Option<&T> {
        let pointer = self.pointer(address, size_of::<T>())?.cast::<T>();
        // SAFETY: inside the mapping, which is page aligned as its physical address is; all access
        // through a reference is atomic.
        address.is_multiple_of(size_of::<T>() as u64).then(|| unsafe { &*pointer })
    }

    /// Pointer to `length` bytes at physical `address`, if they all lie in the region.
    #[inline]
    fn pointer(&self, address: u64, length: usize) -> Option<*mut u8> {
        // An address below the base becomes one far above the end.
        let offset = usize::try_from(address.wrapping_sub(self.base)).ok()?;
        if offset > self.length || length > self.length - offset {
            return None;
        }
        // SAFETY: offset <= self.length, so the result is inside or one past the mapping.
        Some(unsafe { self.pointer.as_ptr().add(offset) })
    }
}

/// All physical memory of the sandbox: sandbox memory first, then the device windows.
#[derive(Clone, Debug)]
pub struct PhysicalMemory {
    ram: Region,
    windows: SmallVec<[Region; 8]>,
}

impl PhysicalMemory {
    /// Memory made of sandbox memory `ram` and the device `windows`.
    pub fn new(ram: Region, windows: impl IntoIterator<Item = Region>) -> Self {
        Self { ram, windows: windows.into_iter().collect() }
    }

    /// Sandbox memory alone: what frames and page tables are in.
    #[inline]
    pub const fn ram(&self) -> Region {
        self.ram
    }

    /// Size of sandbox memory in bytes.
    pub fn ram_size(&self) -> usize {
        self.ram.length
    }

    #[inline]
    fn pointer(&self, address: u64, length: usize) -> Result<*mut u8, OutOfRange> {
        match self.ram.pointer(address, length) {
            Some(pointer) => Ok(pointer),
            None => self.window_pointer(address, length),
        }
    }

    #[cold]
    fn window_pointer(&self, address: u64, length: usize) -> Result<*mut u8, OutOfRange> {
        self.windows.iter().find_map(|region| region.pointer(address, length)).ok_or(OutOfRange)
    }

    /// Copies physical memory from `address` into `destination`.
    ///
    /// # Errors
    /// [`OutOfRange`] if a byte lies outside; nothing is copied then.
    pub fn read(&self, address: u64, destination: &mut [u8]) -> Result<(), OutOfRange> {
        let source = self.pointer(address, destination.len())?;
        // SAFETY: `source` is valid for the length (checked); a Rust object never overlaps a region.
        // Concurrent writers can only make the copied bytes arbitrary.
        unsafe { source.copy_to_nonoverlapping(destination.as_mut_ptr(), destination.len()) };
        Ok(())
    }

    /// Copies `source` to physical memory at `address`.
    ///
    /// # Errors
    /// [`OutOfRange`] if a byte lies outside; nothing is copied then.
    pub fn write(&self, address: u64, source: &[u8]) -> Result<(), OutOfRange> {
        let destination = self.pointer(address, source.len())?;
        // SAFETY: as in `read`.
        unsafe { destination.copy_from_nonoverlapping(source.as_ptr(), source.len()) };
        Ok(())
    }

    /// Copies `length` bytes from physical `from` to physical `to`; the ranges may overlap.
    ///
    /// # Errors
    /// [`OutOfRange`] if a byte lies outside; nothing is copied then.
    pub fn copy(&self, from: u64, to: u64, length: usize) -> Result<(), OutOfRange> {
        let source = self.pointer(from, length)?;
        let destination = self.pointer(to, length)?;
        // SAFETY: both ranges are valid for the length (checked); `copy` allows overlap.
        unsafe { destination.copy_from(source, length) };
        Ok(())
    }

    /// Sets `length` bytes at `address` to zero.
    ///
    /// # Errors
    /// [`OutOfRange`] if a byte lies outside; nothing is written then.
    pub fn zero(&self, address: u64, length: usize) -> Result<(), OutOfRange> {
        let destination = self.pointer(address, length)?;
        // SAFETY: the range is valid for the length (checked).
        unsafe { destination.write_bytes(0, length) };
        Ok(())
    }
}

/// A word of physical memory whose place was looked up once: for what is read over and over.
#[derive(Clone, Copy, Debug)]
pub struct SharedU16(NonNull<AtomicU16>);

// SAFETY: it only leads to an atomic.
unsafe impl Send for SharedU16 {}
// SAFETY: as above.
unsafe impl Sync for SharedU16 {}

impl PhysicalMemory {
    /// The word at physical `address`.
    ///
    /// # Errors
    /// [`OutOfRange`] if it lies outside or is not aligned.
    pub fn shared_u16(&self, address: u64) -> Result<SharedU16, OutOfRange> {
        self.atomic_u16(address).map(|word| SharedU16(NonNull::from(word)))
    }
}

impl Deref for SharedU16 {
    type Target = AtomicU16;

    fn deref(&self) -> &AtomicU16 {
        // SAFETY: it was found inside a region, whose memory stays mapped (see `Region::new`).
        unsafe { self.0.as_ref() }
    }
}

/// Types through which memory may be shared: any bits are valid, and all access is atomic.
trait Atomic {}

/// Defines an accessor of an aligned atomic in physical memory.
macro_rules! atomic_accessor {
    ($name:ident, $type:ty) => {
        impl Atomic for $type {}

        impl PhysicalMemory {
            /// The atomic at physical `address`, shared with whoever else maps the memory.
            ///
            /// # Errors
            /// [`OutOfRange`] if it lies outside or is not naturally aligned.
            #[inline]
            pub fn $name(&self, address: u64) -> Result<&$type, OutOfRange> {
                let in_window = || self.windows.iter().find_map(|window| window.atomic(address));
                self.ram.atomic(address).or_else(in_window).ok_or(OutOfRange)
            }
        }
    };
}

atomic_accessor!(atomic_u8, AtomicU8);
atomic_accessor!(atomic_u16, AtomicU16);
atomic_accessor!(atomic_u32, AtomicU32);
atomic_accessor!(atomic_u64, AtomicU64);

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering;

    use super::*;

    fn memory(pages: usize) -> PhysicalMemory {
        let layout = std::alloc::Layout::from_size_align(pages * 4096, 4096).unwrap();
        // SAFETY: the layout is not empty; the memory is leaked, so it outlives the region.
        let region = unsafe {
            let pointer = NonNull::new(std::alloc::alloc_zeroed(layout)).unwrap();
            Region::new(0, pages * 4096, pointer)
        };
        PhysicalMemory::new(region, [])
    }

    #[test]
    fn reads_back_what_was_written() {
        let memory = memory(2);
        memory.write(4090, b"across pages").unwrap();
        let mut bytes = [0; 12];
        memory.read(4090, &mut bytes).unwrap();
        assert_eq!(&bytes, b"across pages");
    }

    #[test]
    fn rejects_ranges_that_leave_memory() {
        let memory = memory(1);
        assert_eq!(memory.write(4095, b"ab"), Err(OutOfRange));
        assert_eq!(memory.read(u64::MAX, &mut [0; 2]), Err(OutOfRange));
        assert_eq!(memory.zero(4097, 0), Err(OutOfRange));
        assert_eq!(memory.zero(4096, 0), Ok(()));
    }

    #[test]
    fn atomics_must_be_aligned() {
        let memory = memory(1);
        memory.atomic_u32(8).unwrap().store(5, Ordering::Relaxed);
        assert_eq!(memory.atomic_u32(8).unwrap().load(Ordering::Relaxed), 5);
        assert!(memory.atomic_u32(6).is_err());
    }
}
