//! The system-call table: the one place that says which calls exist, who serves them, and how well.
//!
//! Dispatch, the trace (`--strace`) and docs/compatibility.md come from it. A line reads
//!
//! ```text
//! NUMBER NAME(argument: Type, ...) => KIND path::to::handler, Support, "note";
//! ```
//!
//! where KIND is `sync` (never waits), `async`, or `boxed` (waits, and is rare or large: its future
//! is put on the heap, so that it does not make every task's future larger). Handlers take
//! `&mut Current` and the typed arguments. Numbers: arch/x86/entry/syscalls/syscall_64.tbl.

use alloc::boxed::Box;

use super::{
    SyscallResult,
    arguments::{ArgumentKind, FromArgument},
};
use crate::{errno::Errno, kernel::Current};

/// How much of a call works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// All that programs use.
    Full,
    /// Some flags or cases are missing; the note says which.
    Partial,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    /// Number on x86-64.
    pub number: u32,
    /// Name.
    pub name: &'static str,
    /// Names and kinds of its arguments.
    pub arguments: &'static [(&'static str, ArgumentKind)],
    /// How much works.
    pub support: Support,
    /// What does not.
    pub note: &'static str,
}

macro_rules! call {
    (sync, $handler:path, $current:ident $(, $argument:expr)*) => {
        $handler($current $(, $argument)*)
    };
    (async, $handler:path, $current:ident $(, $argument:expr)*) => {
        $handler($current $(, $argument)*).await
    };
    (boxed, $handler:path, $current:ident $(, $argument:expr)*) => {
        Box::pin($handler($current $(, $argument)*)).await
    };
}

macro_rules! syscall_table {
    ($(
        $number:literal $name:ident ( $($argument:ident : $type:ty),* )
            => $kind:ident $handler:path, $support:ident, $note:literal;
    )*) => {
        /// The table, by number.
        pub const SYSCALLS: &[Syscall] = &[$(
            Syscall {
                number: $number,
                name: stringify!($name),
                arguments: &[$((stringify!($argument), <$type as FromArgument>::KIND)),*],
                support: Support::$support,
                note: $note,
            },
        )*];

        /// Serves the system call that `current` trapped with.
        ///
        /// # Errors
        /// ENOSYS if the table has no such call; else what its handler answers.
        pub async fn dispatch(current: &mut Current) -> SyscallResult {
            let registers = &current.context.registers;
            let number = registers.original_rax;
            let mut arguments = registers.syscall_arguments().into_iter();
            #[allow(unused_mut, unused_variables, reason = "some calls take no argument")]
            let mut next = move || arguments.next().unwrap_or_default();
            match number {
                $($number => {
                    $(let $argument = <$type as FromArgument>::from_argument(next());)*
                    call!($kind, $handler, current $(, $argument)*)
                })*
                _ => Err(Errno::ENOSYS),
            }
        }
    };
}

use crate::{
    mm::UserAddress,
    syscalls::{FileDescriptor, *},
};

