//! The FUSE server of one device: requests in, answers out, files on the host in between.
//!
//! One thread drives one server, so there are no locks. A request is copied out of the window
//! before it is looked at ([`request`]), checked, and executed; its answer is written to the
//! window in place. `READ` and `WRITE` move their data between the window and the file directly.

mod attributes;
mod create;
mod data;
mod descriptors;
mod directory;
mod handles;
mod host;
mod metadata;
mod names;
mod nodes;
pub mod request;
mod service;
mod xattr;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, mem::MaybeUninit, os::fd::OwnedFd, sync::Arc};

use guest_abi::fuse::{
    InHeader, InitFlags, InitIn, InitOut, MAX_IO, Opcode, OutHeader, VERSION_MAJOR, VERSION_MINOR,
    WriteIn,
};
use rustc_hash::FxBuildHasher;
use rustix::{fs::AtFlags, io::Errno};
use smallvec::SmallVec;
use zerocopy::{FromZeros, Immutable, IntoBytes};

pub use host::FdPaths;
pub use service::{serve, spin_time};

use self::{
    descriptors::DescriptorCache,
    directory::Listing,
    handles::Handles,
    nodes::NodeTable,
    request::{HEAD_LIMIT, Operation},
};
use crate::virtqueue::Chain;

/// Bounds on what one server holds for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes; about 200 bytes each.
    pub nodes: usize,
    /// Open files and directories; one descriptor each.
    pub handles: usize,
    /// Descriptors of nodes kept for the next request.
    pub cached_descriptors: usize,
    /// Descriptors of nodes that have lost their name.
    pub pinned_descriptors: usize,
}

impl Limits {
    /// Limits for one of `servers` in a process that may open `open_files` files.
    pub const fn for_process(open_files: usize, servers: usize) -> Self {
        let reserve = 16 * (servers + 1);
        let budget = open_files.saturating_sub(reserve) / if servers == 0 { 1 } else { servers };
        let cached = budget / 4;
        Self {
            nodes: 1 << 20,
            handles: budget / 2,
            cached_descriptors: if cached > MAX_CACHED { MAX_CACHED } else { cached },
            pinned_descriptors: budget / 8,
        }
    }
}

/// More cached descriptors than this gain nothing: they serve the directories in use.
const MAX_CACHED: usize = 4096;

/// How a server serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Refuse every change with EROFS.
    pub read_only: bool,
    /// Bounds.
    pub limits: Limits,
    /// How files are named by descriptor.
    pub fd_paths: FdPaths,
}

/// The server of one device.
#[derive(Debug)]
pub struct Server {
    options: Options,
    root: Arc<OwnedFd>,
    nodes: NodeTable,
    descriptors: DescriptorCache,
    handles: Handles,
    /// Payload of the answer under construction.
    reply: Vec<u8>,
    /// What getdents64(2) fills.
    listing: Vec<MaybeUninit<u8>>,
}

/// How an executed request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// By the header alone.
    Done,
    /// By the payload in [`Server::reply`].
    Prepared,
    /// By this many payload bytes, already in the chain behind the header.
    InPlace(usize),
}

/// Result of executing a request.
type Result<T = Outcome> = std::result::Result<T, Errno>;

/// A map keyed by ids that the server hands out one after the other; so a fast hash will do.
type IdMap<V> = HashMap<u64, V, FxBuildHasher>;

/// Bytes of the header before every answer.
const OUT_HEADER: usize = size_of::<OutHeader>();

impl Server {
    /// A server of the tree (or the file) at the O_PATH descriptor `root`.
    ///
    /// # Errors
    /// Those of statx(2).
    pub fn new(root: OwnedFd, options: Options) -> Result<Self> {
        let status = host::status(&root)?;
        let limits = options.limits;
        Ok(Self {
            root: Arc::new(root),
            nodes: NodeTable::new(host::identity(&status), host::kind(&status), limits.nodes),
            descriptors: DescriptorCache::new(limits),
            handles: Handles::new(limits.handles),
            options,
            reply: Vec::new(),
            listing: Vec::new(),
        })
    }

    /// Executes the request in `chain`, writes the answer, and tells its length in bytes. A chain
    /// without a whole header, or without room for the answer's, is answered by nothing.
    pub fn handle(&mut self, chain: &Chain) -> u32 {
        let mut header = InHeader::new_zeroed();
        if chain.readable.read(0, header.as_mut_bytes()).is_err() {
            return 0;
        }
        let body = receive(&header, chain);
        let operation = body.as_deref().map_err(|&error| error);
        let operation = operation.and_then(|body| Operation::parse(header.opcode, body));
        let silent = is_silent(header.opcode);
        if !silent && chain.writable.len() < OUT_HEADER {
            return 0;
        }
        self.reply.clear();
        let outcome = operation.and_then(|operation| self.execute(&header, operation, chain));
        if silent { 0 } else { self.answer(&header, outcome, chain) }
    }

