//! System calls without a stop: user code hands them over through shared memory.
//!
//! A stop costs two switches of the host and a trip through ptrace. Where user code makes a call
//! often, its `MOV eax, number; SYSCALL` is replaced, in a copy of the page that only the stub
//! sees, by a jump to the *gate*: code that writes the registers to the stub thread's *area* and
//! waits there, for a bounded time, until the executor on another processor has answered.
//!
//! Everything that a stub can write is hostile: what is read from an area is a claim of the user
//! program about itself, and no more than it could have said with registers at a stop.

use std::sync::Arc;

use sentry::memory::PhysicalMemory;

use crate::sys;

mod area;
mod copies;
mod gate;
mod pace;
mod pages;
mod site;
mod texts;

pub use area::{Area, Found, Handed};
pub use copies::{Copies, Gate};
pub use gate::{Place, place};
pub use pace::Pace;
pub use pages::CallPages;
pub use site::Site;

/// Where a stub thread hands over its calls.
#[derive(Debug)]
pub struct Link {
    /// The memory.
    pub pages: Arc<CallPages>,
    /// The thread's area in it.
    pub area: Area,
}

impl Link {
    /// The memory that the area is in.
    pub fn memory(&self) -> &PhysicalMemory {
        self.pages.memory()
    }
}

/// Address of the gate page in stubs: the trampoline and the slots. Together with [`site`] it makes
/// the sixth byte of a patched site an invalid instruction.
pub const GATE: u64 = 0x6_0000;

/// Address of the areas in stubs, one for each executor; a multiple of 64 KiB, which the trampoline
/// checks.
pub const AREAS: u64 = 0x7_0000;

/// Whether the processor and the host let user code read its segment bases, by which it finds its
/// area (`<asm/hwcap2.h>`, HWCAP2_FSGSBASE).
pub fn is_supported() -> bool {
    const FSGSBASE: u64 = 1 << 1;
    sys::hardware_capabilities2() & FSGSBASE != 0
}
