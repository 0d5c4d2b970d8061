//! The file-system device: the FUSE protocol as `linux/fuse.h` defines it, over one virtqueue.
//!
//! # Conventions of this contract
//!
//! - One device, so one queue and one server state, per served mount. Node id [`ROOT_NODE`] is the
//!   mount's root, which may be a regular file (a bind mount of one file).
//! - A request is one descriptor chain. Its device-readable part is [`InHeader`], the operation's
//!   struct, then its names (each NUL-terminated) or its data; its device-writable part takes
//!   [`OutHeader`] and the reply. Neither struct need be in a descriptor of its own.
//! - [`InHeader::length`] counts the device-readable part; data behind it is ignored.
//! - A failed request is answered by an [`OutHeader`] alone, with the negative errno in
//!   [`OutHeader::error`]. A reply that does not fit into the device-writable part is `ERANGE`.
//! - `FORGET` and `BATCH_FORGET` have no reply: their chain is returned with used length 0.
//! - The first request is `INIT`; the server answers others before it too, since it negotiates
//!   nothing: the version is [`VERSION_MAJOR`], the optional behaviours are those named here.
//! - The sentry checks permissions; the server acts with its own. New files get the uid and gid of
//!   the request header (so a set-group-ID directory's gid is put there by the sentry) and exactly
//!   the mode of the request: the umask is already applied.
//! - `OPEN` and `CREATE` honour the access mode, `O_TRUNC`, `O_EXCL` and `O_SYNC`/`O_DSYNC`; other
//!   flags are the sentry's own. Where a write goes is decided by [`WriteIn::offset`] alone.
//! - Devices, FIFOs and sockets are looked up, renamed and removed but never opened (`EACCES`):
//!   what opens them is the sentry. FIFOs and sockets can be made, devices not (`EPERM`), since on
//!   a shared directory they would be devices for the host's users too. Nor are files of the
//!   host's procfs opened (`EACCES`).
//! - A read-only device answers `EROFS` to whatever would change something, `OPEN` for writing
//!   included.
//! - `SETATTR` of the size kills set-ID bits only if `KILL_SUIDGID` asks for it.
//! - The validity times in replies are zero: how long to cache is the sentry's decision
//!   ([`crate::container::CachePolicy`]).
//! - `READDIR` and `READDIRPLUS` list `.` and `..` too. A `READDIRPLUS` entry with node id 0 gives
//!   the name only (`.`, `..`, or an entry that vanished); any other counts as one `LOOKUP`.
//! - A listing reply that leaves room for the longest possible entry is the last one.
//! - `READ`, `READDIR` and `READDIRPLUS` may name [`NO_HANDLE`]: the server then opens the node for
//!   that one request. It is for small files and directories that one reply can hold.
//! - A node whose host file was moved or replaced behind the server's back answers `ESTALE`; a new
//!   `LOOKUP` finds what is there now.

mod attributes;
mod data;
mod directory;
mod header;
mod names;
mod opcode;
mod session;

pub use attributes::{
    AttributesOut, EntryOut, FileAttributes, GetattrFlags, GetattrIn, SetattrIn, SetattrValid,
    StatfsOut,
};
pub use data::{
    CopyFileRangeIn, CreateIn, FallocateIn, FlushIn, FsyncFlags, FsyncIn, LseekIn, LseekOut,
    OpenIn, OpenOut, ReadIn, ReleaseIn, WriteFlags, WriteIn, WriteOut,
};
pub use directory::{DirectoryEntry, DirectoryEntryPlus, ENTRY_ALIGNMENT, padded_length};
pub use header::{InHeader, OutHeader};
pub use names::{
    BatchForgetIn, ForgetIn, ForgetOne, GetxattrIn, GetxattrOut, LinkIn, MkdirIn, MknodIn,
    Rename2In, SetxattrIn,
};
pub use opcode::{Opcode, UnknownOpcode};
pub use session::{InitFlags, InitIn, InitOut};

/// Major version of the protocol.
pub const VERSION_MAJOR: u32 = 7;

/// Minor version whose structs these are. A peer of a lower minor version may lack some.
pub const VERSION_MINOR: u32 = 38;

/// Node id of the mount's root; never forgotten.
pub const ROOT_NODE: u64 = 1;

/// No handle: the node itself. The server gives no open file this number.
pub const NO_HANDLE: u64 = 0;

/// Longest name in bytes, without its NUL (NAME_MAX of `linux/limits.h`).
pub const MAX_NAME: usize = 255;

/// Most bytes one `READ` or `WRITE` moves.
pub const MAX_IO: u32 = 1 << 20;

/// Longest extended attribute value, and longest list of their names, in bytes (XATTR_SIZE_MAX
/// and XATTR_LIST_MAX of `linux/limits.h`).
pub const MAX_XATTR: u32 = 64 << 10;
