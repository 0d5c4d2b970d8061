//! Stub processes: what is in them, how the first is born, and how their threads are driven.
//!
//! A stub process holds one address space. Besides the application's pages it maps two pages at
//! the top of user space: the code page with the batch loop, and its command page, which it can
//! only read. Its only descriptors are sandbox memory and the memories of all command pages and
//! of all call pages.

mod birth;
mod code;
mod command;
mod filter;
mod gate;
mod registers;
mod stop;
mod thread;

pub use birth::{Descriptors, give_birth};
pub use command::{Command, CommandPages, MAX_PROCESSES};
pub use thread::{BatchEnd, StubThread, Tracee};

/// Address of the code page: the last page below `TASK_SIZE_MAX` of 4-level paging.
const CODE_PAGE: u64 = 0x7fff_ffff_e000;

/// Address of the command page.
const COMMAND_PAGE: u64 = CODE_PAGE - PAGE_SIZE;

/// First address that user code may not map.
pub const USER_ADDRESS_LIMIT: u64 = 0x7fff_ffff_0000;

/// Size of a page in bytes.
const PAGE_SIZE: u64 = sentry::memory::PAGE_SIZE as u64;

/// Descriptor of sandbox memory in every stub.
const MEMORY_DESCRIPTOR: i32 = 0;

/// Descriptor of the command memory in every stub.
const COMMAND_DESCRIPTOR: i32 = 1;

/// Descriptor of the memory of call pages in every stub.
const CALLS_DESCRIPTOR: i32 = 2;
