//! The page cache of one file: shared by read, write and mmap.

/// The cached pages of one file.
pub struct PageCache {}
