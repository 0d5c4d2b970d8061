//! Sending and receiving: send(2), recv(2) and their relatives.

mod receive;
mod send;

pub use receive::{recvfrom, recvmmsg, recvmsg};
pub use send::{sendmmsg, sendmsg, sendto};

use super::MessageHeader;
use crate::{
    errno::{Errno, Result},
    kernel::Current,
    mm::{UserAddress, UserBuffers, read_iovecs},
};

/// The most messages that one sendmmsg(2) or recvmmsg(2) moves (UIO_MAXIOV).
const MAX_MESSAGES: u32 = 1024;

/// The buffers that `header` describes.
async fn user_buffers<'a>(current: &'a Current, header: &MessageHeader) -> Result<UserBuffers<'a>> {
    let count = usize::try_from(header.iovec_count).map_err(|_| Errno::EMSGSIZE)?;
    let iovecs = read_iovecs(&current.mm, UserAddress(header.iovecs), count).await;
    // The vector calls of files answer EINVAL for too many.
    let iovecs =
        iovecs.map_err(|errno| if errno == Errno::EINVAL { Errno::EMSGSIZE } else { errno })?;
    Ok(UserBuffers::new(&current.mm, iovecs))
}
