//! Mount options of tmpfs (tmpfs(5)).

use super::Options;
use crate::errno::{Errno, Result};

impl Options {
    /// Reads the option string of mount(2); `ram` is the size of sandbox memory in bytes.
    ///
    /// # Errors
    /// EINVAL for what is not understood.
    pub fn parse(text: &str, ram: u64) -> Result<Self> {
        let mut options = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "size" => options.size = Some(size(value, ram)?),
                "nr_blocks" => options.size = Some(size(value, ram)?.saturating_mul(4096)),
                "mode" => {
                    let mode = u16::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)?;
                    options.root_permissions = mode & 0o7777;
                }
                "uid" => options.uid = value.parse().map_err(|_| Errno::EINVAL)?,
                "gid" => options.gid = value.parse().map_err(|_| Errno::EINVAL)?,
                // Inodes are bounded by the size; the others change nothing here.
                "nr_inodes" | "huge" | "mpol" | "inode32" | "inode64" | "noswap" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

/// A number with a suffix of k, m, g or %; 0 is no limit.
fn size(text: &str, ram: u64) -> Result<u64> {
    let digits = text.trim_end_matches(|last: char| !last.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "%" => return Ok((ram / 100).saturating_mul(number)),
        _ => return Err(Errno::EINVAL),
    };
    Ok(if number == 0 { u64::MAX } else { number.saturating_mul(unit) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_and_modes() {
        let options = Options::parse("size=64m,mode=0700,uid=5", 1 << 30).unwrap();
        assert_eq!(options.size, Some(64 << 20));
        assert_eq!((options.root_permissions, options.uid), (0o700, 5));
        assert_eq!(Options::parse("size=50%", 200).unwrap().size, Some(100));
        assert!(Options::parse("size=many", 1).is_err());
        assert!(Options::parse("bogus", 1).is_err());
    }
}
