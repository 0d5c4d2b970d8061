//! User pointers as a type: nothing dereferences them but this module and its neighbours.

use crate::errno::{Errno, Result};

/// An address that user code gave; it may be anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserAddress(pub u64);

impl UserAddress {
    /// Whether it is NULL.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `bytes` further on.
    ///
    /// # Errors
    /// EFAULT if that leaves the 64-bit space.
    pub fn offset(self, bytes: u64) -> Result<Self> {
        self.0.checked_add(bytes).map(Self).ok_or(Errno::EFAULT)
    }
}
