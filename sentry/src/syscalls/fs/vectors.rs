//! Buffers of the vector calls.

use crate::{
    errno::Result,
    kernel::Current,
    mm::{UserAddress, UserBuffers, read_iovecs},
};

/// The `count` buffers described at `address`.
///
/// # Errors
/// EINVAL, EFAULT.
pub async fn buffers(
    current: &Current,
    address: UserAddress,
    count: u64,
) -> Result<UserBuffers<'_>> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let iovecs = read_iovecs(&current.mm, address, count).await?;
    Ok(UserBuffers::new(&current.mm, iovecs))
}
