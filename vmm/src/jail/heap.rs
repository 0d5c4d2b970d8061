//! The C library's heap, in a process that stays and has no files.
#![allow(unsafe_code, reason = "leaf module: mallopt(3), malloc_trim(3)")]

/// Heaps that threads may have of their own; more threads share them.
#[cfg(target_env = "gnu")]
const HEAPS: libc::c_int = 32;

/// Fixes the number of heaps. Otherwise the GNU library opens a file of sysfs to count processors when
/// the ninth thread asks for memory, which the filters of system calls take for an attack.
pub fn fix_number() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt sets a number and touches no memory of ours. Failure leaves the default.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS)
    };
}

/// Gives free memory back that only the start needed.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim works on memory that nobody has allocated (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0)
    };
}
