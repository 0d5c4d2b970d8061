//! Memory that a process needed only to start: pages of its own program and of libraries. The commands,
//! the sandbox and the gofer are one program, so most of what a start touches is not used again.
#![allow(unsafe_code, reason = "leaf module: madvise(2) on mappings of files")]

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use rustix::mm::{Advice, madvise};

/// Lets go of the pages of files that no process has changed (the program, its libraries): those
/// that are needed again are read again, a few pages and not all that its start has touched.
///
/// # Errors
/// If /proc/self/smaps cannot be read (proc_pid_smaps(5)).
pub fn release() -> io::Result<()> {
    let smaps = BufReader::with_capacity(1024, File::open("/proc/self/smaps")?);
    let mut mapping = None;
    for line in smaps.lines() {
        let line = line?;
        if let Some(found) = parse_mapping(&line) {
            mapping = found.is_read_only_file.then_some(found);
        } else if is_unchanged(&line)
            && let Some(unchanged) = mapping.take()
        {
            release_mapping(&unchanged);
        }
    }
    Ok(())
}

/// One mapping.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    start: usize,
    length: usize,
    is_read_only_file: bool,
}

/// The first line of a mapping: `START-END PERMISSIONS OFFSET DEVICE INODE PATH`.
fn parse_mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let length = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
    let permissions = fields.next()?;
    let is_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
    let is_read_only_file = is_file && permissions.starts_with('r') && !permissions.contains('w');
    Some(Mapping { start, length, is_read_only_file })
}

/// Whether `line` says that the mapping holds nothing but what is in its file. What the dynamic
/// linker has written and protected is not in there.
fn is_unchanged(line: &str) -> bool {
    line.strip_prefix("Anonymous:").is_some_and(|size| size.trim() == "0 kB")
}

fn release_mapping(mapping: &Mapping) {
    let start = std::ptr::without_provenance_mut(mapping.start);
    // Without read-around (MADV_RANDOM), only the pages that are touched come back.
    for advice in [Advice::LinuxDontNeed, Advice::Random] {
        // SAFETY: the mapping shows its file, unchanged and not writable: whoever touches a page
        // again reads the same from the file (madvise(2)).
        let _ = unsafe { madvise(start, mapping.length, advice) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_files_are_released() {
        let text = "7f00-8f00 r-xp 00001000 fe:00 123   /usr/bin/a b";
        let expected = Mapping { start: 0x7f00, length: 0x1000, is_read_only_file: true };
        assert_eq!(parse_mapping(text), Some(expected));
        for other in [
            "7f00-8f00 rw-p 00001000 fe:00 123   /usr/bin/a",
            "7f00-8f00 r-xp 00000000 00:00 0     [vdso]",
            "7f00-8f00 r--p 00000000 00:00 0",
        ] {
            assert!(!parse_mapping(other).unwrap().is_read_only_file, "{other}");
        }
        assert_eq!(parse_mapping("Size:                  4 kB"), None);
        assert!(is_unchanged("Anonymous:             0 kB"));
        assert!(!is_unchanged("Anonymous:             8 kB"));
        assert!(!is_unchanged("AnonHugePages:         0 kB"));
    }

    #[test]
    fn the_process_goes_on() {
        release().unwrap();
        assert_eq!("again".to_uppercase(), "AGAIN");
    }
}
