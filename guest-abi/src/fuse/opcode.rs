//! Operation codes (`enum fuse_opcode`).

/// A number that names no operation of this contract; the answer is ENOSYS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownOpcode;

/// Defines [`Opcode`] and its conversion from a number.
macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Opcode {
            $($(#[$doc])* $name = $number,)*
        }

        impl TryFrom<u32> for Opcode {
            type Error = UnknownOpcode;

            fn try_from(number: u32) -> Result<Self, UnknownOpcode> {
                match number {
                    $($number => Ok(Self::$name),)*
                    _ => Err(UnknownOpcode),
                }
            }
        }

        impl Opcode {
            /// All operations.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

opcodes! {
    /// Name to node: name -> [`super::EntryOut`].
    Lookup = 1,
    /// Drops lookups: [`super::ForgetIn`], no reply.
    Forget = 2,
    /// stat(2): [`super::GetattrIn`] -> [`super::AttributesOut`].
    Getattr = 3,
    /// chmod, chown, truncate, utimensat: [`super::SetattrIn`] -> [`super::AttributesOut`].
    Setattr = 4,
    /// readlink(2): nothing -> target without NUL.
    Readlink = 5,
    /// symlink(2): name, target -> [`super::EntryOut`].
    Symlink = 6,
    /// mknod(2): [`super::MknodIn`], name -> [`super::EntryOut`].
    Mknod = 8,
    /// mkdir(2): [`super::MkdirIn`], name -> [`super::EntryOut`].
    Mkdir = 9,
    /// unlink(2): name -> nothing.
    Unlink = 10,
    /// rmdir(2): name -> nothing.
    Rmdir = 11,
    /// link(2): [`super::LinkIn`], name; the header names the new parent -> [`super::EntryOut`].
    Link = 13,
    /// open(2): [`super::OpenIn`] -> [`super::OpenOut`].
    Open = 14,
    /// pread(2): [`super::ReadIn`] -> data, short only at end of file.
    Read = 15,
    /// pwrite(2): [`super::WriteIn`], data -> [`super::WriteOut`].
    Write = 16,
    /// statfs(2): nothing -> [`super::StatfsOut`].
    Statfs = 17,
    /// Last close: [`super::ReleaseIn`] -> nothing.
    Release = 18,
    /// fsync(2): [`super::FsyncIn`] -> nothing.
    Fsync = 20,
    /// setxattr(2): [`super::SetxattrIn`], name, value -> nothing.
    Setxattr = 21,
    /// getxattr(2): [`super::GetxattrIn`], name -> value, or [`super::GetxattrOut`] for size 0.
    Getxattr = 22,
    /// listxattr(2): [`super::GetxattrIn`] -> names, or [`super::GetxattrOut`] for size 0.
    Listxattr = 23,
    /// removexattr(2): name -> nothing.
    Removexattr = 24,
    /// close(2) of one descriptor: [`super::FlushIn`] -> nothing.
    Flush = 25,
    /// Starts the session: [`super::InitIn`] -> [`super::InitOut`].
    Init = 26,
    /// Opens a directory: [`super::OpenIn`] -> [`super::OpenOut`].
    Opendir = 27,
    /// getdents(2): [`super::ReadIn`] -> [`super::DirectoryEntry`] and name, repeated.
    Readdir = 28,
    /// Last close of a directory: [`super::ReleaseIn`] -> nothing.
    Releasedir = 29,
    /// fsync(2) of a directory: [`super::FsyncIn`] -> nothing.
    Fsyncdir = 30,
    /// open(2) with O_CREAT: [`super::CreateIn`], name -> [`super::EntryOut`], [`super::OpenOut`].
    Create = 35,
    /// Several forgets: [`super::BatchForgetIn`], [`super::ForgetOne`] repeated, no reply.
    BatchForget = 42,
    /// fallocate(2): [`super::FallocateIn`] -> nothing.
    Fallocate = 43,
    /// `Readdir` with attributes: [`super::DirectoryEntryPlus`] and name, repeated.
    Readdirplus = 44,
    /// renameat2(2): [`super::Rename2In`], old name, new name -> nothing.
    Rename2 = 45,
    /// lseek(2) for SEEK_DATA and SEEK_HOLE: [`super::LseekIn`] -> [`super::LseekOut`].
    Lseek = 46,
    /// copy_file_range(2): [`super::CopyFileRangeIn`] -> [`super::WriteOut`].
    CopyFileRange = 47,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_convert_back_and_unknown_ones_are_refused() {
        for &opcode in Opcode::ALL {
            assert_eq!(Opcode::try_from(opcode as u32), Ok(opcode));
        }
        for number in [0, 7, 12, 19, 31, 48, 4096, u32::MAX] {
            assert_eq!(Opcode::try_from(number), Err(UnknownOpcode));
        }
    }
}
