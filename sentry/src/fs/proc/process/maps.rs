//! maps and smaps.

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

fn counts(mapping: &Mapping) -> String {
    let kib = |pages: u64| pages * (PAGE_SIZE as u64 >> 10);
    let size = (mapping.range.end - mapping.range.start) >> 10;
    let (private, file) = (kib(mapping.resident_private), kib(mapping.resident_file));
    let lines = [
        ("Size", size),
        ("KernelPageSize", 4),
        ("MMUPageSize", 4),
        ("Rss", private + file),
        ("Pss", private + file),
        ("Shared_Clean", file),
        ("Shared_Dirty", 0),
        ("Private_Clean", 0),
        ("Private_Dirty", private),
        ("Referenced", private + file),
        ("Anonymous", private),
        ("Swap", 0),
        ("Locked", 0),
    ];
    lines.iter().map(|(name, value)| format!("{:<16}{value:>8} kB\n", format!("{name}:"))).collect()
}
