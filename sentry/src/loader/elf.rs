//! ELF headers, read strictly: the file may be anything (elf(5), System V ABI).

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{
    errno::{Errno, Result},
    memory::PAGE_SIZE,
    platform::Protection,
};

/// Size of the file header in bytes.
pub const HEADER_SIZE: usize = 64;
/// Size of a program header in bytes.
pub const PROGRAM_HEADER_SIZE: usize = 56;
/// Longest table of program headers that is read, as in Linux.
const MAX_TABLE_SIZE: usize = 65_536;
const PAGE: u64 = PAGE_SIZE as u64;

const ELF_IDENTITY: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
const TYPE_EXECUTABLE: u16 = 2;
const TYPE_DYNAMIC: u16 = 3;
const MACHINE_X86_64: u16 = 62;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_INTERPRETER: u32 = 3;
const SEGMENT_PROGRAM_HEADERS: u32 = 6;
const SEGMENT_GNU_STACK: u32 = 0x6474_e551;

/// `Elf64_Ehdr`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FileHeader {
    identity: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    program_headers_offset: u64,
    section_headers_offset: u64,
    flags: u32,
    header_size: u16,
    program_header_size: u16,
    program_header_count: u16,
    section_header_size: u16,
    section_header_count: u16,
    section_names: u16,
}

/// `Elf64_Phdr`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    virtual_address: u64,
    physical_address: u64,
    file_size: u64,
    memory_size: u64,
    alignment: u64,
}

/// What the file header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// It has addresses of its own and cannot be moved.
    pub is_fixed: bool,
    /// First instruction, before relocation.
    pub entry: u64,
    /// Where the program headers are in the file.
    pub table_offset: u64,
    /// Their size in bytes.
    pub table_size: usize,
}

/// A segment to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address, before relocation.
    pub address: u64,
    /// Size in memory in bytes; what is beyond `file_size` is zero.
    pub memory_size: u64,
    /// Offset in the file; equal to the address modulo the page size.
    pub offset: u64,
    /// Bytes from the file.
    pub file_size: u64,
    /// What user code may do with it.
    pub protection: Protection,
}

/// What the program headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Segments by ascending address; there is at least one.
    pub segments: Vec<Segment>,
    /// Place of the interpreter's name in the file: offset and length.
    pub interpreter: Option<(u64, usize)>,
    /// Address of the program headers in memory, before relocation.
    pub headers_address: Option<u64>,
    /// Number of program headers (AT_PHNUM).
    pub header_count: u64,
    /// The stack is to be executable.
    pub executable_stack: bool,
    /// Largest alignment that a segment wants; a power of two, at least a page.
    pub alignment: u64,
}

impl Header {
    /// Reads the first bytes of a file.
    ///
    /// # Errors
    /// ENOEXEC if they are no header of an x86-64 program or library.
    pub fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Self> {
        let header = FileHeader::read_from_bytes(bytes).map_err(|_| Errno::ENOEXEC)?;
        let is_fixed = match header.kind {
            TYPE_EXECUTABLE => true,
            TYPE_DYNAMIC => false,
            _ => return Err(Errno::ENOEXEC),
        };
        let table_size = usize::from(header.program_header_count) * PROGRAM_HEADER_SIZE;
        let valid = header.identity.starts_with(&ELF_IDENTITY)
            && header.machine == MACHINE_X86_64
            && usize::from(header.program_header_size) == PROGRAM_HEADER_SIZE
            && (PROGRAM_HEADER_SIZE..=MAX_TABLE_SIZE).contains(&table_size);
        if !valid {
            return Err(Errno::ENOEXEC);
        }
        let table_offset = header.program_headers_offset;
        Ok(Self { is_fixed, entry: header.entry, table_offset, table_size })
    }
}

impl Image {
    /// Reads the table of program headers of the file that `header` describes.
    ///
    /// # Errors
    /// ENOEXEC if there is nothing to load, or a segment is impossible; `limit` is the end of user
    /// addresses.
    pub fn parse(header: &Header, table: &[u8], limit: u64) -> Result<Self> {
        let header_count = (table.len() / PROGRAM_HEADER_SIZE) as u64;
        let mut image = Self { alignment: PAGE, header_count, ..Self::default() };
        for bytes in table.chunks_exact(PROGRAM_HEADER_SIZE) {
            let entry = ProgramHeader::read_from_bytes(bytes).map_err(|_| Errno::ENOEXEC)?;
            image.add(header, &entry, limit)?;
        }
        if image.segments.is_empty() {
            return Err(Errno::ENOEXEC);
        }
        Ok(image)
    }