    fn execute(&mut self, header: &InHeader, operation: Operation<'_>, chain: &Chain) -> Result {
        if self.options.read_only && operation.modifies() {
            return Err(Errno::ROFS);
        }
        if chain.writable.len() < operation.reply_length() {
            return Err(Errno::RANGE);
        }
        let node = header.node;
        match operation {
            Operation::Init(request) => self.init(&request),
            Operation::Lookup(name) => self.lookup(node, name),
            Operation::Forget(request) => self.forget(node, request.lookups),
            Operation::BatchForget(forgets) => self.forget_all(forgets),
            Operation::Getattr(request) => self.getattr(node, &request),
            Operation::Setattr(request) => self.setattr(node, &request),
            Operation::Readlink => self.readlink(node),
            Operation::Symlink { name, target } => self.symlink(header, name, target),
            Operation::Mknod(request, name) => self.mknod(header, &request, name),
            Operation::Mkdir(request, name) => self.mkdir(header, &request, name),
            Operation::Unlink(name) => self.unlink(node, name, AtFlags::empty()),
            Operation::Rmdir(name) => self.unlink(node, name, AtFlags::REMOVEDIR),
            Operation::Rename { request, old, new } => self.rename(node, old, &request, new),
            Operation::Link(request, name) => self.link(request.node, node, name),
            Operation::Open(request) => self.open(node, &request),
            Operation::Create(request, name) => self.create(header, &request, name),
            Operation::Read(request) => self.read(node, &request, chain),
            Operation::Write(request) => self.write(header, &request, chain),
            Operation::Statfs => self.statfs(node),
            Operation::Flush(request) => self.flush(&request),
            Operation::Fsync(request) | Operation::Fsyncdir(request) => self.fsync(&request),
            Operation::Setxattr { flags, name, value } => self.setxattr(node, flags, name, value),
            Operation::Getxattr(request, name) => self.getxattr(node, &request, name),
            Operation::Listxattr(request) => self.listxattr(node, &request),
            Operation::Removexattr(name) => self.removexattr(node, name),
            Operation::Opendir => self.opendir(node),
            Operation::Readdir(request) => self.readdir(node, &request, chain, Listing::Names),
            Operation::Readdirplus(request) => {
                self.readdir(node, &request, chain, Listing::Attributes)
            }
            Operation::Release(request) | Operation::Releasedir(request) => {
                self.release(request.handle)
            }
            Operation::Fallocate(request) => self.fallocate(&request),
            Operation::Lseek(request) => self.lseek(&request),
            Operation::CopyFileRange(request) => self.copy_range(&request),
        }
    }

    fn init(&mut self, request: &InitIn) -> Result {
        if request.major != VERSION_MAJOR {
            return Err(Errno::PROTO);
        }
        self.prepare(&InitOut {
            major: VERSION_MAJOR,
            minor: VERSION_MINOR,
            max_readahead: request.max_readahead,
            flags: InitFlags::all().bits(),
            max_write: MAX_IO,
            time_granularity: 1,
            max_pages: MAX_PAGES,
            ..InitOut::default()
        })
    }

    /// Makes `payload` the start of the answer.
    fn prepare<T: IntoBytes + Immutable>(&mut self, payload: &T) -> Result {
        self.reply.clear();
        self.reply.extend_from_slice(payload.as_bytes());
        Ok(Outcome::Prepared)
    }

    /// Writes the answer and tells its length.
    fn answer(&self, header: &InHeader, outcome: Result, chain: &Chain) -> u32 {
        let payload = match outcome {
            Ok(Outcome::Prepared) => chain
                .writable
                .write(OUT_HEADER, &self.reply)
                .map(|()| self.reply.len())
                .map_err(|_| Errno::RANGE),
            Ok(Outcome::InPlace(length)) => Ok(length),
            Ok(Outcome::Done) => Ok(0),
            Err(error) => Err(error),
        };
        let length = OUT_HEADER.saturating_add(*payload.as_ref().unwrap_or(&0));
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let error = payload.err().map_or(0, |error| -error.raw_os_error());
        let reply = OutHeader { length, error, unique: header.unique };
        match chain.writable.write(0, reply.as_bytes()) {
            Ok(()) => length,
            Err(_) => 0,
        }
    }
}

/// Most pages of one READ or WRITE.
const MAX_PAGES: u16 = (MAX_IO / 4096) as u16;

/// Whether the operation has no reply, even if it fails.
fn is_silent(opcode: u32) -> bool {
    [Opcode::Forget, Opcode::BatchForget].iter().any(|&silent| silent as u32 == opcode)
}

/// Copies what follows the header out of the chain, but not the data of a `WRITE`.
fn receive(header: &InHeader, chain: &Chain) -> Result<SmallVec<[u8; 512]>> {
    let length = usize::try_from(header.length).map_err(|_| Errno::INVAL)?;
    let length = length.checked_sub(size_of::<InHeader>()).ok_or(Errno::INVAL)?;
    let length = match Opcode::try_from(header.opcode) {
        Ok(Opcode::Write) => length.min(size_of::<WriteIn>()),
        _ if length > HEAD_LIMIT => return Err(Errno::TOOBIG),
        _ => length,
    };
    let mut body = SmallVec::from_elem(0, length);
    chain.readable.read(size_of::<InHeader>(), &mut body).map_err(|_| Errno::INVAL)?;
    Ok(body)
}
