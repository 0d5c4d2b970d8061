//! What FUTEX_WAKE_OP does with the second word (futex(2)).

use crate::errno::{Errno, Result};

/// What FUTEX_WAKE_OP does to the second word, and then compares with.
#[derive(Clone, Copy, Debug)]
pub struct WakeOperation {
    operation: u32,
    operand: u32,
    comparison: u32,
    compared: u32,
}

impl WakeOperation {
    /// From the encoded argument (futex(2), FUTEX_WAKE_OP).
    pub const fn decode(encoded: u32) -> Self {
        const SHIFT_OPERAND: u32 = 8;
        let operation = (encoded >> 28) & 0xf;
        let operand = sign_extend_12(encoded >> 12);
        let shift = operation & SHIFT_OPERAND != 0;
        Self {
            operation: operation & 7,
            operand: if shift { 1 << (operand & 31) } else { operand },
            comparison: (encoded >> 24) & 0xf,
            compared: sign_extend_12(encoded),
        }
    }

    /// The new value of a word that holds `old`.
    ///
    /// # Errors
    /// ENOSYS for an unknown operation.
    pub const fn apply(self, old: u32) -> Result<u32> {
        Ok(match self.operation {
            0 => self.operand,
            1 => old.wrapping_add(self.operand),
            2 => old | self.operand,
            3 => old & !self.operand,
            4 => old ^ self.operand,
            _ => return Err(Errno::ENOSYS),
        })
    }

    /// Whether the second word's waiters are to be woken, given its `old` value.
    ///
    /// # Errors
    /// ENOSYS for an unknown comparison.
    pub const fn compare(self, old: u32) -> Result<bool> {
        let (old, compared) = (old.cast_signed(), self.compared.cast_signed());
        Ok(match self.comparison {
            0 => old == compared,
            1 => old != compared,
            2 => old < compared,
            3 => old <= compared,
            4 => old > compared,
            5 => old >= compared,
            _ => return Err(Errno::ENOSYS),
        })
    }
}

const fn sign_extend_12(value: u32) -> u32 {
    ((value << 20).cast_signed() >> 20).cast_unsigned()
}
