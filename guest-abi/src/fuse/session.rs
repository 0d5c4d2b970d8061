//! The start of a session.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Request of `INIT` (`struct fuse_init_in`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct InitIn {
    /// [`super::VERSION_MAJOR`]; anything else is refused with EPROTO.
    pub major: u32,
    /// [`super::VERSION_MINOR`] of the client.
    pub minor: u32,
    /// Most bytes the client reads ahead.
    pub max_readahead: u32,
    /// [`InitFlags`] the client knows.
    pub flags: u32,
    /// Upper half of the flags; none used.
    pub flags2: u32,
    /// Zero.
    pub unused: [u32; 11],
}

/// Reply of `INIT` (`struct fuse_init_out`).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct InitOut {
    /// [`super::VERSION_MAJOR`].
    pub major: u32,
    /// [`super::VERSION_MINOR`] of the server.
    pub minor: u32,
    /// Most bytes the client should read ahead.
    pub max_readahead: u32,
    /// [`InitFlags`] in force.
    pub flags: u32,
    /// Unlimited: 0.
    pub max_background: u16,
    /// Unlimited: 0.
    pub congestion_threshold: u16,
    /// Most bytes of one `WRITE`.
    pub max_write: u32,
    /// Granularity of time stamps in nanoseconds.
    pub time_granularity: u32,
    /// Most pages of one `READ` or `WRITE`.
    pub max_pages: u16,
    /// Unused: 0.
    pub map_alignment: u16,
    /// Upper half of the flags; none used.
    pub flags2: u32,
    /// Zero.
    pub unused: [u32; 7],
}

bitflags! {
    /// `flags` of [`InitIn`] and [`InitOut`]: the behaviours of this contract, always in force.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InitFlags: u32 {
        /// Several reads of one file may be under way.
        const ASYNC_READ = 1;
        /// `OPEN` handles `O_TRUNC`.
        const ATOMIC_TRUNCATE = 1 << 3;
        /// A `WRITE` may be larger than a page.
        const BIG_WRITES = 1 << 5;
        /// The mode of a request has the umask applied.
        const DONT_MASK = 1 << 6;
        /// `READDIRPLUS` exists.
        const READDIRPLUS = 1 << 13;
        /// Several lookups and listings of one directory may be under way.
        const PARALLEL_DIRECTORY_OPERATIONS = 1 << 18;
        /// [`InitOut::max_pages`] is valid.
        const MAX_PAGES = 1 << 22;
        /// Set-ID bits are cleared when a request says so (`FUSE_HANDLE_KILLPRIV_V2`).
        const HANDLE_KILL_PRIVILEGES = 1 << 28;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layout_is_that_of_linux_fuse_h() {
        assert_eq!(size_of::<InitIn>(), 64);
        assert_eq!(size_of::<InitOut>(), 64);
        assert_eq!(offset_of!(InitOut, max_write), 20);
        assert_eq!(offset_of!(InitOut, max_pages), 28);
        assert_eq!(offset_of!(InitOut, flags2), 32);
    }
}
