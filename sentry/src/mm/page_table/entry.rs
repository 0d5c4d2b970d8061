//! One page-table entry in the x86-64 format (Intel SDM volume 3, section 5.5).

use bitflags::bitflags;

use crate::{
    memory::{Frame, PAGE_SIZE},
    platform::Protection,
};

bitflags! {
    /// The bits beside the address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Bits: u64 {
        const PRESENT = 1;
        const WRITABLE = 1 << 1;
        const USER = 1 << 2;
        const ACCESSED = 1 << 5;
        /// Ignored by hardware: the entry holds a reference to its frame, present or not.
        const HELD = 1 << 9;
        /// Ignored by hardware: the frame is not a page of a file but private memory.
        const PRIVATE = 1 << 10;
        const NO_EXECUTE = 1 << 63;
    }
}

const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// What a page-table entry says. The default is an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    /// An entry as read from memory.
    pub(super) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The entry as hardware reads it.
    pub(super) const fn raw(self) -> u64 {
        self.0
    }

    /// Maps `frame` with `protection`; without any, the frame is held but not accessible.
    /// `private` tells private memory from pages of a file.
    pub fn new(frame: Frame, protection: Protection, private: bool) -> Self {
        let mut bits = Bits::HELD;
        bits.set(Bits::PRIVATE, private);
        Self(frame.address() | bits.bits()).with_protection(protection)
    }

    /// An entry that points to the next lower table.
    pub(super) const fn table(frame: Frame) -> Self {
        Self(frame.address() | Bits::PRESENT.union(Bits::WRITABLE).union(Bits::USER).bits())
    }

    /// Whether it maps nothing.
    pub const fn is_empty(self) -> bool {
        !self.bits().contains(Bits::HELD)
    }

    /// The frame it holds a reference to.
    pub fn frame(self) -> Option<Frame> {
        if self.is_empty() { None } else { Frame::containing(self.0 & ADDRESS_MASK) }
    }

    /// Physical address of the page, if user code may read it.
    #[inline]
    pub fn readable_address(self) -> Option<u64> {
        let needed = Bits::PRESENT | Bits::HELD;
        self.bits().contains(needed).then_some(self.0 & ADDRESS_MASK)
    }

    /// Physical address of the page, if user code may write it.
    #[inline]
    pub fn writable_address(self) -> Option<u64> {
        let needed = Bits::PRESENT | Bits::HELD | Bits::WRITABLE;
        self.bits().contains(needed).then_some(self.0 & ADDRESS_MASK)
    }

    /// Physical address of the next lower table.
    #[inline]
    pub(super) fn table_address(self) -> Option<u64> {
        self.bits().contains(Bits::PRESENT).then_some(self.0 & ADDRESS_MASK)
    }

    /// What user code may do; nothing if the entry is not present. x86-64 cannot forbid reading
    /// what may be written or executed.
    pub fn protection(self) -> Protection {
        let bits = self.bits();
        if !bits.contains(Bits::PRESENT) {
            return Protection::empty();
        }
        let mut protection = Protection::READ;
        protection.set(Protection::WRITE, bits.contains(Bits::WRITABLE));
        protection.set(Protection::EXECUTE, !bits.contains(Bits::NO_EXECUTE));
        protection
    }

    /// The same frame with another protection.
    pub fn with_protection(self, protection: Protection) -> Self {
        let mut bits = self.bits();
        bits.set(Bits::PRESENT, !protection.is_empty());
        bits.set(Bits::USER, !protection.is_empty());
        bits.set(Bits::WRITABLE, protection.contains(Protection::WRITE));
        bits.set(Bits::NO_EXECUTE, !protection.contains(Protection::EXECUTE));
        self.with_bits(bits)
    }

    /// Whether the frame is private memory rather than a page of a file.
    pub const fn is_private(self) -> bool {
        self.bits().contains(Bits::PRIVATE)
    }

    /// Whether the platform was told of it, or hardware has used it.
    pub const fn is_announced(self) -> bool {
        self.bits().contains(Bits::ACCESSED)
    }

    /// The same, announced or not.
    pub fn with_announced(self, announced: bool) -> Self {
        let mut bits = self.bits();
        bits.set(Bits::ACCESSED, announced);
        self.with_bits(bits)
    }

    const fn bits(self) -> Bits {
        Bits::from_bits_truncate(self.0)
    }

    const fn with_bits(self, bits: Bits) -> Self {
        Self(self.0 & !Bits::all().bits() | bits.bits())
    }
}

const _: () = assert!(ADDRESS_MASK & Bits::all().bits() == 0);
const _: () = assert!(ADDRESS_MASK.is_multiple_of(PAGE_SIZE as u64));
