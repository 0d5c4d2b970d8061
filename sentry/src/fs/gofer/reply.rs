//! What the server answered. Nothing in it is believed before it has been checked.

use alloc::{vec, vec::Vec};

use guest_abi::fuse::OutHeader;
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    drivers::{Completion, Part},
    errno::{Errno, Result},
};

/// Bytes of the reply header.
pub(super) const HEADER: usize = size_of::<OutHeader>();

/// A successful reply.
///
/// The header is at the start of the first part's writable bytes. The body follows it there if the
/// request left room for it, and else is in the last part.
pub(super) struct Reply {
    completion: Completion,
    length: usize,
}

impl Reply {
    /// Checks what came back for the request `unique`.
    ///
    /// # Errors
    /// The server's errno; EIO if the reply is malformed.
    pub(super) fn parse(completion: Completion, unique: u64) -> Result<Self> {
        let written = completion.written()?;
        let first = completion.chain.parts.first().ok_or(Errno::EIO)?;
        if written < HEADER || first.writable() < HEADER {
            return Err(Errno::EIO);
        }
        let mut header = OutHeader::default();
        first.buffer().read(first.writable_offset(), header.as_mut_bytes())?;
        let length = usize::try_from(header.length).map_err(|_| Errno::EIO)?;
        if header.unique != unique || length != written {
            return Err(Errno::EIO);
        }
        match header.error {
            0 => Ok(Self { completion, length: length - HEADER }),
            error => Err(server_error(error)),
        }
    }

    /// Bytes of the body.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// The struct at `offset` of the body.
    ///
    /// # Errors
    /// EIO if the body is shorter.
    pub(super) fn read<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read_bytes(offset, value.as_mut_bytes())?;
        Ok(value)
    }

    /// The whole body.
    ///
    /// # Errors
    /// EIO if it is where no body can be.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        self.read_bytes(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies `length` bytes from `offset` of the body to physical memory at `address`.
    ///
    /// # Errors
    /// EIO if the body is shorter.
    pub(super) fn copy_to(&self, offset: usize, address: u64, length: usize) -> Result<()> {
        self.check_range(offset, length)?;
        let (part, start) = self.body()?;
        part.buffer().copy_to(start + offset, address, length)
    }

    fn read_bytes(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.check_range(offset, bytes.len())?;
        let (part, start) = self.body()?;
        part.buffer().read(start + offset, bytes)
    }

    fn check_range(&self, offset: usize, length: usize) -> Result<()> {
        let end = offset.checked_add(length).ok_or(Errno::EIO)?;
        if end > self.length { Err(Errno::EIO) } else { Ok(()) }
    }

    /// The part that holds the body, and where in its buffer.
    fn body(&self) -> Result<(&Part, usize)> {
        let parts = &self.completion.chain.parts;
        let first = parts.first().ok_or(Errno::EIO)?;
        if first.writable() > HEADER {
            return Ok((first, first.writable_offset() + HEADER));
        }
        let last = parts.last().ok_or(Errno::EIO)?;
        Ok((last, last.writable_offset()))
    }
}

/// The errno that the server means; EIO for what is none, or none of the user ABI.
fn server_error(error: i32) -> Errno {
    error
        .checked_neg()
        .and_then(|number| u16::try_from(number).ok())
        .and_then(Errno::from_number)
        .filter(|errno| !errno.is_restart())
        .unwrap_or(Errno::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{BufferArea, Chain, testing::TestMachine};
    use proptest::prelude::*;

    fn reply(inline_room: usize, bytes: &[u8], used: u32, unique: u64) -> Result<Reply> {
        let machine = TestMachine::new(1 << 16);
        let pool =
            BufferArea::of(&machine.device).unwrap().cut(&machine.platform(), 512, 2).unwrap();
        let part = Part::new(pool.try_allocate().unwrap(), 40, HEADER + inline_room).unwrap();
        let room = part.writable().min(bytes.len());
        let offset = part.writable_offset();
        part.buffer().write(offset, &bytes[..room]).unwrap();
        let mut chain = Chain::of(part);
        if inline_room == 0 {
            let body = Part::new(pool.try_allocate().unwrap(), 0, 256).unwrap();
            body.buffer().write(0, &bytes[room..]).unwrap();
            chain.parts.push(body);
        }
        Reply::parse(Completion { chain, length: used }, unique)
    }

    fn message(length: u32, error: i32, unique: u64, body: &[u8]) -> Vec<u8> {
        let header = OutHeader { length, error, unique };
        [header.as_bytes(), body].concat()
    }

    #[test]
    fn the_body_is_found_inline_and_in_its_own_part() {
        for inline_room in [0, 64] {
            let bytes = message(24, 0, 7, &5_u64.to_le_bytes());
            let reply = reply(inline_room, &bytes, 24, 7).unwrap();
            assert_eq!(reply.read::<u64>(0), Ok(5));
            assert_eq!(reply.read::<u64>(1), Err(Errno::EIO));
            assert_eq!(reply.bytes().unwrap(), 5_u64.to_le_bytes());
        }
    }

    #[test]
    fn errors_are_the_servers_or_eio() {
        for (error, expected) in [
            (-2, Errno::ENOENT),
            (2, Errno::EIO),
            (-512, Errno::EIO),
            (-9999, Errno::EIO),
            (i32::MIN, Errno::EIO),
        ] {
            let outcome = reply(64, &message(16, error, 7, &[]), 16, 7);
            assert_eq!(outcome.err(), Some(expected), "{error}");
        }
    }

    #[test]
    fn lengths_and_ids_must_agree() {
        for (length, used, unique) in [(16, 15, 7), (15, 16, 7), (24, 16, 7), (16, 16, 8)] {
            let outcome = reply(64, &message(length, 0, unique, &[]), used, 7);
            assert_eq!(outcome.err(), Some(Errno::EIO));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Arbitrary bytes and lengths give a reply that stays inside its buffers, or an error.
        #[test]
        fn any_reply_is_judged(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            used in 0_u32..400,
            inline in any::<bool>(),
        ) {
            if let Ok(reply) = reply(if inline { 200 } else { 0 }, &bytes, used, 7) {
                prop_assert!(reply.length() <= 256);
                let _ = (reply.bytes(), reply.read::<u64>(usize::MAX));
            }
        }
    }
}
