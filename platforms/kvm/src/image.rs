//! The ring-0 image: embedded, checked, and placed.

use std::ops::Range;

use elf::{ElfBytes, abi, endian::LittleEndian, note::Note, segment::ProgramHeader};
use guest_abi::kvm::{IMAGE_LOAD_ADDRESS, IMAGE_VIRTUAL_OFFSET};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::config::Error;

/// The image as the build script made it.
pub static IMAGE: &[u8] = &EMBEDDED.0;

/// Its pages are pages of this program's file, so that the guest can have them as they are.
static EMBEDDED: PageAligned<[u8; include_bytes!(env!("SENTRY_IMAGE")).len()]> =
    PageAligned(*include_bytes!(env!("SENTRY_IMAGE")));

#[repr(align(4096))]
struct PageAligned<Bytes>(Bytes);

/// Whether this build carries an image.
pub const fn is_present() -> bool {
    !IMAGE.is_empty()
}

/// The image's build id (ld(1), --build-id), by which the file with its symbols is found.
pub fn build_id() -> Option<String> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(IMAGE).ok()?;
    let header = file.section_header_by_name(".note.gnu.build-id").ok()??;
    let mut notes = file.section_data_as_notes(&header).ok()?;
    notes.find_map(|note| match note {
        Note::GnuBuildId(id) => Some(id.0.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => None,
    })
}

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
    /// What of it is not in sandbox memory: code and constants, which all sandboxes share.
    pub shared: Vec<SharedPages>,
    /// First physical address after the image.
    pub end: u64,
}

/// Pages of this program that the guest sees, and cannot change.
#[derive(Clone, Copy, Debug)]
pub struct SharedPages {
    /// Guest physical address; page aligned.
    pub address: u64,
    /// The pages.
    pub bytes: &'static [u8],
}

impl SharedPages {
    /// The guest physical addresses.
    pub const fn range(&self) -> Range<u64> {
        self.address..self.address + self.bytes.len() as u64
    }
}

