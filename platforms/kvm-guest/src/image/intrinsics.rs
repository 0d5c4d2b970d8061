//! What precompiled `core` names and no code reaches: unwinding does not exist here.

/// The function that would look at each frame.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}

/// As [`rust_eh_personality`].
#[unsafe(no_mangle)]
pub extern "C" fn _Unwind_Resume() -> ! {
    super::ports::panicked()
}
