//! The vDSO: a small shared object mapped into every program, so that clocks are read without a
//! system call (vdso(7)). Its code is in sentry/vdso; below it lies a page of parameters.

use alloc::{sync::Arc, vec::Vec};

use spin::{Once, mutex::SpinMutex};

use crate::{
    errno::{Errno, Result},
    kernel::Kernel,
    memory::{FrameRef, PAGE_SIZE},
    mm::{MapRequest, MapSource, Mm},
    platform::{ClockParameters, Protection},
};

/// The shared object.
const IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));

/// Offsets in the page of parameters: `Parameters` of vdso/vdso.rs.
mod offset {
    pub const SEQUENCE: u64 = 0;
    pub const USABLE: u64 = 4;
    pub const BASE_TSC: u64 = 8;
    pub const BASE_MONOTONIC: u64 = 16;
    pub const REALTIME_OFFSET: u64 = 24;
    pub const MULTIPLIER: u64 = 32;
    pub const SHIFT: u64 = 36;
}

/// The frames of the vDSO, shared by all programs.
#[derive(Default)]
pub struct Vdso {
    frames: Once<Frames>,
    /// What the page of parameters says.
    written: SpinMutex<Option<ClockParameters>>,
}

struct Frames {
    parameters: Arc<[FrameRef]>,
    image: Arc<[FrameRef]>,
}

impl Vdso {
    /// Maps it into `mm` and answers the address of the image (AT_SYSINFO_EHDR).
    ///
    /// # Errors
    /// ENOMEM.
    pub fn map(&self, kernel: &Kernel, mm: &Mm) -> Result<u64> {
        let frames = self.frames.try_call_once(|| Frames::new(kernel))?;
        self.update(kernel, frames)?;
        let length = (PAGE_SIZE * (1 + frames.image.len())) as u64;
        let none = Protection::empty();
        let base = mm.map(MapRequest::new(length, none, MapSource::Anonymous))?;
        let parameters = MapSource::Frames(frames.parameters.clone());
        let page = PAGE_SIZE as u64;
        mm.map(MapRequest::new(page, Protection::READ, parameters).fixed(base).named("[vvar]"))?;
        let code = Protection::READ | Protection::EXECUTE;
        let image = MapSource::Frames(frames.image.clone());
        mm.map(MapRequest::new(length - page, code, image).fixed(base + page).named("[vdso]"))?;
        Ok(base + page)
    }

    /// Tells programs the clock parameters of the platform, if they have changed.
    fn update(&self, kernel: &Kernel, frames: &Frames) -> Result<()> {
        let Some(new) = kernel.platform.clock_parameters() else { return Ok(()) };
        let mut written = self.written.lock();
        if *written != Some(new) {
            frames.write(kernel, &new).map_err(|_| Errno::ENOMEM)?;
            *written = Some(new);
        }
        Ok(())
    }
}

impl Frames {
    fn new(kernel: &Kernel) -> Result<Self> {
        let parameters = kernel.frames.allocate_one()?;
        let mut image: Vec<FrameRef> = Vec::new();
        for page in IMAGE.chunks(PAGE_SIZE) {
            let frame = kernel.frames.allocate_one()?;
            let memory = kernel.platform.memory();
            memory.write(frame.frame().address(), page).map_err(|_| Errno::ENOMEM)?;
            image.push(frame);
        }
        Ok(Self { parameters: Arc::from([parameters]), image: image.into() })
    }

    /// Writes `new` under the sequence count.
    fn write(
        &self,
        kernel: &Kernel,
        new: &ClockParameters,
    ) -> core::result::Result<(), crate::memory::OutOfRange> {
        use core::sync::atomic::{Ordering, fence};

        let Some(frame) = self.parameters.first() else { return Ok(()) };
        let (memory, base) = (kernel.platform.memory(), frame.frame().address());
        let sequence = memory.atomic_u32(base + offset::SEQUENCE)?;
        sequence.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::Release);
        let set = |at, value| -> core::result::Result<(), crate::memory::OutOfRange> {
            memory.atomic_u64(base + at)?.store(value, Ordering::Relaxed);
            Ok(())
        };
        set(offset::BASE_TSC, new.base_tsc)?;
        set(offset::BASE_MONOTONIC, new.base_monotonic_nanoseconds)?;
        set(offset::REALTIME_OFFSET, new.realtime_offset_nanoseconds)?;
        memory.atomic_u32(base + offset::MULTIPLIER)?.store(new.multiplier, Ordering::Relaxed);
        memory.atomic_u32(base + offset::SHIFT)?.store(new.shift, Ordering::Relaxed);
        memory.atomic_u32(base + offset::USABLE)?.store(1, Ordering::Relaxed);
        sequence.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::elf::{HEADER_SIZE, Header, Image};

    #[test]
    fn the_image_is_one_segment_and_asks_for_no_relocation() {
        let head: &[u8; HEADER_SIZE] = IMAGE[..HEADER_SIZE].try_into().unwrap();
        let header = Header::parse(head).unwrap();
        let table = &IMAGE[header.table_offset as usize..][..header.table_size];
        let image = Image::parse(&header, table, 1 << 47).unwrap();
        assert_eq!(image.segments.len(), 1);
        assert_eq!(image.segments[0].file_size, image.segments[0].memory_size);
        assert_eq!((image.start(), image.segments[0].offset), (0, 0));
        let names: &[&[u8]] = &[b"__vdso_clock_gettime\0", b"__vdso_getcpu\0", b"LINUX_2.6\0"];
        for name in names {
            assert!(IMAGE.windows(name.len()).any(|window| window == *name));
        }
    }
}