/// Copies what the guest changes of the image to its memory, and names the rest.
pub fn load(memory: &GuestMemoryMmap) -> Result<Loaded, Error> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(IMAGE)
        .map_err(|_| Error::Image("not an ELF file"))?;
    let is_kernel = file.ehdr.e_machine == abi::EM_X86_64 && file.ehdr.e_type == abi::ET_EXEC;
    if !is_kernel {
        return Err(Error::Image("not a static x86-64 executable; was it built for the host?"));
    }
    let headers = file.segments().ok_or(Error::Image("no segments"))?;
    let mut loaded =
        Loaded { entry: file.ehdr.e_entry, segments: Vec::new(), shared: Vec::new(), end: 0 };
    for header in headers.iter().filter(|header| header.p_type == abi::PT_LOAD) {
        check(&header)?;
        if header.p_flags & abi::PF_W == 0 {
            loaded.shared.push(shared_pages(&header)?);
        } else {
            // What lies beyond its bytes is zero already: the memory is new.
            let contents = file.segment_data(&header).map_err(|_| Error::Image("truncated"))?;
            let address = GuestAddress(header.p_paddr);
            memory.write_slice(contents, address).map_err(Error::memory)?;
        }
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

fn check(header: &ProgramHeader) -> Result<(), Error> {
    let expected = header.p_vaddr.wrapping_sub(IMAGE_VIRTUAL_OFFSET);
    let aligned = header.p_vaddr.is_multiple_of(4096);
    if header.p_paddr != expected || header.p_paddr < IMAGE_LOAD_ADDRESS || !aligned {
        return Err(Error::Image("a segment lies elsewhere than linked"));
    }
    if header.p_flags & abi::PF_W != 0 && header.p_flags & abi::PF_X != 0 {
        return Err(Error::Image("a segment is both writable and executable"));
    }
    Ok(())
}

/// The pages of a segment that is not written. The rest of the last one is the file's padding.
fn shared_pages(header: &ProgramHeader) -> Result<SharedPages, Error> {
    let outside = Error::Image("a segment lies outside of the file");
    let (Ok(start), Ok(size)) =
        (usize::try_from(header.p_offset), usize::try_from(header.p_filesz))
    else {
        return Err(outside);
    };
    if !start.is_multiple_of(4096) || header.p_memsz != header.p_filesz {
        return Err(Error::Image("a segment that is not written is not whole pages of the file"));
    }
    let bytes = start
        .checked_add(size.next_multiple_of(4096))
        .and_then(|end| IMAGE.get(start..end))
        .ok_or(outside)?;
    Ok(SharedPages { address: header.p_paddr, bytes })
}

#[cfg(all(test, has_image))]
mod tests {
    use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind, Register};

    use super::*;

    fn headers() -> Vec<ProgramHeader> {
        let file = ElfBytes::<LittleEndian>::minimal_parse(IMAGE).unwrap();
        file.segments().unwrap().iter().filter(|header| header.p_type == abi::PT_LOAD).collect()
    }

    /// Registers that hold the user's state while the sentry runs.
    fn is_user_state(register: Register) -> bool {
        register.is_vector_register()
            || register.is_st()
            || register.is_mm()
            || register.is_k()
            || register.is_tmm()
    }

    /// The escape opcodes (Intel SDM volume 2, appendix A.5).
    fn is_x87(instruction: &Instruction) -> bool {
        let opcode = instruction.code().op_code();
        opcode.table() == iced_x86::OpCodeTableKind::Normal
            && matches!(opcode.op_code(), 0xd8..=0xdf | 0xd8c0..=0xdfff)
    }

    fn touches_user_state(instruction: &Instruction) -> bool {
        let operands = (0..instruction.op_count())
            .filter(|index| instruction.op_kind(*index) == OpKind::Register);
        let registers = operands.map(|index| instruction.op_register(index));
        registers.into_iter().any(is_user_state) || is_x87(instruction)
    }

    #[test]
    fn has_a_build_id() {
        assert_eq!(build_id().map(|id| id.len()), Some(40));
    }

    #[test]
    fn has_no_vector_or_x87_instruction() {
        let text = headers().into_iter().find(|header| header.p_flags & abi::PF_X != 0).unwrap();
        let start = usize::try_from(text.p_offset).unwrap();
        let code = &IMAGE[start..start + usize::try_from(text.p_filesz).unwrap()];
        let decoder = Decoder::with_ip(64, code, text.p_vaddr, DecoderOptions::NONE);
        let mut count = 0;
        for instruction in decoder {
            count += 1;
            let allowed = instruction.code() == Code::INVALID || !touches_user_state(&instruction);
            assert!(allowed, "{:#x}: {instruction}", instruction.ip());
        }
        assert!(count > 10_000, "only {count} instructions: is this the image?");
    }

    #[test]
    fn nothing_is_both_writable_and_executable() {
        let both = abi::PF_W | abi::PF_X;
        assert_eq!(headers().len(), 3);
        assert!(headers().iter().all(|header| header.p_flags & both != both));
    }

    /// Whether `name` has the parts of `pattern`, which stars separate, one after the other.
    fn matches<'a>(pattern: &str, name: &'a str) -> bool {
        let after = |rest: &'a str, part: &str| Some(rest.split_once(part)?.1);
        pattern.split('*').try_fold(name, after).is_some()
    }

    #[test]
    fn what_the_link_script_gathers_is_there() {
        let script = include_str!("../../kvm-guest/link.ld");
        let sections =
            script.split([' ', '(', ')', '\n']).filter_map(|word| word.strip_prefix(".text."));
        let patterns: Vec<_> = sections.filter(|pattern| *pattern != "*").collect();
        assert!(patterns.len() > 20, "{patterns:?}");
        let file = ElfBytes::<LittleEndian>::minimal_parse(IMAGE).unwrap();
        let (symbols, names) = file.symbol_table().unwrap().unwrap();
        let names: Vec<_> =
            symbols.iter().flat_map(|symbol| names.get(symbol.st_name as usize)).collect();
        for pattern in patterns {
            let is_there = names.iter().any(|name| matches(pattern, name));
            assert!(is_there, "no function is named like {pattern}: update link.ld");
        }
    }
}
