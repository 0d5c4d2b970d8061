//! Frames: pages of sandbox memory.

/// Size of a page and of a frame, in bytes.
pub const PAGE_SIZE: usize = 4096;

/// Number of a frame: its physical address divided by [`PAGE_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame(pub u32);

impl Frame {
    /// Physical address of its first byte.
    pub const fn address(self) -> u64 {
        self.0 as u64 * PAGE_SIZE as u64
    }

    /// The frame that holds physical address `address`, if frames can number it.
    pub fn containing(address: u64) -> Option<Self> {
        u32::try_from(address / PAGE_SIZE as u64).ok().map(Self)
    }

    /// The frame `count` after this one.
    pub const fn offset(self, count: u32) -> Self {
        Self(self.0 + count)
    }
}
