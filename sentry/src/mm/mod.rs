//! Memory management: address spaces, page tables, page cache, and access to user memory.

mod page_cache;
mod user;

pub use page_cache::PageCache;
pub use user::UserAddress;

/// The address space of a process.
pub struct Mm {}
