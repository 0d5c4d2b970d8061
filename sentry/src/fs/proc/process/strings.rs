//! What is in the process's own memory: cmdline, environ and auxv.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};

use super::ProcessSubject;
use crate::{
    errno::Result,
    kernel::{BoxFuture, Kernel},
    mm::UserAddress,
};

/// The most bytes shown, to bound the sentry's memory (ARG_MAX by default is less).
const MAX_SHOWN: u64 = 2 << 20;

/// /proc/PID/cmdline.
pub(super) fn command_line(
    subject: ProcessSubject,
    _kernel: Arc<Kernel>,
) -> BoxFuture<'static, Result<Vec<u8>>> {
    Box::pin(async move { read(&subject, subject.process.string_ranges().arguments).await })
}

/// /proc/PID/environ.
pub(super) fn environment(
    subject: ProcessSubject,
    _kernel: Arc<Kernel>,
) -> BoxFuture<'static, Result<Vec<u8>>> {
    Box::pin(async move { read(&subject, subject.process.string_ranges().environment).await })
}

/// /proc/PID/auxv.
pub(super) fn auxiliary_vector(
    subject: ProcessSubject,
    _kernel: Arc<Kernel>,
) -> BoxFuture<'static, Result<Vec<u8>>> {
    Box::pin(async move { read(&subject, subject.process.string_ranges().auxiliary).await })
}

/// The memory from the first to before the second address; nothing of a zombie, or where the
/// process has unmapped it.
async fn read(subject: &ProcessSubject, (start, end): (u64, u64)) -> Result<Vec<u8>> {
    let Ok(mm) = subject.mm() else { return Ok(Vec::new()) };
    let length = end.saturating_sub(start).min(MAX_SHOWN);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    match mm.copy_in(UserAddress(start), &mut bytes).await {
        Ok(()) => Ok(bytes),
        Err(_) => Ok(Vec::new()),
    }
}
