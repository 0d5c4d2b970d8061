//! oom_score and oom_score_adj.

use alloc::{format, sync::Arc, vec::Vec};

use super::{ProcessSubject, numbers::resident};
use crate::{
    errno::{Errno, Result},
    kernel::{Capabilities, Credentials, Kernel},
};

/// /proc/PID/oom_score.
pub(super) fn score(subject: &ProcessSubject, kernel: &Arc<Kernel>) -> Vec<u8> {
    let statistics = subject.statistics();
    let used = resident(&statistics) + statistics.tables;
    let score = subject.process.oom.score(used, kernel.frames.total_frames() as u64);
    format!("{score}\n").into_bytes()
}

/// /proc/PID/oom_score_adj.
pub(super) fn adjustment(subject: &ProcessSubject) -> Vec<u8> {
    format!("{}\n", subject.process.oom.get()).into_bytes()
}

/// A write to it.
pub(super) fn adjust(
    subject: &ProcessSubject,
    _kernel: &Arc<Kernel>,
    writer: &Credentials,
    text: &[u8],
) -> Result<()> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let value = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    subject.process.oom.set(value, writer.has(Capabilities::SYS_RESOURCE))
}
