//! maps, smaps and smaps_rollup.

use alloc::{format, string::String, vec::Vec};

use super::ProcessSubject;
use crate::{
    errno::Result,
    memory::PAGE_SIZE,
    mm::Mapping,
    platform::Protection,
    vfs::{DeviceNumber, Path},
};

/// Column at which names begin.
const NAME_COLUMN: usize = 73;

/// /proc/PID/maps.
pub(super) fn maps(subject: &ProcessSubject) -> Result<Vec<u8>> {
    let root = subject.fs().ok().map(|fs| fs.root());
    let mappings = subject.mm()?.mappings(false);
    Ok(mappings.iter().flat_map(|mapping| line(mapping, root.as_ref())).collect())
}

/// /proc/PID/smaps.
pub(super) fn smaps(subject: &ProcessSubject) -> Result<Vec<u8>> {
    let root = subject.fs().ok().map(|fs| fs.root());
    let mappings = subject.mm()?.mappings(true);
    let one = |mapping: &Mapping| {
        let mut text = line(mapping, root.as_ref());
        text.extend(counts(mapping).into_bytes());
        text
    };
    Ok(mappings.iter().flat_map(one).collect())
}

/// /proc/PID/smaps_rollup: the sums of smaps.
pub(super) fn smaps_rollup(subject: &ProcessSubject) -> Result<Vec<u8>> {
    let mappings = subject.mm()?.mappings(true);
    let start = mappings.first().map_or(0, |mapping| mapping.range.start);
    let end = mappings.last().map_or(0, |mapping| mapping.range.end);
    let mut text = format!("{start:08x}-{end:08x} ---p 00000000 00:00 0 ").into_bytes();
    text.resize(text.len().max(NAME_COLUMN), b' ');
    text.extend_from_slice(b"[rollup]\n");
    let sums = mappings.iter().fold(Counts::default(), |sum, one| sum.plus(&Counts::of(one)));
    text.extend(sums.lines().into_bytes());
    Ok(text)
}

fn line(mapping: &Mapping, root: Option<&Path>) -> Vec<u8> {
    let letter = |protection, letter| {
        if mapping.protection.contains(protection) { letter } else { '-' }
    };
    let place = mapping.file.as_ref().and_then(|open| open.path.as_ref());
    let attributes = place.and_then(|path| path.inode().cached_attributes());
    let (device, inode) = attributes
        .map_or((DeviceNumber::default(), 0), |attributes| (attributes.device, attributes.inode));
    let mut text = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {inode} ",
        mapping.range.start,
        mapping.range.end,
        letter(Protection::READ, 'r'),
        letter(Protection::WRITE, 'w'),
        letter(Protection::EXECUTE, 'x'),
        if mapping.is_shared { 's' } else { 'p' },
        mapping.offset,
        device.major,
        device.minor,
    )
    .into_bytes();
    let named = place.zip(root).and_then(|(path, root)| path.name_from(root, true));
    let name = named.or_else(|| mapping.name.map(|name| name.as_bytes().to_vec()));
    if let Some(name) = name {
        text.resize(text.len().max(NAME_COLUMN), b' ');
        text.extend(name);
    }
    text.push(b'\n');
    text
}

/// Sizes of what is present, in bytes.
#[derive(Default)]
struct Counts {
    private: u64,
    shared_private: u64,
    file: u64,
    shared_file: u64,
    proportional: u64,
}

impl Counts {
    fn of(mapping: &Mapping) -> Self {
        let bytes = |pages: u64| pages * PAGE_SIZE as u64;
        Self {
            private: bytes(mapping.resident_private),
            shared_private: bytes(mapping.shared_private),
            file: bytes(mapping.resident_file),
            shared_file: bytes(mapping.shared_file),
            proportional: mapping.proportional_bytes,
        }
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            private: self.private + other.private,
            shared_private: self.shared_private + other.shared_private,
            file: self.file + other.file,
            shared_file: self.shared_file + other.shared_file,
            proportional: self.proportional + other.proportional,
        }
    }

    /// The lines that smaps and smaps_rollup have in common (proc_pid_smaps(5)). Which pages of
    /// files were changed their caches know, not those who map them: they count as clean.
    fn lines(&self) -> String {
        let lines = [
            ("Rss", self.private + self.file),
            ("Pss", self.proportional),
            ("Shared_Clean", self.shared_file),
            ("Shared_Dirty", self.shared_private),
            ("Private_Clean", self.file - self.shared_file),
            ("Private_Dirty", self.private - self.shared_private),
            ("Anonymous", self.private),
            ("Swap", 0),
        ];
        lines.iter().map(|(name, bytes)| count_line(name, bytes >> 10)).collect()
    }
}

fn count_line(name: &str, kib: u64) -> String {
    format!("{:<16}{kib:>8} kB\n", format!("{name}:"))
}

fn counts(mapping: &Mapping) -> String {
    let size = (mapping.range.end - mapping.range.start) >> 10;
    let sizes = [("Size", size), ("KernelPageSize", 4), ("MMUPageSize", 4)];
    let mut text: String = sizes.iter().map(|(name, kib)| count_line(name, *kib)).collect();
    text += &Counts::of(mapping).lines();
    text
}
