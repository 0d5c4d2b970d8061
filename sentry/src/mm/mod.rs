//! Memory management: address spaces, page tables, page cache, and access to user memory.
#![doc = include_str!("README.md")]

mod address_space;
mod copy;
mod futex_key;
mod page_cache;
mod page_table;
mod user;
mod user_buffers;
mod vma;

pub use address_space::{
    Advice, Fault, FilePart, Layout, Limits, MapRequest, MapSource, Mapping, Mm, Placement,
    RemapTarget, Statistics, TryFault,
};
pub use futex_key::FutexKey;
pub use page_cache::{PageBacking, PageCache, PageMiss};
pub use page_table::{Entry, PageTable};
pub use user::UserAddress;
pub use user_buffers::{IOV_MAX, IoVector, Iovecs, MAX_TRANSFER, UserBuffers, read_iovecs};
pub use vma::VmaFlags;
