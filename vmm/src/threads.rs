//! Threads of the sandbox and of the gofer.

use std::thread::Builder;

/// Less than a huge page: the host may back a whole stack of that size by one, as soon as it is touched
/// (Documentation/admin-guide/mm/transhuge.rst).
const STACK_BYTES: usize = 1 << 20;

/// A thread to be, called `name`.
pub fn named(name: String) -> Builder {
    Builder::new().name(name).stack_size(STACK_BYTES)
}
