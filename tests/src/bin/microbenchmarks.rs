//! Times single operations of the kernel it runs on and prints `NAME NANOSECONDS REPETITIONS` lines:
//! the minimum over several rounds of the mean of one round, and how often a round repeats it. Run it
//! natively and in a sandbox, and divide. Arguments name the operations to time; none means all, but
//! with SANDBOX_TEST_SIZE=small without those that take seconds on an emulated machine.
//! A round takes less than a second or so: an operation that takes long is repeated less often, except
//! with `--rounds N` before the names, which fixes both numbers.
#![allow(unsafe_code, reason = "the operations under test are raw system calls")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a benchmark program")]

use std::{
    env,
    fs::File,
    io::Write,
    os::fd::AsRawFd,
    path::PathBuf,
    process::{Command, Stdio},
    ptr,
    sync::atomic::Ordering,
    time::Instant,
};

const DEFAULT_ROUNDS: u32 = 5;

/// An operation: its name, how often a round repeats it at most, and a function that does it so often.
type Operation = (&'static str, u32, fn(u32));

const OPERATIONS: &[Operation] = &[
    ("getpid", 20_000, getpid),
    ("read-dev-zero", 20_000, read_dev_zero),
    ("stat", 10_000, stat),
    ("open-close", 5_000, open_close),
    ("pread-cached", 10_000, pread_cached),
    ("create-write-unlink", 2_000, create_write_unlink),
    ("mmap-touch-munmap", 2_000, mmap_touch_munmap),
    ("first-touch-page", 8_192, first_touch_page),
    ("pipe-round-trip", 5_000, pipe_round_trip),
    ("futex-wake", 10_000, futex_wake),
    ("epoll-ready", 10_000, epoll_ready),
    ("thread-hand-off", 5_000, thread_hand_off),
    ("fork-exit", 300, fork_exit),
    ("fork-exec", 100, fork_exec),
    ("find-usr", 1, find_usr),
];

fn main() {
    let mut wanted: Vec<String> = env::args().skip(1).collect();
    let mut rounds = None;
    if wanted.first().is_some_and(|argument| argument == "--rounds") {
        rounds = Some(wanted[1].parse().unwrap());
        wanted.drain(..2);
    }
    let is_small = env::var("SANDBOX_TEST_SIZE").is_ok_and(|size| size == "small");
    for (name, count, operation) in OPERATIONS {
        let is_named = wanted.iter().any(|argument| argument == name);
        let is_left_out = is_small && *name == "find-usr";
        if !is_named && (!wanted.is_empty() || is_left_out) {
            continue;
        }
        let count =
            if rounds.is_some() { *count } else { repetitions(*count, *operation, is_small) };
        operation(count / 10 + 1);
        let rounds = rounds.unwrap_or(DEFAULT_ROUNDS);
        let best = (0..rounds).map(|_| nanoseconds(count, *operation)).min().unwrap_or_default();
        println!("{name} {best} {count}");
    }
}

/// At most `count`: as many as fit in a second, or in a fifth of one.
fn repetitions(count: u32, operation: fn(u32), is_small: bool) -> u32 {
    let few = count / 100 + 1;
    let round_nanoseconds = if is_small { 200_000_000 } else { 1_000_000_000 };
    let fitting = round_nanoseconds / nanoseconds(few, operation).max(1);
    u32::try_from(fitting).unwrap_or(u32::MAX).clamp(few.min(count), count)
}

/// How long one of `count` operations takes on average.
fn nanoseconds(count: u32, operation: fn(u32)) -> u128 {
    let start = Instant::now();
    operation(count);
    start.elapsed().as_nanos() / u128::from(count)
}

/// A system call and nothing else, so that the kernel is measured and not the C library.
///
/// # Safety
/// As the call demands.
unsafe fn call(number: libc::c_long, arguments: [usize; 3]) -> isize {
    let result;
    // SAFETY: the kernel changes RAX, RCX and R11, and memory as the caller allows.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result
}

fn getpid(count: u32) {
    for _ in 0..count {
        // SAFETY: getpid has no preconditions.
        unsafe { call(libc::SYS_getpid, [0; 3]) };
    }
}

fn read_dev_zero(count: u32) {
    let zero = File::open("/dev/zero").unwrap();
    let mut byte = [0_u8];
    let arguments = [zero.as_raw_fd() as usize, byte.as_mut_ptr() as usize, 1];
    for _ in 0..count {
        // SAFETY: the buffer is one byte long.
        assert_eq!(unsafe { call(libc::SYS_read, arguments) }, 1);
    }
}

fn stat(count: u32) {
    let mut status = std::mem::MaybeUninit::uninit();
    for _ in 0..count {
        // SAFETY: the path ends with NUL, the structure is large enough.
        assert_eq!(unsafe { libc::stat(c"/usr/bin/env".as_ptr(), status.as_mut_ptr()) }, 0);
    }
}

fn open_close(count: u32) {
    for _ in 0..count {
        // SAFETY: the path ends with NUL; the descriptor is closed once.
        unsafe {
            let file = libc::open(c"/usr/bin/env".as_ptr(), libc::O_RDONLY);
            assert!(file >= 0);
            libc::close(file);
        }
    }
}

fn pread_cached(count: u32) {
    let file = File::open("/usr/bin/env").unwrap();
    let mut page = [0_u8; 4096];
    for _ in 0..count {
        // SAFETY: the buffer is as long as said.
        let read =
            unsafe { libc::pread(file.as_raw_fd(), page.as_mut_ptr().cast(), page.len(), 4096) };
        assert_eq!(read, 4096);
    }
}

fn create_write_unlink(count: u32) {
    let path = work_directory().join("created");
    for _ in 0..count {
        let mut file = File::create(&path).unwrap();
        file.write_all(&[1; 4096]).unwrap();
        drop(file);
        std::fs::remove_file(&path).unwrap();
    }
}

fn work_directory() -> PathBuf {
    ["/dev/shm", "/tmp"].into_iter().map(PathBuf::from).find(|path| path.is_dir()).unwrap()
}

/// Maps `length` bytes of anonymous memory.
fn map(length: usize) -> *mut u8 {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let address = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0)
    };
    assert_ne!(address, libc::MAP_FAILED);
    address.cast()
}