syscall_table! {
    0 read(descriptor: FileDescriptor, buffer: UserAddress, count: usize) => async fs::read_write::read, Full, "";
    1 write(descriptor: FileDescriptor, buffer: UserAddress, count: usize) => async fs::read_write::write, Full, "";
    2 open(name: UserAddress, flags: u32, mode: u32) => boxed fs::open::open, Full, "";
    3 close(descriptor: FileDescriptor) => sync fs::open::close, Full, "";
    4 stat(name: UserAddress, buffer: UserAddress) => async fs::stat::stat, Full, "";
    5 fstat(descriptor: FileDescriptor, buffer: UserAddress) => async fs::stat::fstat, Full, "";
    6 lstat(name: UserAddress, buffer: UserAddress) => async fs::stat::lstat, Full, "";
    8 lseek(descriptor: FileDescriptor, offset: i64, whence: u32) => async fs::seek::lseek, Full, "";
    16 ioctl(descriptor: FileDescriptor, command: u32, argument: u64) => async fs::io_control::ioctl, Partial, "what the file knows";
    17 pread64(descriptor: FileDescriptor, buffer: UserAddress, count: usize, offset: i64) => async fs::read_write::pread64, Full, "";
    18 pwrite64(descriptor: FileDescriptor, buffer: UserAddress, count: usize, offset: i64) => async fs::read_write::pwrite64, Full, "";
    19 readv(descriptor: FileDescriptor, vectors: UserAddress, count: u64) => boxed fs::read_write::readv, Full, "";
    20 writev(descriptor: FileDescriptor, vectors: UserAddress, count: u64) => boxed fs::read_write::writev, Full, "";
    21 access(name: UserAddress, mode: u32) => boxed fs::stat::access, Full, "";
    32 dup(descriptor: FileDescriptor) => sync fs::descriptors::dup, Full, "";
    33 dup2(old: FileDescriptor, new: FileDescriptor) => sync fs::descriptors::dup2, Full, "";
    40 sendfile(target: FileDescriptor, source: FileDescriptor, offset: UserAddress, count: usize) => boxed fs::transfer::sendfile, Full, "";
    72 fcntl(descriptor: FileDescriptor, command: u32, argument: u64) => boxed fs::descriptors::fcntl, Partial, "no leases, owners and signals; record locks find no deadlock";
    73 flock(descriptor: FileDescriptor, operation: u32) => boxed fs::locks::flock, Full, "";
    74 fsync(descriptor: FileDescriptor) => boxed fs::sync::fsync, Full, "";
    75 fdatasync(descriptor: FileDescriptor) => boxed fs::sync::fdatasync, Full, "";
    76 truncate(name: UserAddress, size: i64) => boxed fs::attributes::truncate, Full, "";
    77 ftruncate(descriptor: FileDescriptor, size: i64) => boxed fs::attributes::ftruncate, Full, "";
    78 getdents(descriptor: FileDescriptor, buffer: UserAddress, size: u32) => boxed fs::directory::getdents, Full, "";
    79 getcwd(buffer: UserAddress, size: usize) => boxed fs::directory::getcwd, Full, "";
    80 chdir(name: UserAddress) => boxed fs::directory::chdir, Full, "";
    81 fchdir(descriptor: FileDescriptor) => boxed fs::directory::fchdir, Full, "";
    82 rename(old: UserAddress, new: UserAddress) => boxed fs::names::rename, Full, "";
    83 mkdir(name: UserAddress, mode: u32) => boxed fs::names::mkdir, Full, "";
    84 rmdir(name: UserAddress) => boxed fs::names::rmdir, Full, "";
    85 creat(name: UserAddress, mode: u32) => boxed fs::open::creat, Full, "";
    86 link(old: UserAddress, new: UserAddress) => boxed fs::names::link, Full, "";
    87 unlink(name: UserAddress) => boxed fs::names::unlink, Full, "";
    88 symlink(target: UserAddress, name: UserAddress) => boxed fs::names::symlink, Full, "";
    89 readlink(name: UserAddress, buffer: UserAddress, size: i32) => boxed fs::names::readlink, Full, "";
    90 chmod(name: UserAddress, mode: u32) => boxed fs::attributes::chmod, Full, "";
    91 fchmod(descriptor: FileDescriptor, mode: u32) => boxed fs::attributes::fchmod, Full, "";
    92 chown(name: UserAddress, uid: u32, gid: u32) => boxed fs::attributes::chown, Full, "";
    93 fchown(descriptor: FileDescriptor, uid: u32, gid: u32) => boxed fs::attributes::fchown, Full, "";
    94 lchown(name: UserAddress, uid: u32, gid: u32) => boxed fs::attributes::lchown, Full, "";
    95 umask(mask: u32) => sync fs::attributes::umask, Full, "";
    132 utime(name: UserAddress, times: UserAddress) => boxed fs::attributes::utime, Full, "";
    133 mknod(name: UserAddress, mode: u32, device: u32) => boxed fs::names::mknod, Full, "";
    137 statfs(name: UserAddress, buffer: UserAddress) => boxed fs::stat::statfs, Full, "";
    138 fstatfs(descriptor: FileDescriptor, buffer: UserAddress) => boxed fs::stat::fstatfs, Full, "";
    161 chroot(name: UserAddress) => boxed fs::directory::chroot, Full, "";
    162 sync() => boxed fs::sync::sync, Full, "";
    165 mount(source: UserAddress, target: UserAddress, kind: UserAddress, flags: u64, data: UserAddress) => boxed fs::mount::mount, Partial, "tmpfs, bind and remount; no moving, no propagation";
    166 umount2(target: UserAddress, flags: u32) => boxed fs::mount::umount2, Partial, "no expiry";
    187 readahead(descriptor: FileDescriptor, offset: i64, count: usize) => boxed fs::sync::readahead, Full, "";
    188 setxattr(path: UserAddress, name: UserAddress, value: UserAddress, size: usize, flags: u32) => boxed fs::xattr::setxattr, Partial, "no system attributes";
    189 lsetxattr(path: UserAddress, name: UserAddress, value: UserAddress, size: usize, flags: u32) => boxed fs::xattr::lsetxattr, Partial, "no system attributes";
    190 fsetxattr(descriptor: FileDescriptor, name: UserAddress, value: UserAddress, size: usize, flags: u32) => boxed fs::xattr::fsetxattr, Partial, "no system attributes";
    191 getxattr(path: UserAddress, name: UserAddress, value: UserAddress, size: usize) => boxed fs::xattr::getxattr, Partial, "no system attributes";
    192 lgetxattr(path: UserAddress, name: UserAddress, value: UserAddress, size: usize) => boxed fs::xattr::lgetxattr, Partial, "no system attributes";
    193 fgetxattr(descriptor: FileDescriptor, name: UserAddress, value: UserAddress, size: usize) => boxed fs::xattr::fgetxattr, Partial, "no system attributes";
    194 listxattr(path: UserAddress, list: UserAddress, size: usize) => boxed fs::xattr::listxattr, Full, "";
    195 llistxattr(path: UserAddress, list: UserAddress, size: usize) => boxed fs::xattr::llistxattr, Full, "";
    196 flistxattr(descriptor: FileDescriptor, list: UserAddress, size: usize) => boxed fs::xattr::flistxattr, Full, "";
    197 removexattr(path: UserAddress, name: UserAddress) => boxed fs::xattr::removexattr, Full, "";
    198 lremovexattr(path: UserAddress, name: UserAddress) => boxed fs::xattr::lremovexattr, Full, "";
    199 fremovexattr(descriptor: FileDescriptor, name: UserAddress) => boxed fs::xattr::fremovexattr, Full, "";
    217 getdents64(descriptor: FileDescriptor, buffer: UserAddress, size: u32) => boxed fs::directory::getdents64, Full, "";
    221 fadvise64(descriptor: FileDescriptor, offset: i64, length: i64, advice: u32) => sync fs::sync::fadvise64, Full, "advice changes nothing";
    235 utimes(name: UserAddress, times: UserAddress) => boxed fs::attributes::utimes, Full, "";
    257 openat(directory: FileDescriptor, name: UserAddress, flags: u32, mode: u32) => boxed fs::open::openat, Full, "";
    258 mkdirat(directory: FileDescriptor, name: UserAddress, mode: u32) => boxed fs::names::mkdirat, Full, "";
    259 mknodat(directory: FileDescriptor, name: UserAddress, mode: u32, device: u32) => boxed fs::names::mknodat, Full, "";
    260 fchownat(directory: FileDescriptor, name: UserAddress, uid: u32, gid: u32, flags: u32) => boxed fs::attributes::fchownat, Full, "";
    261 futimesat(directory: FileDescriptor, name: UserAddress, times: UserAddress) => boxed fs::attributes::futimesat, Full, "";
    262 newfstatat(directory: FileDescriptor, name: UserAddress, buffer: UserAddress, flags: u32) => async fs::stat::newfstatat, Full, "";
    263 unlinkat(directory: FileDescriptor, name: UserAddress, flags: u32) => boxed fs::names::unlinkat, Full, "";
    264 renameat(old_directory: FileDescriptor, old: UserAddress, new_directory: FileDescriptor, new: UserAddress) => boxed fs::names::renameat, Full, "";
    265 linkat(old_directory: FileDescriptor, old: UserAddress, new_directory: FileDescriptor, new: UserAddress, flags: u32) => boxed fs::names::linkat, Full, "";
    266 symlinkat(target: UserAddress, directory: FileDescriptor, name: UserAddress) => boxed fs::names::symlinkat, Full, "";
    267 readlinkat(directory: FileDescriptor, name: UserAddress, buffer: UserAddress, size: i32) => boxed fs::names::readlinkat, Full, "";
    268 fchmodat(directory: FileDescriptor, name: UserAddress, mode: u32) => boxed fs::attributes::fchmodat, Full, "";
    269 faccessat(directory: FileDescriptor, name: UserAddress, mode: u32) => boxed fs::stat::faccessat, Full, "";
    275 splice(source: FileDescriptor, source_offset: UserAddress, target: FileDescriptor, target_offset: UserAddress, count: usize, flags: u32) => boxed fs::transfer::splice, Partial, "copies";
    277 sync_file_range(descriptor: FileDescriptor, offset: i64, count: i64, flags: u32) => boxed fs::sync::sync_file_range, Full, "";
    278 vmsplice(descriptor: FileDescriptor, vectors: UserAddress, count: u64, flags: u32) => boxed fs::transfer::vmsplice, Partial, "copies";
    280 utimensat(directory: FileDescriptor, name: UserAddress, times: UserAddress, flags: u32) => boxed fs::attributes::utimensat, Full, "";
    285 fallocate(descriptor: FileDescriptor, mode: u32, offset: i64, length: i64) => boxed fs::attributes::fallocate, Partial, "no collapsing and inserting";
    292 dup3(old: FileDescriptor, new: FileDescriptor, flags: u32) => sync fs::descriptors::dup3, Full, "";
    295 preadv(descriptor: FileDescriptor, vectors: UserAddress, count: u64, offset: i64) => boxed fs::read_write::preadv, Full, "";
    296 pwritev(descriptor: FileDescriptor, vectors: UserAddress, count: u64, offset: i64) => boxed fs::read_write::pwritev, Full, "";
    306 syncfs(descriptor: FileDescriptor) => boxed fs::sync::syncfs, Full, "";
    316 renameat2(old_directory: FileDescriptor, old: UserAddress, new_directory: FileDescriptor, new: UserAddress, flags: u32) => boxed fs::names::renameat2, Partial, "no RENAME_WHITEOUT";
    319 memfd_create(name: UserAddress, flags: u32) => boxed fs::memfd::memfd_create, Partial, "no huge pages";
    326 copy_file_range(source: FileDescriptor, source_offset: UserAddress, target: FileDescriptor, target_offset: UserAddress, count: usize, flags: u32) => boxed fs::transfer::copy_file_range, Full, "";
    327 preadv2(descriptor: FileDescriptor, vectors: UserAddress, count: u64, offset: i64, offset_high: u64, flags: u32) => boxed fs::read_write::preadv2, Full, "";
    328 pwritev2(descriptor: FileDescriptor, vectors: UserAddress, count: u64, offset: i64, offset_high: u64, flags: u32) => boxed fs::read_write::pwritev2, Full, "";
    332 statx(directory: FileDescriptor, name: UserAddress, flags: u32, mask: u32, buffer: UserAddress) => async fs::stat::statx, Full, "";
    436 close_range(first: u32, last: u32, flags: u32) => sync fs::open::close_range, Full, "";
    437 openat2(directory: FileDescriptor, name: UserAddress, how: UserAddress, size: usize) => boxed fs::open::openat2, Full, "";
    439 faccessat2(directory: FileDescriptor, name: UserAddress, mode: u32, flags: u32) => boxed fs::stat::faccessat2, Full, "";
    452 fchmodat2(directory: FileDescriptor, name: UserAddress, mode: u32, flags: u32) => boxed fs::attributes::fchmodat2, Full, "";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks move between executors, so what a handler holds across an await must be `Send`.
    #[allow(dead_code, reason = "compiling it is the test")]
    fn dispatch_is_send(current: &mut Current) -> impl Future<Output = SyscallResult> + Send {
        dispatch(current)
    }

    #[test]
    fn numbers_ascend() {
        assert!(SYSCALLS.is_sorted_by_key(|syscall| syscall.number));
    }
}
