//! /proc/sys (proc_sys(5)): what programs look up. Values are those that the sentry acts on, or
//! Linux's defaults where it has no such limit. What a container may have its own values of is in
//! `settings.rs`.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use super::{Shown, settings};
use crate::{
    errno::{Errno, Result},
    fs::{
        inotify::{MAX_EVENTS, MAX_INSTANCES, MAX_WATCHES},
        pseudo::{Children, Entry},
    },
    kernel::{
        Capabilities, Credentials, KERNEL_RELEASE, KERNEL_VERSION, Kernel, PID_LIMIT, Random,
    },
    platform::USER_ADDRESS_START,
};

/// The directory.
pub(super) const DIRECTORY: Entry<Shown> = Entry::directory(
    "sys",
    &[
        Entry::directory("fs", FS),
        Entry::growing_directory("kernel", KERNEL, KERNEL_SETTINGS),
        Entry::growing_directory("net", &[], NET),
        Entry::directory("user", &[Entry::text("max_user_namespaces", "0\n")]),
        Entry::directory("vm", VM),
    ],
);

const MQUEUE: Children<Shown> = Children {
    list: |_, _| settings::list("fs/mqueue"),
    find: |node, name| settings::find(node, "fs/mqueue", name),
};

const KERNEL_SETTINGS: Children<Shown> = Children {
    list: |_, _| settings::list("kernel"),
    find: |node, name| settings::find(node, "kernel", name),
};

const NET: Children<Shown> = Children {
    list: |_, _| settings::list("net"),
    find: |node, name| settings::find(node, "net", name),
};

const FS: &[Entry<Shown>] = &[
    Entry::directory("epoll", &[Entry::text("max_user_watches", "1048576\n")]),
    Entry::text("file-max", "9223372036854775807\n"),
    Entry::directory(
        "inotify",
        &[
            Entry::file("max_queued_events", |_, _| Ok(number(MAX_EVENTS))),
            Entry::file("max_user_instances", |_, _| Ok(number(MAX_INSTANCES))),
            Entry::file("max_user_watches", |_, _| Ok(number(MAX_WATCHES))),
        ],
    ),
    Entry::growing_directory("mqueue", &[], MQUEUE),
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

const KERNEL: &[Entry<Shown>] = &[
    Entry::text("cap_last_cap", "40\n"),
    Entry::writable(
        "domainname",
        |Shown(container), _| Ok(line(container.uts.read().domain.clone())),
        |Shown(container), _, credentials, text| {
            container.uts.write().domain = name_in(credentials, text)?;
            Ok(())
        },
    ),
    Entry::writable(
        "hostname",
        |Shown(container), _| Ok(line(container.uts.read().host.clone())),
        |Shown(container), _, credentials, text| {
            container.uts.write().host = name_in(credentials, text)?;
            Ok(())
        },
    ),
    Entry::text("ngroups_max", "65536\n"),
    Entry::file("osrelease", |_, _| Ok(format!("{KERNEL_RELEASE}\n").into_bytes())),
    Entry::text("ostype", "Linux\n"),
    Entry::text("overflowgid", "65534\n"),
    Entry::text("overflowuid", "65534\n"),
    Entry::file("pid_max", |_, _| Ok(format!("{PID_LIMIT}\n").into_bytes())),
    Entry::directory(
        "random",
        &[
            Entry::file("boot_id", |_, kernel| Ok(boot_id(kernel))),
            Entry::text("entropy_avail", "256\n"),
            Entry::text("poolsize", "256\n"),
            Entry::file("uuid", |_, kernel| Ok(uuid(&kernel.random))),
        ],
    ),
    Entry::text("randomize_va_space", "2\n"),
    Entry::directory(
        "seccomp",
        &[Entry::text("actions_avail", "kill_process kill_thread trap errno trace log allow\n")],
    ),
    Entry::text("tainted", "0\n"),
    Entry::file("threads-max", |_, _| Ok(format!("{PID_LIMIT}\n").into_bytes())),
    Entry::file("version", |_, _| Ok(format!("{KERNEL_VERSION}\n").into_bytes())),
];

const VM: &[Entry<Shown>] = &[
    Entry::text("max_map_count", "65530\n"),
    Entry::text("min_free_kbytes", "0\n"),
    Entry::file("mmap_min_addr", |_, _| Ok(format!("{USER_ADDRESS_START}\n").into_bytes())),
    Entry::text("nr_hugepages", "0\n"),
    Entry::text("overcommit_memory", "0\n"),
    Entry::text("overcommit_ratio", "50\n"),
    Entry::text("swappiness", "0\n"),
];

/// The name that a privileged caller has written: its first line, of at most 64 bytes.
fn name_in(credentials: &Credentials, text: &[u8]) -> Result<Vec<u8>> {
    if !credentials.has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let line = text.split(|byte| *byte == b'\n' || *byte == 0).next().unwrap_or_default();
    Ok(line.iter().copied().take(64).collect())
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