fn mmap_touch_munmap(count: u32) {
    for _ in 0..count {
        let page = map(4096);
        // SAFETY: the page was just mapped, and is unmapped once.
        unsafe {
            page.write_volatile(1);
            libc::munmap(page.cast(), 4096);
        }
    }
}

fn first_touch_page(count: u32) {
    let pages = usize::try_from(count).unwrap();
    let memory = map(pages * 4096);
    for page in 0..pages {
        // SAFETY: inside the mapping.
        unsafe { memory.add(page * 4096).write_volatile(1) };
    }
    // SAFETY: mapped above, not used again.
    unsafe { libc::munmap(memory.cast(), pages * 4096) };
}

fn pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    ends
}

fn pipe_round_trip(count: u32) {
    let (there, back) = (pipe(), pipe());
    let mut byte = [0_u8];
    let pass = |from: i32, to: i32, byte: &mut [u8; 1]| {
        // SAFETY: one-byte buffers.
        unsafe {
            libc::read(from, byte.as_mut_ptr().cast(), 1) == 1
                && libc::write(to, byte.as_ptr().cast(), 1) == 1
        }
    };
    let child = fork(|| {
        for _ in 0..count {
            pass(there[0], back[1], &mut [0]);
        }
    });
    for _ in 0..count {
        // SAFETY: one-byte buffers.
        unsafe {
            libc::write(there[1], byte.as_ptr().cast(), 1);
            libc::read(back[0], byte.as_mut_ptr().cast(), 1);
        }
    }
    wait(child);
    for end in [there, back].into_iter().flatten() {
        // SAFETY: each end is closed once.
        unsafe { libc::close(end) };
    }
}

fn futex_wake(count: u32) {
    let word = 0_u32;
    let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    let arguments = [&raw const word as usize, wake as usize, 1];
    for _ in 0..count {
        // SAFETY: the word is alive; nobody waits on it.
        unsafe { call(libc::SYS_futex, arguments) };
    }
}

/// Finds an event that is there already.
fn epoll_ready(count: u32) {
    let ends = pipe();
    // SAFETY: descriptors of this function's own, and room for one event.
    unsafe {
        assert_eq!(libc::write(ends[1], [0_u8].as_ptr().cast(), 1), 1);
        let epoll = libc::epoll_create1(0);
        let mut event = libc::epoll_event { events: libc::EPOLLIN.cast_unsigned(), u64: 0 };
        assert_eq!(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, ends[0], &raw mut event), 0);
        for _ in 0..count {
            assert_eq!(libc::epoll_wait(epoll, &raw mut event, 1, -1), 1);
        }
        for descriptor in [epoll, ends[0], ends[1]] {
            libc::close(descriptor);
        }
    }
}

/// Two threads wake each other in turn, by futexes.
fn thread_hand_off(count: u32) {
    let first = std::thread::current();
    let turn = std::sync::atomic::AtomicU32::new(0);
    let take_turns = |own: u32, other: &std::thread::Thread| {
        for _ in 0..count {
            while turn.load(Ordering::Acquire) % 2 != own {
                std::thread::park();
            }
            turn.fetch_add(1, Ordering::Release);
            other.unpark();
        }
    };
    std::thread::scope(|scope| {
        let second = scope.spawn(|| take_turns(1, &first));
        take_turns(0, second.thread());
    });
}

/// Runs `child` in a child process, which then exits with 0.
fn fork(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the program has one thread, so the child may do anything.
    match unsafe { libc::fork() } {
        0 => {
            child();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(0) }
        }
        child => child,
    }
}

fn wait(child: libc::pid_t) {
    let mut status = 0;
    // SAFETY: room for one status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
}

fn fork_exit(count: u32) {
    for _ in 0..count {
        wait(fork(|| {}));
    }
}

fn fork_exec(count: u32) {
    for _ in 0..count {
        wait(fork(|| {
            let arguments = [c"/bin/true".as_ptr(), ptr::null()];
            // SAFETY: a path, and an argument list that ends with NULL.
            unsafe { libc::execv(arguments[0], arguments.as_ptr()) };
        }));
    }
}

/// Walks the names of a large tree. The first walk, which is not timed, warms caches.
fn find_usr(count: u32) {
    for _ in 0..count {
        let mut find = Command::new("find");
        // It fails where a directory may not be read, having walked all others.
        find.arg("/usr").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    }
}
