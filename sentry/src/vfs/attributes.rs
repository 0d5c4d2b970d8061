//! What is known of an inode without opening it (inode(7)).

/// Type of an inode: the S_IFMT bits of its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum FileKind {
    /// S_IFIFO.
    Fifo = 0o010_000,
    /// S_IFCHR.
    CharacterDevice = 0o020_000,
    /// S_IFDIR.
    Directory = 0o040_000,
    /// S_IFBLK.
    BlockDevice = 0o060_000,
    /// S_IFREG.
    Regular = 0o100_000,
    /// S_IFLNK.
    SymbolicLink = 0o120_000,
    /// S_IFSOCK.
    Socket = 0o140_000,
}

impl FileKind {
    /// The kind in the S_IFMT bits of `mode`; `None` if they name no kind.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharacterDevice,
            0o040_000 => Self::Directory,
            0o060_000 => Self::BlockDevice,
            0o100_000 => Self::Regular,
            0o120_000 => Self::SymbolicLink,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// The S_IFMT bits.
    pub const fn mode_bits(self) -> u32 {
        self as u32
    }

    /// The `d_type` of getdents64(2).
    pub const fn directory_entry_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// A device number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl DeviceNumber {
    /// From the `dev_t` of the Linux user ABI (makedev(3)).
    pub const fn from_user(encoded: u64) -> Self {
        Self {
            major: ((encoded >> 8) & 0xfff) as u32 | ((encoded >> 32) as u32 & 0xffff_f000),
            minor: (encoded & 0xff) as u32 | ((encoded >> 12) as u32 & 0xffff_ff00),
        }
    }

    /// As the `dev_t` of the Linux user ABI.
    pub const fn to_user(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
    }
}

/// Names an inode in the whole sandbox; what FIFOs and the names of sockets are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InodeKey {
    /// `st_dev`.
    pub device: DeviceNumber,
    /// `st_ino`.
    pub inode: u64,
}

/// A point of CLOCK_REALTIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within the second, below 10^9.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// From nanoseconds since 1970.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self {
            seconds: (nanoseconds / 1_000_000_000) as i64,
            nanoseconds: (nanoseconds % 1_000_000_000) as u32,
        }
    }
}

/// The attributes of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// `st_dev`: the file system it is on.
    pub device: DeviceNumber,
    /// `st_ino`.
    pub inode: u64,
    /// Its type.
    pub kind: FileKind,
    /// Permission bits, set-id bits and sticky bit (0o7777).
    pub permissions: u16,
    /// Number of hard links.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What a device node stands for.
    pub device_node: DeviceNumber,
    /// Size in bytes.
    pub size: u64,
    /// Preferred I/O size in bytes.
    pub block_size: u32,
    /// Space used, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last change of the inode.
    pub changed: Timestamp,
    /// Creation, where known.
    pub created: Option<Timestamp>,
}

impl Attributes {
    /// Which inode they are of.
    pub const fn key(&self) -> InodeKey {
        InodeKey { device: self.device, inode: self.inode }
    }

    /// `st_mode`.
    pub const fn mode(&self) -> u32 {
        self.kind.mode_bits() | self.permissions as u32
    }
}

/// A change of attributes; what is `None` stays. `changed` is always updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// New permission, set-id and sticky bits.
    pub permissions: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size: truncates or extends with zeros.
    pub size: Option<u64>,
    /// New access time.
    pub accessed: Option<Timestamp>,
    /// New modification time.
    pub modified: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_the_user_encoding() {
        for (major, minor) in [(1, 3), (136, 0x12345), (0xabcd_e123, 0xfff0_0ff1)] {
            let device = DeviceNumber { major, minor };
            assert_eq!(DeviceNumber::from_user(device.to_user()), device);
        }
        assert_eq!(DeviceNumber { major: 1, minor: 3 }.to_user(), 0x103);
    }

    #[test]
    fn kinds_match_directory_entry_types() {
        assert_eq!(FileKind::Directory.directory_entry_type(), 4);
        assert_eq!(FileKind::from_mode(0o100_644), Some(FileKind::Regular));
        assert_eq!(FileKind::from_mode(0o170_000), None);
    }
}
