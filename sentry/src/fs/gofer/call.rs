//! A request to the server, as pieces that are written one after the other.

use alloc::vec::Vec;

use guest_abi::fuse::{InHeader, Opcode};
use smallvec::SmallVec;
use zerocopy::{Immutable, IntoBytes};

use crate::{
    drivers::Buffer,
    errno::{Errno, Result},
};

/// Bytes of the request header.
const HEADER: usize = size_of::<InHeader>();

/// A request without its unique id: operation, node, and body.
pub(super) struct Call<'a> {
    opcode: Opcode,
    node: u64,
    owner: (u32, u32),
    body: SmallVec<[&'a [u8]; 6]>,
    /// Bytes that follow in a buffer of their own (WRITE).
    data_length: usize,
}

impl<'a> Call<'a> {
    /// A request of `opcode` about `node`.
    pub(super) fn new(opcode: Opcode, node: u64) -> Self {
        Self { opcode, node, owner: (0, 0), body: SmallVec::new(), data_length: 0 }
    }

    /// With `uid` and `gid` as owner of what it creates.
    pub(super) const fn owned_by(mut self, uid: u32, gid: u32) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// Followed by a struct.
    pub(super) fn with<T: IntoBytes + Immutable>(self, body: &'a T) -> Self {
        self.bytes(body.as_bytes())
    }

    /// Followed by bytes.
    pub(super) fn bytes(mut self, bytes: &'a [u8]) -> Self {
        self.body.push(bytes);
        self
    }

    /// Followed by a name and its NUL.
    pub(super) fn name(self, name: &'a [u8]) -> Self {
        self.bytes(name).bytes(b"\0")
    }

    /// Followed by `length` bytes that the caller has in a buffer.
    pub(super) const fn data(mut self, length: usize) -> Self {
        self.data_length = length;
        self
    }

    /// Bytes of the header and the body, without the data.
    pub(super) fn head_length(&self) -> usize {
        self.body.iter().fold(HEADER, |sum, piece| sum + piece.len())
    }

    /// Writes header and body to the start of `buffer`.
    ///
    /// # Errors
    /// EMSGSIZE if they do not fit.
    pub(super) fn write_to(&self, buffer: &Buffer, unique: u64) -> Result<()> {
        let head = self.head_length();
        let length = head.checked_add(self.data_length).ok_or(Errno::EMSGSIZE)?;
        let header = InHeader {
            length: u32::try_from(length).map_err(|_| Errno::EMSGSIZE)?,
            opcode: self.opcode as u32,
            unique,
            node: self.node,
            uid: self.owner.0,
            gid: self.owner.1,
            ..InHeader::default()
        };
        // Gathered first: one copy into the window.
        let mut bytes: SmallVec<[u8; 512]> = SmallVec::new();
        bytes.extend_from_slice(header.as_bytes());
        for piece in &self.body {
            bytes.extend_from_slice(piece);
        }
        buffer.write(0, &bytes).map_err(|_| Errno::EMSGSIZE)
    }
}

/// Several structs as one piece.
pub(super) fn concatenate<T: IntoBytes + Immutable>(items: &[T]) -> Vec<u8> {
    items.iter().flat_map(|item| item.as_bytes().iter().copied()).collect()
}
