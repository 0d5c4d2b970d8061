//! The page tables a vCPU starts on (Intel SDM volume 3, 4.5). The upper half of their root is the
//! sentry's for good: every address space shares it.

use guest_abi::kvm::{BOOT_PAGE_TABLES, IMAGE_LOAD_ADDRESS};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::{config::Error, layout::LARGE_PAGE};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What ring 0 may do with a range; it may always read.
#[derive(Clone, Copy, Debug)]
pub enum Rights {
    /// Nothing more.
    Read,
    /// Write.
    Write,
    /// Execute.
    Execute,
}

impl Rights {
    const fn bits(self) -> u64 {
        match self {
            Self::Read => NO_EXECUTE,
            Self::Write => WRITABLE | NO_EXECUTE,
            Self::Execute => 0,
        }
    }
}

/// Builds tables in guest memory, one after the other from [`BOOT_PAGE_TABLES`].
#[derive(Debug)]
pub struct Builder<'a> {
    memory: &'a GuestMemoryMmap,
    next_table: u64,
}

impl<'a> Builder<'a> {
    /// Tables that map nothing.
    pub const fn new(memory: &'a GuestMemoryMmap) -> Self {
        Self { memory, next_table: BOOT_PAGE_TABLES + 4096 }
    }

    /// Maps `size` bytes from virtual `address` to `physical`, with large pages where both allow.
    pub fn map(
        &mut self,
        address: u64,
        physical: u64,
        size: u64,
        rights: Rights,
    ) -> Result<(), Error> {
        let mut done = 0;
        while done < size {
            let (from, to) = (address + done, physical + done);
            let aligned = from.is_multiple_of(LARGE_PAGE) && to.is_multiple_of(LARGE_PAGE);
            let large = aligned && size - done >= LARGE_PAGE;
            let level = if large { 1 } else { 0 };
            let entry = self.entry(from, level)?;
            let size_bit = if large { LARGE } else { 0 };
            self.write(entry, to | PRESENT | GLOBAL | size_bit | rights.bits())?;
            done += if large { LARGE_PAGE } else { 4096 };
        }
        Ok(())
    }

    /// Address of the entry for `address` in its table of `level` (0 is the last).
    fn entry(&mut self, address: u64, level: u32) -> Result<u64, Error> {
        let index = |level: u32| (address >> (12 + 9 * level)) & 511;
        let mut table = BOOT_PAGE_TABLES;
        for upper in (level + 1..4).rev() {
            let entry = table + index(upper) * 8;
            let mut value = self.read(entry)?;
            if value & PRESENT == 0 {
                value = self.allocate()? | PRESENT | WRITABLE;
                self.write(entry, value)?;
            }
            table = value & ADDRESS;
        }
        Ok(table + index(level) * 8)
    }

    fn allocate(&mut self) -> Result<u64, Error> {
        let table = self.next_table;
        self.next_table += 4096;
        if self.next_table > IMAGE_LOAD_ADDRESS {
            return Err(Error::Configuration("too much memory for the boot page tables"));
        }
        Ok(table)
    }

    fn read(&self, address: u64) -> Result<u64, Error> {
        self.memory.read_obj(GuestAddress(address)).map_err(Error::memory)
    }

    fn write(&self, address: u64, value: u64) -> Result<(), Error> {
        self.memory.write_obj(value, GuestAddress(address)).map_err(Error::memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(memory: &GuestMemoryMmap, address: u64) -> Option<u64> {
        let mut table = BOOT_PAGE_TABLES;
        for level in (0..4).rev() {
            let index = (address >> (12 + 9 * level)) & 511;
            let entry: u64 = memory.read_obj(GuestAddress(table + index * 8)).unwrap();
            if entry & PRESENT == 0 {
                return None;
            }
            if level == 0 || entry & LARGE != 0 {
                let mask = (1 << (12 + 9 * level)) - 1;
                return Some(entry & ADDRESS & !mask | address & mask);
            }
            table = entry & ADDRESS;
        }
        None
    }

    #[test]
    fn maps_large_and_small_pages() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4 << 20)]).unwrap();
        let mut builder = Builder::new(&memory);
        let base = 0xffff_8000_0000_0000;
        builder.map(base, 0, LARGE_PAGE + 8192, Rights::Write).unwrap();
        assert_eq!(walk(&memory, base + 0x1234), Some(0x1234));
        assert_eq!(walk(&memory, base + LARGE_PAGE + 4100), Some(LARGE_PAGE + 4100));
        assert_eq!(walk(&memory, base + LARGE_PAGE + 8192), None);
        assert_eq!(walk(&memory, 0x1000), None);
    }
}