    fn add(&mut self, header: &Header, entry: &ProgramHeader, limit: u64) -> Result<()> {
        match entry.kind {
            SEGMENT_LOAD if entry.memory_size > 0 => self.add_segment(header, entry, limit)?,
            SEGMENT_INTERPRETER => {
                let length = usize::try_from(entry.file_size).map_err(|_| Errno::ENOEXEC)?;
                self.interpreter = Some((entry.offset, length));
            }
            SEGMENT_PROGRAM_HEADERS => self.headers_address = Some(entry.virtual_address),
            SEGMENT_GNU_STACK => self.executable_stack = entry.flags & 1 != 0,
            _ => {}
        }
        Ok(())
    }

    fn add_segment(&mut self, header: &Header, entry: &ProgramHeader, limit: u64) -> Result<()> {
        let segment = Segment::from_header(entry, limit)?;
        if self.segments.last().is_some_and(|last| last.end() > segment.address) {
            return Err(Errno::ENOEXEC);
        }
        if entry.alignment.is_power_of_two() {
            self.alignment = self.alignment.max(entry.alignment);
        }
        let in_file = header.table_offset.checked_sub(segment.offset);
        if let Some(distance) = in_file
            && distance < segment.file_size
            && self.headers_address.is_none()
        {
            self.headers_address = segment.address.checked_add(distance);
        }
        self.segments.push(segment);
        Ok(())
    }

    /// First address, a page boundary, before relocation.
    pub fn start(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.address & !(PAGE - 1))
    }

    /// End of the last segment, before relocation.
    pub fn end(&self) -> u64 {
        self.segments.last().map_or(0, Segment::end)
    }
}

impl Segment {
    fn from_header(entry: &ProgramHeader, limit: u64) -> Result<Self> {
        let end = entry.virtual_address.checked_add(entry.memory_size);
        let file_end = entry.offset.checked_add(entry.file_size);
        let possible = end.is_some_and(|end| end <= limit.saturating_sub(PAGE))
            && file_end.is_some_and(|end| end <= i64::MAX.cast_unsigned())
            && entry.file_size <= entry.memory_size
            && entry.offset % PAGE == entry.virtual_address % PAGE;
        if !possible {
            return Err(Errno::ENOEXEC);
        }
        let mut protection = Protection::empty();
        protection.set(Protection::EXECUTE, entry.flags & 1 != 0);
        protection.set(Protection::WRITE, entry.flags & 2 != 0);
        protection.set(Protection::READ, entry.flags & 4 != 0);
        Ok(Self {
            address: entry.virtual_address,
            memory_size: entry.memory_size,
            offset: entry.offset,
            file_size: entry.file_size,
            protection,
        })
    }

    /// Address after its last byte.
    pub const fn end(&self) -> u64 {
        self.address + self.memory_size
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 1 << 47;

    fn header() -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..6].copy_from_slice(&ELF_IDENTITY);
        bytes[16] = 2;
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes
    }

    fn load(address: u64, file_size: u64, memory_size: u64) -> Vec<u8> {
        let words = [address, address, file_size, memory_size, PAGE];
        let mut bytes = [1_u32.to_le_bytes(), 5_u32.to_le_bytes()].concat();
        bytes.extend((address % PAGE).to_le_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    #[test]
    fn reads_a_small_program() {
        let header = Header::parse(&header()).unwrap();
        let image = Image::parse(&header, &load(0x40_0000, 200, 300), LIMIT).unwrap();
        assert_eq!(image.headers_address, Some(0x40_0040));
        assert_eq!((image.start(), image.end()), (0x40_0000, 0x40_012c));
    }

    #[test]
    fn refuses_other_machines_and_impossible_segments() {
        let mut other = header();
        other[18] = 40;
        assert_eq!(Header::parse(&other), Err(Errno::ENOEXEC));
        let header = Header::parse(&header()).unwrap();
        for bad in [load(LIMIT, 1, 1), load(0x1000, 2, 1), load(u64::MAX - 1, 1, 9)] {
            assert_eq!(Image::parse(&header, &bad, LIMIT), Err(Errno::ENOEXEC));
        }
        let overlap = [load(0x2000, 1, 1), load(0x1000, 1, 1)].concat();
        assert_eq!(Image::parse(&header, &overlap, LIMIT), Err(Errno::ENOEXEC));
    }

    proptest! {
        #[test]
        fn never_panics(head in any::<[u8; 40]>(), table in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = header();
            bytes[24..].copy_from_slice(&head);
            if let Ok(header) = Header::parse(&bytes)
                && let Ok(image) = Image::parse(&header, &table, LIMIT)
            {
                prop_assert!(image.start() <= image.end() && image.end() <= LIMIT);
            }
        }

        #[test]
        fn segments_stay_in_order(values in proptest::collection::vec((0_u64..1 << 48, 0_u64..1 << 20), 1..6)) {
            let table: Vec<u8> = values.iter().flat_map(|(at, size)| load(*at, size / 2, *size)).collect();
            let header = Header::parse(&header()).unwrap();
            if let Ok(image) = Image::parse(&header, &table, LIMIT) {
                prop_assert!(image.segments.windows(2).all(|pair| pair[0].end() <= pair[1].address));
            }
        }
    }
}
