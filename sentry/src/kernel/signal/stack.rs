//! The alternate signal stack (sigaltstack(2)).

/// SS_ONSTACK.
pub const ON_STACK: u32 = 1;
/// SS_DISABLE.
pub const DISABLE: u32 = 2;
/// SS_AUTODISARM.
pub const AUTO_DISARM: u32 = 1 << 31;

/// An alternate stack; disabled if its size is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlternateStack {
    /// Lowest address.
    pub base: u64,
    /// Size in bytes.
    pub size: u64,
    /// Disabled while a handler runs on it (SS_AUTODISARM).
    pub auto_disarm: bool,
}

impl AlternateStack {
    /// Whether `stack_pointer` is on it.
    pub const fn contains(&self, stack_pointer: u64) -> bool {
        !self.auto_disarm
            && stack_pointer > self.base
            && stack_pointer.wrapping_sub(self.base) <= self.size
    }

    /// The `ss_flags` that user code sees.
    pub const fn flags(&self, stack_pointer: u64) -> u32 {
        let state = if self.size == 0 {
            DISABLE
        } else if self.contains(stack_pointer) {
            ON_STACK
        } else {
            0
        };
        if self.auto_disarm { state | AUTO_DISARM } else { state }
    }
}
