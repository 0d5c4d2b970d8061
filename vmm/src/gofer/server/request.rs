//! The request parser: bytes of a hostile client to a checked [`Operation`].
//!
//! It sees a private copy of the bytes, so what it checks stays so. It checks shape: lengths,
//! NULs, names, flags. Whether nodes and handles exist is the server's business.

use std::ffi::CStr;

use guest_abi::fuse::{
    AttributesOut, BatchForgetIn, CopyFileRangeIn, CreateIn, EntryOut, FallocateIn, FlushIn,
    ForgetIn, ForgetOne, FsyncIn, GetattrIn, GetxattrIn, InHeader, InitIn, InitOut, LinkIn,
    LseekIn, LseekOut, MAX_IO, MAX_NAME, MAX_XATTR, MkdirIn, MknodIn, Opcode, OpenIn, OpenOut,
    OutHeader, ReadIn, ReleaseIn, Rename2In, SetattrIn, SetxattrIn, StatfsOut, WriteIn, WriteOut,
};
use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Result of parsing.
type Result<T> = std::result::Result<T, Errno>;

/// Most bytes of a request, the data of `WRITE` not counted: an extended attribute with its name.
pub const HEAD_LIMIT: usize = size_of::<InHeader>() + 4096 + MAX_XATTR as usize;

/// Longest target of a symbolic link in bytes, without its NUL (PATH_MAX of `linux/limits.h`).
const MAX_TARGET: usize = 4095;

/// A name in a directory: 1 to 255 bytes, no slash, neither `.` nor `..`. So resolving it never
/// leaves the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a CStr);

impl<'a> Name<'a> {
    /// Checks a name.
    ///
    /// # Errors
    /// `ENAMETOOLONG`, or `EINVAL` for a name that no directory entry can have.
    pub fn new(name: &'a CStr) -> Result<Self> {
        match name.to_bytes() {
            b"" | b"." | b".." => Err(Errno::INVAL),
            bytes if bytes.contains(&b'/') => Err(Errno::INVAL),
            bytes if bytes.len() > MAX_NAME => Err(Errno::NAMETOOLONG),
            _ => Ok(Self(name)),
        }
    }

    /// The name.
    pub const fn as_c_str(self) -> &'a CStr {
        self.0
    }
}

/// The parts of a `BATCH_FORGET`.
#[derive(Clone, Copy, Debug)]
pub struct Forgets<'a>(&'a [u8]);

impl Forgets<'_> {
    /// Each part.
    pub fn iter(&self) -> impl Iterator<Item = ForgetOne> {
        let parts = self.0.chunks_exact(size_of::<ForgetOne>());
        parts.filter_map(|part| ForgetOne::read_from_bytes(part).ok())
    }
}

