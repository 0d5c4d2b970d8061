//! The system-call table: the one place that says which calls exist, who serves them, and how well.
//!
//! Dispatch, the trace (`--strace`) and docs/compatibility.md come from it. A line reads
//!
//! ```text
//! NUMBER NAME(argument: Type, argument: Type as SHOWN, ...) => KIND path::to::handler, Support, "note";
//! ```
//!
//! where SHOWN is a constant of [`super::shown_as`], by which the trace shows the argument, and
//! KIND is `sync` (never waits), `async`, or `boxed` (waits, and is rare or large: its future
//! is put on the heap, so that it does not make every task's future larger). `tried(ATTEMPT)` is
//! `async` with a function before it that answers, without any future, what needs no waiting: it
//! returns `None` and has done nothing if the handler is to do all. Handlers and attempts take
//! `&mut Current` and the typed arguments. Numbers: arch/x86/entry/syscalls/syscall_64.tbl.

use alloc::boxed::Box;

use super::{
    SyscallResult,
    arguments::{ArgumentKind, FromArgument},
    shown_as,
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

macro_rules! attempt {
    (sync, $handler:path, $current:ident $(, $argument:expr)*) => {
        Some($handler($current $(, $argument)*))
    };
    (tried($attempt:path), $handler:path, $current:ident $(, $argument:expr)*) => {
        $attempt($current $(, $argument)*)
    };
    ($kind:ident, $handler:path, $current:ident $(, $argument:expr)*) => {{
        $(let _ = $argument;)*
        None
    }};
}

macro_rules! call {
    (tried($attempt:path), $handler:path, $current:ident $(, $argument:expr)*) => {
        call!(async, $handler, $current $(, $argument)*)
    };
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

macro_rules! kind {
    ($type:ty) => {
        <$type as FromArgument>::KIND
    };
    ($type:ty, $shown:ident) => {
        shown_as::$shown
    };
}

macro_rules! syscall_table {
    ($(
        $number:literal $name:ident ( $($argument:ident : $type:ty $(as $shown:ident)?),* )
            => $kind:ident $(($attempt:path))? $handler:path, $support:ident, $note:literal;
    )*) => {
        /// The table, by number.
        pub static SYSCALLS: &[Syscall] = &[$(
            Syscall {
                number: $number,
                name: stringify!($name),
                arguments: &[$((stringify!($argument), kind!($type $(, $shown)?))),*],
                support: Support::$support,
                note: $note,
            },
        )*];

        /// Serves the system call that `current` trapped with if that takes no waiting; `None`, and
        /// nothing is done, if it may.
        pub fn try_dispatch(current: &mut Current) -> Option<SyscallResult> {
            let (number, mut next) = decode(&current.context.registers);
            match number {
                $($number => {
                    $(let $argument = <$type as FromArgument>::from_argument(next());)*
                    attempt!($kind $(($attempt))?, $handler, current $(, $argument)*)
                })*
                _ => None,
            }
        }

        /// Serves the system call that `current` trapped with.
        ///
        /// # Errors
        /// ENOSYS if the table has no such call; else what its handler answers.
        pub async fn dispatch(current: &mut Current) -> SyscallResult {
            let (number, mut next) = decode(&current.context.registers);
            match number {
                $($number => {
                    $(let $argument = <$type as FromArgument>::from_argument(next());)*
                    call!($kind $(($attempt))?, $handler, current $(, $argument)*)
                })*
                _ => {
                    current.kernel.note_unknown_call(number);
                    Err(Errno::ENOSYS)
                }
            }
        }
    };
}

use crate::{
    mm::UserAddress,
    platform::Registers,
    syscalls::{FileDescriptor, *},
};

/// The number of the call, and its arguments one after the other.
#[inline]
fn decode(registers: &Registers) -> (u64, impl FnMut() -> u64 + use<>) {
    let mut arguments = registers.syscall_arguments().into_iter();
    (registers.call_number().into(), move || arguments.next().unwrap_or_default())
}

syscall_table! {
    0 read(descriptor: FileDescriptor, buffer: UserAddress, count: usize) => tried(fs::read_write::try_read) fs::read_write::read, Full, "";
    1 write(descriptor: FileDescriptor, buffer: UserAddress, count: usize) => tried(fs::read_write::try_write) fs::read_write::write, Full, "";
    2 open(name: UserAddress as TEXT, flags: u32 as OPEN_FLAGS, mode: u32 as MODE) => boxed fs::open::open, Full, "";
    3 close(descriptor: FileDescriptor) => sync fs::open::close, Full, "";
    4 stat(name: UserAddress as TEXT, buffer: UserAddress) => async fs::stat::stat, Full, "";
    5 fstat(descriptor: FileDescriptor, buffer: UserAddress) => async fs::stat::fstat, Full, "";
    6 lstat(name: UserAddress as TEXT, buffer: UserAddress) => async fs::stat::lstat, Full, "";
    7 poll(descriptors: UserAddress, count: u32, milliseconds: i32) => async poll::poll::poll, Full, "";
    8 lseek(descriptor: FileDescriptor, offset: i64, whence: u32 as WHENCE) => async fs::seek::lseek, Full, "";
    9 mmap(address: u64, length: u64, protection: u64 as PROTECTION, flags: u32 as MAP_FLAGS, descriptor: FileDescriptor, offset: u64) => boxed mm::map::mmap, Partial, "no huge pages";
    10 mprotect(address: u64, length: u64, protection: u64 as PROTECTION) => sync mm::map::mprotect, Full, "";
    11 munmap(address: u64, length: u64) => sync mm::map::munmap, Full, "";
    12 brk(address: UserAddress) => sync mm::map::brk, Full, "";
    13 rt_sigaction(signal: i32 as SIGNAL, action: UserAddress, old: UserAddress, size: usize) => async signal::action::rt_sigaction, Full, "";
    14 rt_sigprocmask(how: i32 as SIGNAL_MASK_CHANGE, set: UserAddress, old: UserAddress, size: usize) => async signal::action::rt_sigprocmask, Full, "";
    15 rt_sigreturn() => boxed signal::action::rt_sigreturn, Full, "";
    16 ioctl(descriptor: FileDescriptor, command: u32 as DEVICE_COMMAND, argument: u64) => async fs::io_control::ioctl, Partial, "what the file knows";
    17 pread64(descriptor: FileDescriptor, buffer: UserAddress, count: usize, offset: i64) => tried(fs::read_write::try_pread64) fs::read_write::pread64, Full, "";
    18 pwrite64(descriptor: FileDescriptor, buffer: UserAddress, count: usize, offset: i64) => async fs::read_write::pwrite64, Full, "";
    19 readv(descriptor: FileDescriptor, vectors: UserAddress, count: u64) => boxed fs::read_write::readv, Full, "";
    20 writev(descriptor: FileDescriptor, vectors: UserAddress, count: u64) => boxed fs::read_write::writev, Full, "";
    21 access(name: UserAddress as TEXT, mode: u32 as ACCESS_MODE) => boxed fs::stat::access, Full, "";
    22 pipe(descriptors: UserAddress) => async ipc::pipe::pipe, Full, "";
    23 select(count: i32, readable: UserAddress, writable: UserAddress, exceptional: UserAddress, time: UserAddress) => boxed poll::select::select, Full, "";
    24 sched_yield() => async scheduling::sched_yield, Full, "";
    25 mremap(address: u64, old_length: u64, new_length: u64, flags: u64 as REMAP_FLAGS, new_address: u64) => sync mm::map::mremap, Partial, "an old length of 0 is refused";
    26 msync(address: u64, length: u64, flags: u32 as SYNC_FLAGS) => boxed mm::sync::msync, Full, "";
    27 mincore(address: u64, length: u64, vector: UserAddress) => boxed mm::sync::mincore, Full, "";
    28 madvise(address: u64, length: u64, advice: u32 as ADVICE) => boxed mm::advise::madvise, Partial, "no merging, poisoning and collapsing";
    29 shmget(key: i32, size: u64, flags: u32 as IPC_FLAGS) => sync sysv::shared_memory::shmget, Partial, "no huge pages";
    30 shmat(id: i32, address: u64, flags: u32 as ATTACH_FLAGS) => sync sysv::shared_memory::shmat, Full, "";
    31 shmctl(id: i32, command: i32 as SEGMENT_COMMAND, buffer: UserAddress) => boxed sysv::shared_memory::shmctl, Full, "";
    32 dup(descriptor: FileDescriptor) => sync fs::descriptors::dup, Full, "";
    33 dup2(old: FileDescriptor, new: FileDescriptor) => sync fs::descriptors::dup2, Full, "";
    34 pause() => async signal::wait::pause, Full, "";
    35 nanosleep(request: UserAddress, remaining: UserAddress) => async time::sleep::nanosleep, Full, "";
    36 getitimer(which: i32 as INTERVAL_TIMER, value: UserAddress) => async time::timers::getitimer, Full, "";
    37 alarm(seconds: u32) => sync time::timers::alarm, Full, "";
    38 setitimer(which: i32 as INTERVAL_TIMER, value: UserAddress, old: UserAddress) => async time::timers::setitimer, Full, "";
    39 getpid() => sync process::group::getpid, Full, "";
    40 sendfile(target: FileDescriptor, source: FileDescriptor, offset: UserAddress, count: usize) => boxed fs::transfer::sendfile, Full, "";
    41 socket(domain: u32 as SOCKET_DOMAIN, kind: u32 as SOCKET_KIND, protocol: u32) => sync net::create::socket_call, Partial, "AF_UNIX only";
    42 connect(descriptor: FileDescriptor, address: UserAddress, length: u32) => boxed net::address::connect, Full, "";
    43 accept(descriptor: FileDescriptor, address: UserAddress, length: UserAddress) => boxed net::create::accept, Full, "";
    44 sendto(descriptor: FileDescriptor, buffer: UserAddress, length: usize, flags: u32 as MESSAGE_FLAGS, address: UserAddress, address_length: u32) => boxed net::message::sendto, Partial, "no MSG_OOB";
    45 recvfrom(descriptor: FileDescriptor, buffer: UserAddress, length: usize, flags: u32 as MESSAGE_FLAGS, address: UserAddress, address_length: UserAddress) => boxed net::message::recvfrom, Partial, "no MSG_OOB";
    46 sendmsg(descriptor: FileDescriptor, message: UserAddress, flags: u32 as MESSAGE_FLAGS) => boxed net::message::sendmsg, Partial, "no MSG_OOB";
    47 recvmsg(descriptor: FileDescriptor, message: UserAddress, flags: u32 as MESSAGE_FLAGS) => boxed net::message::recvmsg, Partial, "no MSG_OOB";
    48 shutdown(descriptor: FileDescriptor, how: i32 as SHUTDOWN) => sync net::address::shutdown, Full, "";
    49 bind(descriptor: FileDescriptor, address: UserAddress, length: u32) => boxed net::address::bind, Full, "";
    50 listen(descriptor: FileDescriptor, backlog: i32) => sync net::address::listen, Full, "";
    51 getsockname(descriptor: FileDescriptor, address: UserAddress, length: UserAddress) => async net::address::getsockname, Full, "";
    52 getpeername(descriptor: FileDescriptor, address: UserAddress, length: UserAddress) => async net::address::getpeername, Full, "";
    53 socketpair(domain: u32 as SOCKET_DOMAIN, kind: u32 as SOCKET_KIND, protocol: u32, descriptors: UserAddress) => async net::create::socketpair, Full, "";
    54 setsockopt(descriptor: FileDescriptor, level: u32 as SOCKET_LEVEL, option: u32, value: UserAddress, length: u32) => async net::options::setsockopt, Partial, "options of SOL_SOCKET only";
    55 getsockopt(descriptor: FileDescriptor, level: u32 as SOCKET_LEVEL, option: u32, value: UserAddress, length: UserAddress) => async net::options::getsockopt, Partial, "options of SOL_SOCKET only";
    56 clone(flags: u64 as CLONE_FLAGS, stack: u64, parent_tid: UserAddress, child_tid: UserAddress, tls: u64) => boxed process::clone::clone, Partial, "namespaces of users only";
    57 fork() => boxed process::clone::fork, Full, "";
    58 vfork() => boxed process::clone::vfork, Full, "";
    59 execve(path: UserAddress as TEXT, arguments: UserAddress, environment: UserAddress) => boxed process::exec::execve, Partial, "capabilities of files are not used";
    60 exit(status: u32) => sync process::exit::exit, Full, "";
    61 wait4(pid: i32, status: UserAddress, options: u32 as WAIT_OPTIONS, usage: UserAddress) => boxed process::exit::wait4, Full, "";
    62 kill(pid: i32, signal: i32 as SIGNAL) => sync signal::send::kill, Full, "";
    63 uname(buffer: UserAddress) => boxed system::uname, Full, "";
    64 semget(key: i32, count: i32, flags: u32 as IPC_FLAGS) => sync sysv::semaphore::semget, Full, "";
    65 semop(id: i32, operations: UserAddress, count: usize) => boxed sysv::semaphore::semop, Full, "";
    66 semctl(id: i32, index: i32, command: i32 as SEMAPHORE_COMMAND, argument: u64) => boxed sysv::semaphore::semctl, Full, "";
    67 shmdt(address: u64) => sync sysv::shared_memory::shmdt, Full, "";
    68 msgget(key: i32, flags: u32 as IPC_FLAGS) => sync sysv::message::msgget, Full, "";
    69 msgsnd(id: i32, message: UserAddress, size: usize, flags: u32 as IPC_FLAGS) => boxed sysv::message::msgsnd, Full, "";
    70 msgrcv(id: i32, message: UserAddress, size: usize, kind: i64, flags: u32 as IPC_FLAGS) => boxed sysv::message::msgrcv, Partial, "no MSG_COPY";
    71 msgctl(id: i32, command: i32 as QUEUE_COMMAND, buffer: UserAddress) => boxed sysv::message::msgctl, Full, "";
    72 fcntl(descriptor: FileDescriptor, command: u32 as FILE_COMMAND, argument: u64) => boxed fs::descriptors::fcntl, Partial, "no leases, owners and signals; record locks find no deadlock";
    73 flock(descriptor: FileDescriptor, operation: u32 as FLOCK) => boxed fs::locks::flock, Full, "";
    74 fsync(descriptor: FileDescriptor) => boxed fs::sync::fsync, Full, "";
    75 fdatasync(descriptor: FileDescriptor) => boxed fs::sync::fdatasync, Full, "";
    76 truncate(name: UserAddress as TEXT, size: i64) => boxed fs::attributes::truncate, Full, "";
    77 ftruncate(descriptor: FileDescriptor, size: i64) => boxed fs::attributes::ftruncate, Full, "";
    78 getdents(descriptor: FileDescriptor, buffer: UserAddress, size: u32) => boxed fs::directory::getdents, Full, "";
    79 getcwd(buffer: UserAddress, size: usize) => boxed fs::directory::getcwd, Full, "";
    80 chdir(name: UserAddress as TEXT) => boxed fs::directory::chdir, Full, "";
    81 fchdir(descriptor: FileDescriptor) => boxed fs::directory::fchdir, Full, "";
    82 rename(old: UserAddress as TEXT, new: UserAddress as TEXT) => boxed fs::names::rename, Full, "";
    83 mkdir(name: UserAddress as TEXT, mode: u32 as MODE) => boxed fs::names::mkdir, Full, "";
    84 rmdir(name: UserAddress as TEXT) => boxed fs::names::rmdir, Full, "";
    85 creat(name: UserAddress as TEXT, mode: u32 as MODE) => boxed fs::open::creat, Full, "";
    86 link(old: UserAddress as TEXT, new: UserAddress as TEXT) => boxed fs::names::link, Full, "";
    87 unlink(name: UserAddress as TEXT) => boxed fs::names::unlink, Full, "";
    88 symlink(target: UserAddress as TEXT, name: UserAddress as TEXT) => boxed fs::names::symlink, Full, "";
    89 readlink(name: UserAddress as TEXT, buffer: UserAddress, size: i32) => boxed fs::names::readlink, Full, "";
    90 chmod(name: UserAddress as TEXT, mode: u32 as MODE) => boxed fs::attributes::chmod, Full, "";
    91 fchmod(descriptor: FileDescriptor, mode: u32 as MODE) => boxed fs::attributes::fchmod, Full, "";
    92 chown(name: UserAddress as TEXT, uid: u32, gid: u32) => boxed fs::attributes::chown, Full, "";
    93 fchown(descriptor: FileDescriptor, uid: u32, gid: u32) => boxed fs::attributes::fchown, Full, "";
    94 lchown(name: UserAddress as TEXT, uid: u32, gid: u32) => boxed fs::attributes::lchown, Full, "";
    95 umask(mask: u32 as MODE) => sync fs::attributes::umask, Full, "";
    96 gettimeofday(time: UserAddress, zone: UserAddress) => async time::clock::gettimeofday, Full, "";
    97 getrlimit(resource: u32 as RESOURCE, limit: UserAddress) => boxed process::limits::getrlimit, Full, "";
    98 getrusage(who: i32 as USAGE_WHO, usage: UserAddress) => boxed time::clock::getrusage, Full, "";
    99 sysinfo(buffer: UserAddress) => boxed system::sysinfo, Partial, "no load averages";
    100 times(buffer: UserAddress) => boxed time::clock::times, Full, "";
    102 getuid() => sync identity::ids::getuid, Full, "";
    103 syslog(kind: i32, buffer: u64, length: i32) => sync system::syslog, Partial, "the log is empty";
    104 getgid() => sync identity::ids::getgid, Full, "";
    105 setuid(uid: u32) => sync identity::ids::setuid, Full, "";
    106 setgid(gid: u32) => sync identity::ids::setgid, Full, "";
    107 geteuid() => sync identity::ids::geteuid, Full, "";
    108 getegid() => sync identity::ids::getegid, Full, "";
    109 setpgid(pid: i32, group: i32) => sync process::group::setpgid, Full, "";
    110 getppid() => sync process::group::getppid, Full, "";
    111 getpgrp() => sync process::group::getpgrp, Full, "";
    112 setsid() => sync process::group::setsid, Full, "";
    113 setreuid(real: u32, effective: u32) => sync identity::ids::setreuid, Full, "";
    114 setregid(real: u32, effective: u32) => sync identity::ids::setregid, Full, "";
    115 getgroups(size: i32, list: UserAddress) => boxed identity::ids::getgroups, Full, "";
    116 setgroups(size: usize, list: UserAddress) => boxed identity::ids::setgroups, Full, "";
    117 setresuid(real: u32, effective: u32, saved: u32) => sync identity::ids::setresuid, Full, "";
    118 getresuid(real: UserAddress, effective: UserAddress, saved: UserAddress) => boxed identity::ids::getresuid, Full, "";
    119 setresgid(real: u32, effective: u32, saved: u32) => sync identity::ids::setresgid, Full, "";
    120 getresgid(real: UserAddress, effective: UserAddress, saved: UserAddress) => boxed identity::ids::getresgid, Full, "";
    121 getpgid(pid: i32) => sync process::group::getpgid, Full, "";
    122 setfsuid(uid: u32) => sync identity::ids::setfsuid, Full, "";
    123 setfsgid(gid: u32) => sync identity::ids::setfsgid, Full, "";
    124 getsid(pid: i32) => sync process::group::getsid, Full, "";
    125 capget(header: UserAddress, data: UserAddress) => boxed identity::capabilities::capget, Full, "";
    126 capset(header: UserAddress, data: UserAddress) => boxed identity::capabilities::capset, Full, "";
    127 rt_sigpending(set: UserAddress, size: usize) => async signal::action::rt_sigpending, Full, "";
    128 rt_sigtimedwait(set: UserAddress, info: UserAddress, timeout: UserAddress, size: usize) => boxed signal::wait::rt_sigtimedwait, Full, "";
    129 rt_sigqueueinfo(pid: i32, signal: i32 as SIGNAL, info: UserAddress) => boxed signal::send::rt_sigqueueinfo, Full, "";
    130 rt_sigsuspend(mask: UserAddress, size: usize) => async signal::wait::rt_sigsuspend, Full, "";
    131 sigaltstack(new: UserAddress, old: UserAddress) => boxed signal::action::sigaltstack, Full, "";
    132 utime(name: UserAddress as TEXT, times: UserAddress) => boxed fs::attributes::utime, Full, "";
    133 mknod(name: UserAddress as TEXT, mode: u32 as MODE, device: u32) => boxed fs::names::mknod, Full, "";
    135 personality(persona: u32) => sync process::control::personality, Partial, "PER_LINUX only";
    137 statfs(name: UserAddress as TEXT, buffer: UserAddress) => boxed fs::stat::statfs, Full, "";
    138 fstatfs(descriptor: FileDescriptor, buffer: UserAddress) => boxed fs::stat::fstatfs, Full, "";
    140 getpriority(which: i32 as PRIORITY_WHICH, who: i32) => sync scheduling::getpriority, Full, "";
    141 setpriority(which: i32 as PRIORITY_WHICH, who: i32, nice: i32) => sync scheduling::setpriority, Partial, "stored, without effect";
    142 sched_setparam(tid: i32, parameters: UserAddress) => boxed scheduling::sched_setparam, Partial, "stored, without effect";
    143 sched_getparam(tid: i32, parameters: UserAddress) => boxed scheduling::sched_getparam, Full, "";
    144 sched_setscheduler(tid: i32, policy: u32 as POLICY, parameters: UserAddress) => boxed scheduling::sched_setscheduler, Partial, "stored, without effect";
    145 sched_getscheduler(tid: i32) => sync scheduling::sched_getscheduler, Full, "";
    146 sched_get_priority_max(policy: u32 as POLICY) => sync scheduling::sched_get_priority_max, Full, "";
    147 sched_get_priority_min(policy: u32 as POLICY) => sync scheduling::sched_get_priority_min, Full, "";
    148 sched_rr_get_interval(tid: i32, interval: UserAddress) => boxed scheduling::sched_rr_get_interval, Full, "";
    149 mlock(address: u64, length: u64) => boxed mm::lock::mlock, Full, "";
    150 munlock(address: u64, length: u64) => sync mm::lock::munlock, Full, "";
    151 mlockall(flags: u32 as LOCK_ALL_FLAGS) => boxed mm::lock::mlockall, Full, "";
    152 munlockall() => sync mm::lock::munlockall, Full, "";
    157 prctl(operation: i32 as PROCESS_CONTROL, argument: u64, argument3: u64, argument4: u64, argument5: u64) => boxed process::control::prctl, Partial, "no PR_SET_MM";
    158 arch_prctl(operation: i32 as ARCH_CONTROL, argument: u64) => boxed process::control::arch_prctl, Partial, "FS and GS base only";
    160 setrlimit(resource: u32 as RESOURCE, limit: UserAddress) => boxed process::limits::setrlimit, Full, "";
    161 chroot(name: UserAddress as TEXT) => boxed fs::directory::chroot, Full, "";
    162 sync() => boxed fs::sync::sync, Full, "";
    165 mount(source: UserAddress as TEXT, target: UserAddress as TEXT, kind: UserAddress as TEXT, flags: u64 as MOUNT_FLAGS, data: UserAddress) => boxed fs::mount::mount, Partial, "tmpfs, proc, sysfs, devpts, mqueue, bind and remount; no moving, no propagation";
    166 umount2(target: UserAddress as TEXT, flags: u32 as UNMOUNT_FLAGS) => boxed fs::mount::umount2, Partial, "no expiry";
    170 sethostname(name: UserAddress, length: i32) => boxed system::sethostname, Full, "";
    171 setdomainname(name: UserAddress, length: i32) => boxed system::setdomainname, Full, "";
    186 gettid() => sync process::group::gettid, Full, "";
    187 readahead(descriptor: FileDescriptor, offset: i64, count: usize) => boxed fs::sync::readahead, Full, "";
    188 setxattr(path: UserAddress as TEXT, name: UserAddress as TEXT, value: UserAddress, size: usize, flags: u32) => boxed fs::xattr::setxattr, Partial, "no system attributes";
    189 lsetxattr(path: UserAddress as TEXT, name: UserAddress as TEXT, value: UserAddress, size: usize, flags: u32) => boxed fs::xattr::lsetxattr, Partial, "no system attributes";
    190 fsetxattr(descriptor: FileDescriptor, name: UserAddress as TEXT, value: UserAddress, size: usize, flags: u32) => boxed fs::xattr::fsetxattr, Partial, "no system attributes";
    191 getxattr(path: UserAddress as TEXT, name: UserAddress as TEXT, value: UserAddress, size: usize) => boxed fs::xattr::getxattr, Partial, "no system attributes";
    192 lgetxattr(path: UserAddress as TEXT, name: UserAddress as TEXT, value: UserAddress, size: usize) => boxed fs::xattr::lgetxattr, Partial, "no system attributes";
    193 fgetxattr(descriptor: FileDescriptor, name: UserAddress as TEXT, value: UserAddress, size: usize) => boxed fs::xattr::fgetxattr, Partial, "no system attributes";
    194 listxattr(path: UserAddress as TEXT, list: UserAddress, size: usize) => boxed fs::xattr::listxattr, Full, "";
    195 llistxattr(path: UserAddress as TEXT, list: UserAddress, size: usize) => boxed fs::xattr::llistxattr, Full, "";
    196 flistxattr(descriptor: FileDescriptor, list: UserAddress, size: usize) => boxed fs::xattr::flistxattr, Full, "";
    197 removexattr(path: UserAddress as TEXT, name: UserAddress as TEXT) => boxed fs::xattr::removexattr, Full, "";
    198 lremovexattr(path: UserAddress as TEXT, name: UserAddress as TEXT) => boxed fs::xattr::lremovexattr, Full, "";
    199 fremovexattr(descriptor: FileDescriptor, name: UserAddress as TEXT) => boxed fs::xattr::fremovexattr, Full, "";
    200 tkill(tid: i32, signal: i32 as SIGNAL) => sync signal::send::tkill, Full, "";
    201 time(result: UserAddress) => async time::clock::time, Full, "";
    202 futex(address: UserAddress, operation: u32 as FUTEX_OPERATION, value: u32, timeout: u64, address2: UserAddress, value3: u32) => tried(futex::try_futex) futex::futex, Partial, "no priority inheritance";
    203 sched_setaffinity(tid: i32, size: usize, mask: UserAddress) => boxed scheduling::sched_setaffinity, Partial, "stored, without effect";
    204 sched_getaffinity(tid: i32, size: usize, mask: UserAddress) => boxed scheduling::sched_getaffinity, Full, "";
    213 epoll_create(size: i32) => sync poll::epoll::epoll_create, Full, "";
    217 getdents64(descriptor: FileDescriptor, buffer: UserAddress, size: u32) => boxed fs::directory::getdents64, Full, "";
    218 set_tid_address(address: u64) => sync process::group::set_tid_address, Full, "";
    220 semtimedop(id: i32, operations: UserAddress, count: usize, timeout: UserAddress) => boxed sysv::semaphore::semtimedop, Full, "";
    221 fadvise64(descriptor: FileDescriptor, offset: i64, length: i64, advice: u32) => sync fs::sync::fadvise64, Full, "advice changes nothing";
    222 timer_create(clock: i32 as CLOCK, event: UserAddress, id: UserAddress) => boxed time::timers::timer_create, Full, "";
    223 timer_settime(id: u32, flags: i32 as TIMER_FLAGS, new: UserAddress, old: UserAddress) => boxed time::timers::timer_settime, Full, "";
    224 timer_gettime(id: u32, value: UserAddress) => boxed time::timers::timer_gettime, Full, "";
    225 timer_getoverrun(id: u32) => sync time::timers::timer_getoverrun, Full, "";
    226 timer_delete(id: u32) => sync time::timers::timer_delete, Full, "";
    227 clock_settime(clock: i32 as CLOCK, time: UserAddress) => sync time::clock::clock_settime, Partial, "the clocks are the host's";
    228 clock_gettime(clock: i32 as CLOCK, time: UserAddress) => async time::clock::clock_gettime, Full, "";
    229 clock_getres(clock: i32 as CLOCK, resolution: UserAddress) => async time::clock::clock_getres, Full, "";
    230 clock_nanosleep(clock: i32 as CLOCK, flags: i32 as TIMER_FLAGS, request: UserAddress, remaining: UserAddress) => async time::sleep::clock_nanosleep, Partial, "not on clocks of processor time";
    231 exit_group(status: u32) => sync process::exit::exit_group, Full, "";
    232 epoll_wait(epoll: FileDescriptor, events: UserAddress, count: i32, milliseconds: i32) => async poll::epoll::epoll_wait, Full, "";
    233 epoll_ctl(epoll: FileDescriptor, operation: i32 as EPOLL_OPERATION, descriptor: FileDescriptor, event: UserAddress) => async poll::epoll::epoll_ctl, Partial, "EPOLLEXCLUSIVE may wake more than one";
    234 tgkill(tgid: i32, tid: i32, signal: i32 as SIGNAL) => sync signal::send::tgkill, Full, "";
    235 utimes(name: UserAddress as TEXT, times: UserAddress) => boxed fs::attributes::utimes, Full, "";
    240 mq_open(name: UserAddress as TEXT, flags: u32 as OPEN_FLAGS, mode: u32 as MODE, attributes: UserAddress) => boxed ipc::message_queue::mq_open, Full, "";
    241 mq_unlink(name: UserAddress as TEXT) => boxed ipc::message_queue::mq_unlink, Full, "";
    242 mq_timedsend(descriptor: FileDescriptor, message: UserAddress, length: usize, priority: u32, timeout: UserAddress) => boxed ipc::message_queue::mq_timedsend, Full, "";
    243 mq_timedreceive(descriptor: FileDescriptor, message: UserAddress, length: usize, priority: UserAddress, timeout: UserAddress) => boxed ipc::message_queue::mq_timedreceive, Full, "";
    244 mq_notify(descriptor: FileDescriptor, event: UserAddress) => boxed ipc::message_queue::mq_notify, Partial, "no SIGEV_THREAD";
    245 mq_getsetattr(descriptor: FileDescriptor, new: UserAddress, old: UserAddress) => boxed ipc::message_queue::mq_getsetattr, Full, "";
    247 waitid(kind: u32 as WAIT_KIND, id: u32, info: UserAddress, options: u32 as WAIT_OPTIONS, usage: UserAddress) => boxed process::exit::waitid, Full, "";
    251 ioprio_set(which: i32, who: i32, priority: u32) => sync scheduling::ioprio_set, Partial, "stored, without effect";
    252 ioprio_get(which: i32, who: i32) => sync scheduling::ioprio_get, Full, "";
    253 inotify_init() => sync fs::inotify::inotify_init, Full, "";
    254 inotify_add_watch(descriptor: FileDescriptor, name: UserAddress as TEXT, mask: u32 as WATCH_MASK) => boxed fs::inotify::inotify_add_watch, Partial, "an open file that is removed is told to be gone at once; names of one served file are watched apart; no IN_UNMOUNT";
    255 inotify_rm_watch(descriptor: FileDescriptor, watch: i32) => sync fs::inotify::inotify_rm_watch, Full, "";
    257 openat(directory: FileDescriptor, name: UserAddress as TEXT, flags: u32 as OPEN_FLAGS, mode: u32 as MODE) => boxed fs::open::openat, Full, "";
    258 mkdirat(directory: FileDescriptor, name: UserAddress as TEXT, mode: u32 as MODE) => boxed fs::names::mkdirat, Full, "";
    259 mknodat(directory: FileDescriptor, name: UserAddress as TEXT, mode: u32 as MODE, device: u32) => boxed fs::names::mknodat, Full, "";
    260 fchownat(directory: FileDescriptor, name: UserAddress as TEXT, uid: u32, gid: u32, flags: u32 as AT_FLAGS) => boxed fs::attributes::fchownat, Full, "";
    261 futimesat(directory: FileDescriptor, name: UserAddress as TEXT, times: UserAddress) => boxed fs::attributes::futimesat, Full, "";
    262 newfstatat(directory: FileDescriptor, name: UserAddress as TEXT, buffer: UserAddress, flags: u32 as AT_FLAGS) => async fs::stat::newfstatat, Full, "";
    263 unlinkat(directory: FileDescriptor, name: UserAddress as TEXT, flags: u32 as UNLINK_FLAGS) => boxed fs::names::unlinkat, Full, "";
    264 renameat(old_directory: FileDescriptor, old: UserAddress as TEXT, new_directory: FileDescriptor, new: UserAddress as TEXT) => boxed fs::names::renameat, Full, "";
    265 linkat(old_directory: FileDescriptor, old: UserAddress as TEXT, new_directory: FileDescriptor, new: UserAddress as TEXT, flags: u32 as AT_FLAGS) => boxed fs::names::linkat, Full, "";
    266 symlinkat(target: UserAddress as TEXT, directory: FileDescriptor, name: UserAddress as TEXT) => boxed fs::names::symlinkat, Full, "";
    267 readlinkat(directory: FileDescriptor, name: UserAddress as TEXT, buffer: UserAddress, size: i32) => boxed fs::names::readlinkat, Full, "";
    268 fchmodat(directory: FileDescriptor, name: UserAddress as TEXT, mode: u32 as MODE) => boxed fs::attributes::fchmodat, Full, "";
    269 faccessat(directory: FileDescriptor, name: UserAddress as TEXT, mode: u32 as ACCESS_MODE) => boxed fs::stat::faccessat, Full, "";
    270 pselect6(count: i32, readable: UserAddress, writable: UserAddress, exceptional: UserAddress, time: UserAddress, mask: UserAddress) => boxed poll::select::pselect6, Full, "";
    271 ppoll(descriptors: UserAddress, count: u32, time: UserAddress, mask: UserAddress, mask_size: usize) => async poll::poll::ppoll, Full, "";
    272 unshare(flags: u64 as CLONE_FLAGS) => sync process::namespaces::unshare, Partial, "namespaces of users only";
    273 set_robust_list(head: u64, size: usize) => sync process::group::set_robust_list, Full, "";
    274 get_robust_list(tid: i32, head: UserAddress, size: UserAddress) => boxed process::group::get_robust_list, Full, "";
    275 splice(source: FileDescriptor, source_offset: UserAddress, target: FileDescriptor, target_offset: UserAddress, count: usize, flags: u32 as SPLICE_FLAGS) => boxed fs::transfer::splice, Partial, "copies";
    276 tee(source: FileDescriptor, target: FileDescriptor, count: usize, flags: u32 as SPLICE_FLAGS) => boxed fs::transfer::tee, Partial, "copies";
    277 sync_file_range(descriptor: FileDescriptor, offset: i64, count: i64, flags: u32) => boxed fs::sync::sync_file_range, Full, "";
    278 vmsplice(descriptor: FileDescriptor, vectors: UserAddress, count: u64, flags: u32 as SPLICE_FLAGS) => boxed fs::transfer::vmsplice, Partial, "copies";
    280 utimensat(directory: FileDescriptor, name: UserAddress as TEXT, times: UserAddress, flags: u32 as AT_FLAGS) => boxed fs::attributes::utimensat, Full, "";
    281 epoll_pwait(epoll: FileDescriptor, events: UserAddress, count: i32, milliseconds: i32, mask: UserAddress, mask_size: usize) => async poll::epoll::epoll_pwait, Full, "";
    282 signalfd(descriptor: FileDescriptor, set: UserAddress, size: usize) => async ipc::signal_fd::signalfd, Full, "";
    283 timerfd_create(clock: i32 as CLOCK, flags: u32 as NEW_FILE_FLAGS) => sync ipc::timer_fd::timerfd_create, Partial, "no alarm clocks";
    284 eventfd(initial: u32) => sync ipc::event_fd::eventfd, Full, "";
    285 fallocate(descriptor: FileDescriptor, mode: u32 as ALLOCATE_MODE, offset: i64, length: i64) => boxed fs::attributes::fallocate, Partial, "no collapsing and inserting";
    286 timerfd_settime(descriptor: FileDescriptor, flags: u32 as TIMER_FLAGS, new: UserAddress, old: UserAddress) => async ipc::timer_fd::timerfd_settime, Full, "";
    287 timerfd_gettime(descriptor: FileDescriptor, setting: UserAddress) => async ipc::timer_fd::timerfd_gettime, Full, "";
    288 accept4(descriptor: FileDescriptor, address: UserAddress, length: UserAddress, flags: u32 as NEW_FILE_FLAGS) => boxed net::create::accept4, Full, "";
    289 signalfd4(descriptor: FileDescriptor, set: UserAddress, size: usize, flags: u32 as NEW_FILE_FLAGS) => async ipc::signal_fd::signalfd4, Partial, "polling looks at the signals of who made or read it last";
    290 eventfd2(initial: u32, flags: u32 as EVENT_FLAGS) => sync ipc::event_fd::eventfd2, Full, "";
    291 epoll_create1(flags: u32 as NEW_FILE_FLAGS) => sync poll::epoll::epoll_create1, Full, "";
    292 dup3(old: FileDescriptor, new: FileDescriptor, flags: u32 as NEW_FILE_FLAGS) => sync fs::descriptors::dup3, Full, "";
    293 pipe2(descriptors: UserAddress, flags: u32 as NEW_FILE_FLAGS) => async ipc::pipe::pipe2, Full, "";
    294 inotify_init1(flags: u32 as NEW_FILE_FLAGS) => sync fs::inotify::inotify_init1, Full, "";
    295 preadv(descriptor: FileDescriptor, vectors: UserAddress, count: u64, offset: i64) => boxed fs::read_write::preadv, Full, "";
    296 pwritev(descriptor: FileDescriptor, vectors: UserAddress, count: u64, offset: i64) => boxed fs::read_write::pwritev, Full, "";
    297 rt_tgsigqueueinfo(tgid: i32, tid: i32, signal: i32 as SIGNAL, info: UserAddress) => boxed signal::send::rt_tgsigqueueinfo, Full, "";
    299 recvmmsg(descriptor: FileDescriptor, messages: UserAddress, count: u32, flags: u32 as MESSAGE_FLAGS, timeout: UserAddress) => boxed net::message::recvmmsg, Partial, "no MSG_OOB";
    302 prlimit64(pid: i32, resource: u32 as RESOURCE, new: UserAddress, old: UserAddress) => boxed process::limits::prlimit64, Full, "";
    306 syncfs(descriptor: FileDescriptor) => boxed fs::sync::syncfs, Full, "";
    307 sendmmsg(descriptor: FileDescriptor, messages: UserAddress, count: u32, flags: u32 as MESSAGE_FLAGS) => boxed net::message::sendmmsg, Partial, "no MSG_OOB";
    308 setns(descriptor: FileDescriptor, kind: u32 as CLONE_FLAGS) => sync process::namespaces::setns, Partial, "there is one namespace of each kind but users";
    309 getcpu(processor: UserAddress, node: UserAddress) => async scheduling::getcpu, Full, "";
    310 process_vm_readv(pid: i32, local: UserAddress, local_count: u64, remote: UserAddress, remote_count: u64, flags: u64) => boxed process::memory::process_vm_readv, Full, "";
    311 process_vm_writev(pid: i32, local: UserAddress, local_count: u64, remote: UserAddress, remote_count: u64, flags: u64) => boxed process::memory::process_vm_writev, Full, "";
    314 sched_setattr(tid: i32, attributes: UserAddress, flags: u32) => boxed scheduling::sched_setattr, Partial, "stored, without effect";
    315 sched_getattr(tid: i32, attributes: UserAddress, size: u32, flags: u32) => boxed scheduling::sched_getattr, Full, "";
    316 renameat2(old_directory: FileDescriptor, old: UserAddress as TEXT, new_directory: FileDescriptor, new: UserAddress as TEXT, flags: u32 as RENAME_FLAGS) => boxed fs::names::renameat2, Partial, "no RENAME_WHITEOUT";
    317 seccomp(operation: u32 as SECCOMP_OPERATION, flags: u32, argument: UserAddress) => boxed process::seccomp::seccomp, Partial, "no supervisors (SECCOMP_RET_USER_NOTIF) and no tracers";
    318 getrandom(buffer: UserAddress, length: usize, flags: u32 as RANDOM_FLAGS) => boxed system::getrandom, Full, "";
    319 memfd_create(name: UserAddress as TEXT, flags: u32 as MEMFD_FLAGS) => boxed fs::memfd::memfd_create, Partial, "no huge pages";
    322 execveat(directory: FileDescriptor, path: UserAddress as TEXT, arguments: UserAddress, environment: UserAddress, flags: u32 as AT_FLAGS) => boxed process::exec::execveat, Partial, "capabilities of files are not used";
    324 membarrier(command: u32, flags: u32, processor: i32) => boxed scheduling::membarrier, Partial, "no core serialisation, no rseq";
    325 mlock2(address: u64, length: u64, flags: u32) => boxed mm::lock::mlock2, Full, "";
    326 copy_file_range(source: FileDescriptor, source_offset: UserAddress, target: FileDescriptor, target_offset: UserAddress, count: usize, flags: u32) => boxed fs::transfer::copy_file_range, Full, "";
    327 preadv2(descriptor: FileDescriptor, vectors: UserAddress, count: u64, offset: i64, offset_high: u64, flags: u32) => boxed fs::read_write::preadv2, Full, "";
    328 pwritev2(descriptor: FileDescriptor, vectors: UserAddress, count: u64, offset: i64, offset_high: u64, flags: u32) => boxed fs::read_write::pwritev2, Full, "";
    332 statx(directory: FileDescriptor, name: UserAddress as TEXT, flags: u32 as AT_FLAGS, mask: u32, buffer: UserAddress) => async fs::stat::statx, Full, "";
    424 pidfd_send_signal(descriptor: FileDescriptor, signal: i32 as SIGNAL, info: UserAddress, flags: u32) => boxed process::pid_fd::pidfd_send_signal, Partial, "no directories of /proc";
    434 pidfd_open(pid: i32, flags: u32 as NEW_FILE_FLAGS) => sync process::pid_fd::pidfd_open, Partial, "no threads";
    435 clone3(arguments: UserAddress, size: usize) => boxed process::clone::clone3, Partial, "namespaces of users only, no set_tid";
    436 close_range(first: u32, last: u32, flags: u32 as CLOSE_RANGE_FLAGS) => sync fs::open::close_range, Full, "";
    437 openat2(directory: FileDescriptor, name: UserAddress as TEXT, how: UserAddress, size: usize) => boxed fs::open::openat2, Full, "";
    438 pidfd_getfd(descriptor: FileDescriptor, target: FileDescriptor, flags: u32) => sync process::pid_fd::pidfd_getfd, Full, "";
    439 faccessat2(directory: FileDescriptor, name: UserAddress as TEXT, mode: u32 as ACCESS_MODE, flags: u32 as ACCESS_FLAGS) => boxed fs::stat::faccessat2, Full, "";
    441 epoll_pwait2(epoll: FileDescriptor, events: UserAddress, count: i32, time: UserAddress, mask: UserAddress, mask_size: usize) => async poll::epoll::epoll_pwait2, Full, "";
    449 futex_waitv(waiters: UserAddress, count: u32, flags: u32, timeout: UserAddress, clock: i32 as CLOCK) => boxed futex::futex_waitv, Full, "";
    452 fchmodat2(directory: FileDescriptor, name: UserAddress as TEXT, mode: u32 as MODE, flags: u32 as AT_FLAGS) => boxed fs::attributes::fchmodat2, Full, "";
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
