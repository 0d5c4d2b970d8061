//! Structures of the signal calls.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    errno::{Errno, Result},
    kernel::{
        Current,
        signal::{ActionFlags, Handler, SignalAction, SignalSet},
    },
    mm::UserAddress,
};

/// `struct sigaction` of the kernel.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UserAction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

impl From<&UserAction> for SignalAction {
    fn from(user: &UserAction) -> Self {
        Self {
            handler: Handler::from_user(user.handler),
            flags: ActionFlags::from_bits_retain(user.flags),
            restorer: user.restorer,
            mask: SignalSet(user.mask).difference(SignalSet::UNBLOCKABLE),
        }
    }
}

impl From<&SignalAction> for UserAction {
    fn from(action: &SignalAction) -> Self {
        Self {
            handler: action.handler.to_user(),
            flags: action.flags.bits(),
            restorer: action.restorer,
            mask: action.mask.0,
        }
    }
}

/// Reads a signal set of `size` bytes.
///
/// # Errors
/// EINVAL if the size is not that of the kernel's `sigset_t`, EFAULT.
pub async fn read_set(current: &Current, address: UserAddress, size: usize) -> Result<SignalSet> {
    check_size(size)?;
    Ok(SignalSet(current.mm.read(address).await?))
}

/// Checks the size of a signal set that user code passes.
///
/// # Errors
/// EINVAL.
pub const fn check_size(size: usize) -> Result<()> {
    if size == size_of::<SignalSet>() { Ok(()) } else { Err(Errno::EINVAL) }
}
