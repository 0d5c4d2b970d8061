//! Messages and what travels beside their bytes.

use alloc::{sync::Arc, vec::Vec};

use bitflags::bitflags;

use super::PeerCredentials;
use crate::vfs::OpenFile;

bitflags! {
    /// Flags of send(2) and recv(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MessageFlags: u32 {
        /// MSG_OOB; no family here has it.
        const OUT_OF_BAND = 0x1;
        /// MSG_PEEK: leave the data there.
        const PEEK = 0x2;
        /// MSG_CTRUNC: control data did not fit (only answered).
        const CONTROL_TRUNCATED = 0x8;
        /// MSG_TRUNC: answer the message's real length; the message did not fit.
        const TRUNCATED = 0x20;
        /// MSG_DONTWAIT.
        const DO_NOT_WAIT = 0x40;
        /// MSG_EOR.
        const END_OF_RECORD = 0x80;
        /// MSG_WAITALL: wait for all that was asked.
        const WAIT_ALL = 0x100;
        /// MSG_NOSIGNAL: no SIGPIPE.
        const NO_SIGNAL = 0x4000;
        /// MSG_WAITFORONE: recvmmsg(2) waits only for the first.
        const WAIT_FOR_ONE = 0x1_0000;
        /// MSG_CMSG_CLOEXEC: received descriptors are closed by execve(2).
        const CLOSE_ON_EXEC = 0x4000_0000;
    }
}

/// What is sent beside the bytes (cmsg(3)).
#[derive(Default)]
pub struct Control {
    /// Open files (SCM_RIGHTS).
    pub files: Vec<Arc<OpenFile>>,
    /// Credentials (SCM_CREDENTIALS); the sender's own unless it said otherwise.
    pub credentials: Option<PeerCredentials>,
    /// The most files that may be in flight when these are added (the sender's RLIMIT_NOFILE).
    pub in_flight_limit: u64,
}

/// What was received.
#[derive(Default)]
pub struct Received {
    /// Bytes put into the destination.
    pub count: usize,
    /// Length of the whole message; more than `count` if it did not fit.
    pub length: usize,
    /// Address of the sender; empty if it is known to be the other side.
    pub address: Vec<u8>,
    /// Open files.
    pub files: Vec<Arc<OpenFile>>,
    /// The sender.
    pub credentials: Option<PeerCredentials>,
    /// It was a whole message or the end of one.
    pub end_of_record: bool,
}
