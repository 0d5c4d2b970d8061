//! Making mappings (mmap(2)).

use super::*;
use crate::{memory::FrameRef, mm::PageCache, vfs::OpenFile};

/// What to map.
pub enum MapSource {
    /// Private zeros.
    Anonymous,
    /// Zeros shared with children (MAP_SHARED | MAP_ANONYMOUS).
    SharedAnonymous,
    /// A file.
    File {
        /// Its pages.
        cache: Arc<PageCache>,
        /// Offset of the first byte; page aligned.
        offset: u64,
        /// The open file, kept open by the mapping.
        file: Option<Arc<OpenFile>>,
    },
    /// The kernel's own frames, never writable (vDSO).
    Frames(Arc<[FrameRef]>),
}

/// Where to map it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Anywhere, if possible at this address (0: no wish).
    Anywhere(u64),
    /// Anywhere in the low 2 GiB (MAP_32BIT).
    Low,
    /// Here, replacing what is there (MAP_FIXED).
    Fixed(u64),
    /// Here, failing with EEXIST if anything is there (MAP_FIXED_NOREPLACE).
    FixedNoReplace(u64),
}

/// A mapping to make.
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Length in bytes; rounded up to pages.
    pub length: u64,
    /// What user code may do.
    pub protection: Protection,
    /// What mprotect(2) may allow later.
    pub allowed: Protection,
    /// Properties.
    pub flags: VmaFlags,
    /// Contents.
    pub source: MapSource,
    /// Name in /proc/PID/maps, as `[stack]`.
    pub name: Option<&'static str>,
    /// May be larger than memory (MAP_NORESERVE).
    pub no_reserve: bool,
}

impl MapRequest {
    /// A private mapping of `length` bytes anywhere.
    pub const fn new(length: u64, protection: Protection, source: MapSource) -> Self {
        Self {
            placement: Placement::Anywhere(0),
            length,
            protection,
            allowed: Protection::all(),
            flags: VmaFlags::empty(),
            source,
            name: None,
            no_reserve: false,
        }
    }

    /// The same at `address`, replacing what is there.
    pub fn fixed(self, address: u64) -> Self {
        Self { placement: Placement::Fixed(address), ..self }
    }

    /// The same with `flags`.
    pub fn with_flags(self, flags: VmaFlags) -> Self {
        Self { flags, ..self }
    }

    /// The same under `name`.
    pub fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }
}

impl Mm {
    /// Maps; returns the address.
    ///
    /// # Errors
    /// EINVAL for a length of 0 or unaligned numbers, ENOMEM, EEXIST, EPERM below the lowest
    /// address, EOVERFLOW past the largest file offset.
    pub fn map(&self, request: MapRequest) -> Result<u64> {
        let length = page_align(request.length).ok_or(Errno::ENOMEM)?;
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        let source = self.source_of(&request, length)?;
        let mut state = self.state.write();
        let range = self.place(&state, request.placement, length)?;
        state.check_limits(&request, length, self.frames.total_frames())?;
        let replaced = self.unmap_locked(&mut state, &range);
        let flags = state.flags_of(&request);
        state.vmas.insert(Vma {
            range: range.clone(),
            protection: request.protection,
            allowed: request.allowed,
            flags,
            source,
            name: request.name,
        });
        drop(state);
        // Dropping a file may run its own code, so the lock is gone by now.
        drop(replaced);
        Ok(range.start)
    }

    fn source_of(&self, request: &MapRequest, length: u64) -> Result<VmaSource> {
        let source = match &request.source {
            MapSource::Anonymous => VmaSource::Anonymous,
            MapSource::SharedAnonymous => VmaSource::Cache {
                cache: PageCache::new(self.frames.clone(), length, None),
                offset: 0,
                file: None,
            },
            MapSource::File { offset, .. } if !offset.is_multiple_of(PAGE) => {
                return Err(Errno::EINVAL);
            }
            MapSource::File { offset, .. } if offset.checked_add(length).is_none() => {
                return Err(Errno::EOVERFLOW);
            }
            MapSource::File { cache, offset, file } => {
                VmaSource::Cache { cache: cache.clone(), offset: *offset, file: file.clone() }
            }
            MapSource::Frames(frames) => VmaSource::Frames { frames: frames.clone(), offset: 0 },
        };
        if let VmaSource::Cache { cache, .. } = &source {
            cache.add_mapper(self.space, self.itself.clone());
        }
        Ok(source)
    }

    /// Chooses the addresses.
    pub(super) fn place(
        &self,
        state: &State,
        placement: Placement,
        length: u64,
    ) -> Result<Range<u64>> {
        let vmas = &state.vmas;
        match placement {
            Placement::Fixed(address) | Placement::FixedNoReplace(address) => {
                self.place_fixed(vmas, placement, address, length)
            }
            Placement::Low => find_gap(vmas, length, LOWEST_ADDRESS..1 << 31),
            Placement::Anywhere(wish) => {
                let wish = wish & !(PAGE - 1);
                let fits = wish.checked_add(length).is_some_and(|end| end <= self.address_limit());
                if wish >= LOWEST_ADDRESS && fits && vmas.is_free(&(wish..wish + length)) {
                    return Ok(wish..wish + length);
                }
                let base = state.layout.mmap_base;
                find_gap(vmas, length, LOWEST_ADDRESS..base)
                    .or_else(|_| find_gap(vmas, length, base..self.address_limit()))
            }
        }
    }

    fn place_fixed(
        &self,
        vmas: &VmaMap,
        placement: Placement,
        address: u64,
        length: u64,
    ) -> Result<Range<u64>> {
        if !address.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let range = self.user_range(address, length).ok_or(Errno::ENOMEM)?;
        if address < LOWEST_ADDRESS {
            return Err(Errno::EPERM);
        }
        if matches!(placement, Placement::FixedNoReplace(_)) && !vmas.is_free(&range) {
            return Err(Errno::EEXIST);
        }
        Ok(range)
    }
}

fn find_gap(vmas: &VmaMap, length: u64, within: Range<u64>) -> Result<Range<u64>> {
    let start = vmas.find_gap(length, &within).ok_or(Errno::ENOMEM)?;
    Ok(start..start + length)
}

impl State {
    fn flags_of(&self, request: &MapRequest) -> VmaFlags {
        let mut flags = request.flags;
        if matches!(request.source, MapSource::SharedAnonymous) {
            flags |= VmaFlags::SHARED;
        }
        if self.lock_future {
            flags |= VmaFlags::LOCKED;
        }
        flags
    }
}
