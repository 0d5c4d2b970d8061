//! /dev/null, /dev/zero, /dev/full and /dev/random (mem(4), null(4), full(4), random(4)).

use alloc::sync::Arc;

use async_trait::async_trait;

use crate::{
    errno::Errno,
    io::{Destination, Source, TryResult},
    kernel::Kernel,
    vfs::{File, WritePosition, Written},
};

/// Takes all of `source` as written without looking at it.
fn discard(source: &mut dyn Source) -> TryResult<Written> {
    let count = source.skip(source.remaining())?;
    Ok(Written { count, end: 0 })
}

fn zeros(destination: &mut dyn Destination) -> TryResult<usize> {
    match destination.remaining() {
        0 => Ok(0),
        length => destination.put_zeros(length),
    }
}

/// /dev/null.
pub struct Null;

#[async_trait]
impl File for Null {
    fn try_read(&self, _offset: u64, _destination: &mut dyn Destination) -> TryResult<usize> {
        Ok(0)
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        discard(source)
    }

    fn is_seekable(&self) -> bool {
        true
    }
}

/// /dev/zero.
pub struct Zero;

#[async_trait]
impl File for Zero {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        zeros(destination)
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        discard(source)
    }

    fn is_seekable(&self) -> bool {
        true
    }
}

/// /dev/full.
pub struct Full;

#[async_trait]
impl File for Full {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        zeros(destination)
    }

    fn try_write(&self, _at: WritePosition, _source: &mut dyn Source) -> TryResult<Written> {
        Err(Errno::ENOSPC.into())
    }

    fn is_seekable(&self) -> bool {
        true
    }
}

/// /dev/random and /dev/urandom: the same, since the generator is seeded before the first task.
pub struct RandomDevice(Arc<Kernel>);

impl RandomDevice {
    /// The generator of `kernel`.
    pub const fn new(kernel: Arc<Kernel>) -> Self {
        Self(kernel)
    }
}

#[async_trait]
impl File for RandomDevice {
    fn try_read(&self, _offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        let mut total = 0;
        while destination.remaining() > 0 {
            let mut chunk = [0; 512];
            let chunk = &mut chunk[..destination.remaining().min(512)];
            self.0.random.fill(chunk);
            match destination.put(chunk) {
                Ok(count) => total += count,
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(total)
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        // Linux mixes it in without counting it as entropy; it cannot make the output worse.
        discard(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::{Bytes, Sink};

    #[test]
    fn null_takes_everything_and_gives_nothing() {
        assert_eq!(Null.try_read(0, &mut Sink::new(8)), Ok(0));
        let written = Null.try_write(WritePosition::End, &mut Bytes::new(b"abc"));
        assert_eq!(written.map(|written| written.count), Ok(3));
    }

    #[test]
    fn zero_and_full_give_zeros() {
        let mut sink = Sink::new(5000);
        assert_eq!(Zero.try_read(0, &mut sink), Ok(5000));
        assert!(sink.bytes.iter().all(|byte| *byte == 0));
        assert_eq!(Full.try_read(0, &mut Sink::new(3)), Ok(3));
        let written = Full.try_write(WritePosition::End, &mut Bytes::new(b"abc"));
        assert_eq!(written, Err(Errno::ENOSPC.into()));
    }
}
