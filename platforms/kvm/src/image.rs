//! The ring-0 image: embedded, checked, and placed.

use elf::{ElfBytes, abi, endian::LittleEndian, segment::ProgramHeader};
use guest_abi::kvm::{IMAGE_LOAD_ADDRESS, IMAGE_VIRTUAL_OFFSET};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::config::Error;

/// The image as the build script made it.
static IMAGE: &[u8] = include_bytes!(env!("SENTRY_IMAGE"));

/// A segment of the image, as the page tables must map it.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Virtual address; page aligned.
    pub address: u64,
    /// Size in bytes; a page multiple.
    pub size: u64,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
}

/// A loaded image.
#[derive(Debug)]
pub struct Loaded {
    /// Virtual address of the first instruction.
    pub entry: u64,
    /// What is to be mapped.
    pub segments: Vec<Segment>,
    /// First physical address after the image.
    pub end: u64,
}

/// Copies the image to guest memory.
pub fn load(memory: &GuestMemoryMmap) -> Result<Loaded, Error> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(IMAGE)
        .map_err(|_| Error::Image("not an ELF file"))?;
    let is_kernel = file.ehdr.e_machine == abi::EM_X86_64 && file.ehdr.e_type == abi::ET_EXEC;
    if !is_kernel {
        return Err(Error::Image("not a static x86-64 executable; was it built for the host?"));
    }
    let headers = file.segments().ok_or(Error::Image("no segments"))?;
    let mut loaded = Loaded { entry: file.ehdr.e_entry, segments: Vec::new(), end: 0 };
    for header in headers.iter().filter(|header| header.p_type == abi::PT_LOAD) {
        let contents = file.segment_data(&header).map_err(|_| Error::Image("truncated"))?;
        place(memory, &header, contents)?;
        loaded.end = loaded.end.max(header.p_paddr + header.p_memsz).next_multiple_of(4096);
        loaded.segments.push(Segment {
            address: header.p_vaddr,
            size: header.p_memsz.next_multiple_of(4096),
            writable: header.p_flags & abi::PF_W != 0,
            executable: header.p_flags & abi::PF_X != 0,
        });
    }
    Ok(loaded)
}

/// Copies one segment. What lies beyond its bytes is zero already: the memory is new.
fn place(memory: &GuestMemoryMmap, header: &ProgramHeader, contents: &[u8]) -> Result<(), Error> {
    let expected = header.p_vaddr.wrapping_sub(IMAGE_VIRTUAL_OFFSET);
    let aligned = header.p_vaddr.is_multiple_of(4096);
    if header.p_paddr != expected || header.p_paddr < IMAGE_LOAD_ADDRESS || !aligned {
        return Err(Error::Image("a segment lies elsewhere than linked"));
    }
    if header.p_flags & abi::PF_W != 0 && header.p_flags & abi::PF_X != 0 {
        return Err(Error::Image("a segment is both writable and executable"));
    }
    memory.write_slice(contents, GuestAddress(header.p_paddr)).map_err(Error::memory)
}
