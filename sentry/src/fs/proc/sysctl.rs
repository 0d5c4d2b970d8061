//! /proc/sys (proc_sys(5)): what programs look up. Values are those that the sentry acts on, or
//! Linux's defaults where it has no such limit.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use crate::{
    fs::{
        inotify::{MAX_EVENTS, MAX_INSTANCES, MAX_WATCHES},
        mqueue,
        pseudo::Entry,
    },
    ipc::{
        MAX_OPERATIONS, MAX_QUEUES, MAX_SEGMENTS, MAX_SEMAPHORES, MAX_SETS, MESSAGE_MAX,
        QUEUE_BYTES,
    },
    kernel::{KERNEL_RELEASE, KERNEL_VERSION, Kernel, PID_LIMIT, Random},
    memory::PAGE_SIZE,
};

/// The directory.
pub(super) const DIRECTORY: Entry<()> = Entry::directory(
    "sys",
    &[
        Entry::directory("fs", FS),
        Entry::directory("kernel", KERNEL),
        Entry::directory("net", NET),
        Entry::directory("user", &[Entry::text("max_user_namespaces", "0\n")]),
        Entry::directory("vm", VM),
    ],
);

const FS: &[Entry<()>] = &[
    Entry::directory("epoll", &[Entry::text("max_user_watches", "1048576\n")]),
    Entry::text("file-max", "9223372036854775807\n"),
    Entry::directory(
        "inotify",
        &[
            Entry::file("max_queued_events", |(), _| Ok(number(MAX_EVENTS))),
            Entry::file("max_user_instances", |(), _| Ok(number(MAX_INSTANCES))),
            Entry::file("max_user_watches", |(), _| Ok(number(MAX_WATCHES))),
        ],
    ),
    Entry::directory(
        "mqueue",
        &[
            Entry::file("msg_default", |(), _| Ok(number(mqueue::MAX_MESSAGES))),
            Entry::file("msg_max", |(), _| Ok(number(mqueue::MAX_MESSAGES))),
            Entry::file("msgsize_default", |(), _| Ok(number(mqueue::MAX_SIZE))),
            Entry::file("msgsize_max", |(), _| Ok(number(mqueue::MAX_SIZE))),
            Entry::file("queues_max", |(), _| Ok(number(mqueue::MAX_QUEUES))),
        ],
    ),
    Entry::text("nr_open", "1048576\n"),
    Entry::text("overflowgid", "65534\n"),
    Entry::text("overflowuid", "65534\n"),
    Entry::text("pipe-max-size", "1048576\n"),
    Entry::text("pipe-user-pages-hard", "0\n"),
    Entry::text("pipe-user-pages-soft", "16384\n"),
    Entry::text("protected_hardlinks", "1\n"),
    Entry::text("protected_symlinks", "1\n"),
    Entry::text("suid_dumpable", "0\n"),
];

const KERNEL: &[Entry<()>] = &[
    Entry::text("cap_last_cap", "40\n"),
    Entry::file("domainname", |(), kernel| Ok(line(kernel.uts.read().domain.clone()))),
    Entry::file("hostname", |(), kernel| Ok(line(kernel.uts.read().host.clone()))),
    Entry::file("msgmax", |(), _| Ok(number(MESSAGE_MAX))),
    Entry::file("msgmnb", |(), _| Ok(line(format!("{QUEUE_BYTES}").into_bytes()))),
    Entry::file("msgmni", |(), _| Ok(number(MAX_QUEUES))),
    Entry::text("ngroups_max", "65536\n"),
    Entry::file("osrelease", |(), _| Ok(format!("{KERNEL_RELEASE}\n").into_bytes())),
    Entry::text("ostype", "Linux\n"),
    Entry::text("overflowgid", "65534\n"),
    Entry::text("overflowuid", "65534\n"),
    Entry::file("pid_max", |(), _| Ok(format!("{PID_LIMIT}\n").into_bytes())),
    Entry::directory(
        "random",
        &[
            Entry::file("boot_id", |(), kernel| Ok(boot_id(kernel))),
            Entry::text("entropy_avail", "256\n"),
            Entry::text("poolsize", "256\n"),
            Entry::file("uuid", |(), kernel| Ok(uuid(&kernel.random))),
        ],
    ),
    Entry::text("randomize_va_space", "2\n"),
    Entry::directory(
        "seccomp",
        &[Entry::text("actions_avail", "kill_process kill_thread trap errno trace log allow\n")],
    ),
    Entry::file("sem", |(), _| Ok(semaphore_limits())),
    Entry::file("shmall", |(), kernel| Ok(number(kernel.frames.total_frames()))),
    Entry::file("shmmax", |(), kernel| Ok(number(kernel.frames.total_frames() * PAGE_SIZE))),
    Entry::file("shmmni", |(), _| Ok(number(MAX_SEGMENTS))),
    Entry::text("tainted", "0\n"),
    Entry::file("threads-max", |(), _| Ok(format!("{PID_LIMIT}\n").into_bytes())),
    Entry::file("version", |(), _| Ok(format!("{KERNEL_VERSION}\n").into_bytes())),
];

const NET: &[Entry<()>] = &[
    Entry::directory(
        "core",
        &[
            Entry::text("rmem_default", "212992\n"),
            Entry::text("rmem_max", "212992\n"),
            Entry::text("somaxconn", "4096\n"),
            Entry::text("wmem_default", "212992\n"),
            Entry::text("wmem_max", "212992\n"),
        ],
    ),
    Entry::directory(
        "ipv4",
        &[
            Entry::text("ip_local_port_range", "32768\t60999\n"),
            Entry::text("ip_unprivileged_port_start", "1024\n"),
        ],
    ),
    Entry::directory("unix", &[Entry::text("max_dgram_qlen", "512\n")]),
];

const VM: &[Entry<()>] = &[
    Entry::text("max_map_count", "65530\n"),
    Entry::text("min_free_kbytes", "0\n"),
    Entry::text("mmap_min_addr", "65536\n"),
    Entry::text("nr_hugepages", "0\n"),
    Entry::text("overcommit_memory", "0\n"),
    Entry::text("overcommit_ratio", "50\n"),
    Entry::text("swappiness", "0\n"),
];

fn semaphore_limits() -> Vec<u8> {
    let total = MAX_SEMAPHORES * MAX_SETS;
    format!("{MAX_SEMAPHORES}\t{total}\t{MAX_OPERATIONS}\t{MAX_SETS}\n").into_bytes()
}

fn number(value: usize) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn line(mut text: Vec<u8>) -> Vec<u8> {
    text.push(b'\n');
    text
}

/// A random identifier as RFC 9562 writes one of version 4.
fn uuid(random: &Random) -> Vec<u8> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    line(text.into_bytes())
}

/// The same identifier for as long as the sandbox runs: from the host's seed, in a stream of its
/// own, so that it tells nothing of other random numbers.
fn boot_id(kernel: &Arc<Kernel>) -> Vec<u8> {
    let seed = kernel.boot_info().random_seed;
    uuid(&Random::new(seed.map(|byte| byte ^ 0x5a)))
}