/// A request of known shape.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the operations and their arguments are documented in guest-abi")]
pub enum Operation<'a> {
    Init(InitIn),
    Lookup(Name<'a>),
    Forget(ForgetIn),
    BatchForget(Forgets<'a>),
    Getattr(GetattrIn),
    Setattr(SetattrIn),
    Readlink,
    Symlink { name: Name<'a>, target: &'a CStr },
    Mknod(MknodIn, Name<'a>),
    Mkdir(MkdirIn, Name<'a>),
    Unlink(Name<'a>),
    Rmdir(Name<'a>),
    Rename { request: Rename2In, old: Name<'a>, new: Name<'a> },
    Link(LinkIn, Name<'a>),
    Open(OpenIn),
    Create(CreateIn, Name<'a>),
    Read(ReadIn),
    Write(WriteIn),
    Statfs,
    Flush(FlushIn),
    Release(ReleaseIn),
    Fsync(FsyncIn),
    Setxattr { flags: u32, name: &'a CStr, value: &'a [u8] },
    Getxattr(GetxattrIn, &'a CStr),
    Listxattr(GetxattrIn),
    Removexattr(&'a CStr),
    Opendir,
    Readdir(ReadIn),
    Readdirplus(ReadIn),
    Releasedir(ReleaseIn),
    Fsyncdir(FsyncIn),
    Fallocate(FallocateIn),
    Lseek(LseekIn),
    CopyFileRange(CopyFileRangeIn),
}

impl<'a> Operation<'a> {
    /// Parses what follows the header: `body` without the data of a `WRITE`.
    ///
    /// # Errors
    /// `ENOSYS` for an unknown opcode, `EINVAL` or `ENAMETOOLONG` for a malformed body.
    pub fn parse(opcode: u32, body: &'a [u8]) -> Result<Self> {
        let mut body = Body(body);
        Ok(match Opcode::try_from(opcode).map_err(|_| Errno::NOSYS)? {
            Opcode::Init => Self::Init(body.take()?),
            Opcode::Lookup => Self::Lookup(body.name()?),
            Opcode::Forget => Self::Forget(body.take()?),
            Opcode::BatchForget => Self::BatchForget(body.forgets()?),
            Opcode::Getattr => Self::Getattr(body.take()?),
            Opcode::Setattr => Self::Setattr(body.take()?),
            Opcode::Readlink => Self::Readlink,
            Opcode::Symlink => Self::Symlink { name: body.name()?, target: body.target()? },
            Opcode::Mknod => Self::Mknod(body.take()?, body.name()?),
            Opcode::Mkdir => Self::Mkdir(body.take()?, body.name()?),
            Opcode::Unlink => Self::Unlink(body.name()?),
            Opcode::Rmdir => Self::Rmdir(body.name()?),
            Opcode::Rename2 => {
                Self::Rename { request: body.take()?, old: body.name()?, new: body.name()? }
            }
            Opcode::Link => Self::Link(body.take()?, body.name()?),
            Opcode::Open => Self::Open(body.take()?),
            Opcode::Create => Self::Create(body.take()?, body.name()?),
            Opcode::Read => Self::Read(body.transfer()?),
            Opcode::Write => Self::Write(body.write()?),
            Opcode::Statfs => Self::Statfs,
            Opcode::Flush => Self::Flush(body.take()?),
            Opcode::Release => Self::Release(body.take()?),
            Opcode::Fsync => Self::Fsync(body.take()?),
            Opcode::Setxattr => body.setxattr()?,
            Opcode::Getxattr => Self::Getxattr(body.take()?, body.attribute_name()?),
            Opcode::Listxattr => Self::Listxattr(body.take()?),
            Opcode::Removexattr => Self::Removexattr(body.attribute_name()?),
            Opcode::Opendir => Self::Opendir,
            Opcode::Readdir => Self::Readdir(body.transfer()?),
            Opcode::Readdirplus => Self::Readdirplus(body.transfer()?),
            Opcode::Releasedir => Self::Releasedir(body.take()?),
            Opcode::Fsyncdir => Self::Fsyncdir(body.take()?),
            Opcode::Fallocate => Self::Fallocate(body.take()?),
            Opcode::Lseek => Self::Lseek(body.take()?),
            Opcode::CopyFileRange => Self::CopyFileRange(body.take()?),
        })
    }

    /// Bytes of the reply, header included, if it always has the same length; else those of the
    /// header. Checked before anything is done, so that no effect goes unreported.
    pub const fn reply_length(&self) -> usize {
        let payload = match self {
            Self::Init(_) => size_of::<InitOut>(),
            Self::Lookup(_)
            | Self::Symlink { .. }
            | Self::Mknod(..)
            | Self::Mkdir(..)
            | Self::Link(..) => size_of::<EntryOut>(),
            Self::Create(..) => size_of::<EntryOut>() + size_of::<OpenOut>(),
            Self::Getattr(_) | Self::Setattr(_) => size_of::<AttributesOut>(),
            Self::Open(_) | Self::Opendir => size_of::<OpenOut>(),
            Self::Write(_) | Self::CopyFileRange(_) => size_of::<WriteOut>(),
            Self::Statfs => size_of::<StatfsOut>(),
            Self::Lseek(_) => size_of::<LseekOut>(),
            Self::Forget(_) | Self::BatchForget(_) => return 0,
            _ => 0,
        };
        size_of::<OutHeader>() + payload
    }

    /// Whether it changes files, so that a read-only device refuses it. (`OPEN` may, by its flags.)
    pub const fn modifies(&self) -> bool {
        matches!(
            self,
            Self::Setattr(_)
                | Self::Symlink { .. }
                | Self::Mknod(..)
                | Self::Mkdir(..)
                | Self::Unlink(_)
                | Self::Rmdir(_)
                | Self::Rename { .. }
                | Self::Link(..)
                | Self::Create(..)
                | Self::Write(_)
                | Self::Setxattr { .. }
                | Self::Removexattr(_)
                | Self::Fallocate(_)
                | Self::CopyFileRange(_)
        )
    }
}

/// What is left of a request's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take<T: FromBytes + KnownLayout + Immutable>(&mut self) -> Result<T> {
        let (value, rest) = T::read_from_prefix(self.0).map_err(|_| Errno::INVAL)?;
        self.0 = rest;
        Ok(value)
    }

    /// A NUL-terminated string of at most `limit` bytes.
    fn string(&mut self, limit: usize) -> Result<&'a CStr> {
        let string = CStr::from_bytes_until_nul(self.0).map_err(|_| Errno::INVAL)?;
        let length = string.count_bytes();
        if length > limit {
            return Err(Errno::NAMETOOLONG);
        }
        self.0 = self.0.get(length + 1..).unwrap_or_default();
        Ok(string)
    }

    fn name(&mut self) -> Result<Name<'a>> {
        Name::new(self.string(MAX_NAME)?)
    }

    /// The target of a symbolic link: any path, but not an empty one (symlink(2): ENOENT).
    fn target(&mut self) -> Result<&'a CStr> {
        let target = self.string(MAX_TARGET)?;
        if target.is_empty() { Err(Errno::NOENT) } else { Ok(target) }
    }

    /// The name of an extended attribute (ERANGE as setxattr(2) has it).
    fn attribute_name(&mut self) -> Result<&'a CStr> {
        let name = self.string(MAX_NAME).map_err(|_| Errno::RANGE)?;
        if name.is_empty() { Err(Errno::RANGE) } else { Ok(name) }
    }

    fn setxattr(&mut self) -> Result<Operation<'a>> {
        let SetxattrIn { size, flags } = self.take()?;
        let name = self.attribute_name()?;
        if size > MAX_XATTR {
            return Err(Errno::TOOBIG);
        }
        let size = usize::try_from(size).map_err(|_| Errno::TOOBIG)?;
        let value = self.0.get(..size).ok_or(Errno::INVAL)?;
        Ok(Operation::Setxattr { flags, name, value })
    }

    fn forgets(&mut self) -> Result<Forgets<'a>> {
        let BatchForgetIn { count, .. } = self.take()?;
        let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        let length = count.checked_mul(size_of::<ForgetOne>()).ok_or(Errno::INVAL)?;
        self.0.get(..length).map(Forgets).ok_or(Errno::INVAL)
    }

    fn transfer(&mut self) -> Result<ReadIn> {
        let request: ReadIn = self.take()?;
        if request.size > MAX_IO { Err(Errno::INVAL) } else { Ok(request) }
    }

    fn write(&mut self) -> Result<WriteIn> {
        let request: WriteIn = self.take()?;
        if request.size > MAX_IO { Err(Errno::INVAL) } else { Ok(request) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    #[test]
    fn names_cannot_leave_their_directory() {
        for bad in [&b"\0"[..], b".\0", b"..\0", b"a/b\0", b"/\0", b"no end"] {
            assert_eq!(Operation::parse(1, bad).unwrap_err(), Errno::INVAL);
        }
        let mut long = vec![b'a'; 256];
        long.push(0);
        assert_eq!(Operation::parse(1, &long).unwrap_err(), Errno::NAMETOOLONG);
        for good in [&b"...\0"[..], b"\xff\n\0", &long[1..]] {
            assert!(matches!(Operation::parse(1, good), Ok(Operation::Lookup(_))));
        }
    }

    #[test]
    fn lengths_inside_a_request_are_bounded_by_it() {
        let request = SetxattrIn { size: 9, flags: 0 };
        let mut body = request.as_bytes().to_vec();
        body.extend(b"user.a\0shorter!");
        assert_eq!(Operation::parse(21, &body).unwrap_err(), Errno::INVAL);
        let request = BatchForgetIn { count: u32::MAX, padding: 0 };
        assert_eq!(Operation::parse(42, request.as_bytes()).unwrap_err(), Errno::INVAL);
        let request = ReadIn { size: u32::MAX, ..ReadIn::default() };
        assert_eq!(Operation::parse(15, request.as_bytes()).unwrap_err(), Errno::INVAL);
    }

    proptest! {
        #[test]
        fn never_panics(opcode in 0..60_u32, body in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Operation::parse(opcode, &body);
        }

        #[test]
        fn every_parsed_name_is_safe(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Operation::Lookup(name)) = Operation::parse(1, &body) {
                let bytes = name.as_c_str().to_bytes();
                prop_assert!(!bytes.is_empty() && bytes.len() <= MAX_NAME);
                prop_assert!(!bytes.contains(&b'/') && bytes != b"." && bytes != b"..");
            }
        }
    }
}
