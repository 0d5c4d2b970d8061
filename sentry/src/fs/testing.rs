//! Kernel buffers as sources and destinations, and a minimal executor, for unit tests.

use alloc::vec::Vec;
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use alloc::sync::Arc;

use guest_abi::{
    boot::{ABI_VERSION, BootInfo},
    container::ContainerSpec,
};

use crate::{
    errno::Errno,
    io::{Destination, Source, TryResult},
    kernel::Kernel,
    platform::mock::MockPlatform,
};

/// A kernel without a task, on the mock platform.
pub fn kernel() -> (Arc<Kernel>, Arc<MockPlatform>) {
    let platform = MockPlatform::new(64);
    let boot_info = BootInfo {
        abi_version: ABI_VERSION,
        ram_size: 64 << 12,
        ram_free_start: 0,
        executors: 1,
        random_seed: [7; 32],
        devices: Vec::new(),
        container: ContainerSpec {
            hostname: "sandbox".into(),
            has_init: true,
            ..ContainerSpec::default()
        },
        strace: false,
    };
    (Kernel::new(platform.clone(), boot_info), platform)
}

/// Takes bytes.
pub struct Sink {
    /// What it took.
    pub bytes: Vec<u8>,
    room: usize,
}

impl Sink {
    /// A sink for `room` bytes.
    pub fn new(room: usize) -> Self {
        Self { bytes: Vec::new(), room }
    }
}

impl Destination for Sink {
    fn remaining(&self) -> usize {
        self.room - self.bytes.len()
    }

    fn put(&mut self, bytes: &[u8]) -> TryResult<usize> {
        let count = bytes.len().min(self.remaining());
        self.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn put_physical(&mut self, _address: u64, _length: usize) -> TryResult<usize> {
        Err(Errno::EFAULT.into())
    }

    fn put_zeros(&mut self, length: usize) -> TryResult<usize> {
        let count = length.min(self.remaining());
        self.bytes.resize(self.bytes.len() + count, 0);
        Ok(count)
    }
}

/// Gives bytes.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// A source of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl Source for Bytes<'_> {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize> {
        let (now, later) = self.0.split_at(bytes.len().min(self.0.len()));
        bytes[..now.len()].copy_from_slice(now);
        self.0 = later;
        Ok(now.len())
    }

    fn take_physical(&mut self, _address: u64, _length: usize) -> TryResult<usize> {
        Err(Errno::EFAULT.into())
    }
}

/// Polls `future` once; its value if it did not have to wait.
pub fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
