//! sysfs (sysfs(5)): the processors, and empty directories where programs look for devices.

use alloc::{format, sync::Arc, vec::Vec};

use super::pseudo::{Entry, PseudoFileSystem, Tree};
use crate::{kernel::Kernel, vfs::FileSystem};

/// SYSFS_MAGIC.
const MAGIC: u64 = 0x6265_6572;

/// A sysfs of `kernel`.
pub fn new(kernel: &Arc<Kernel>) -> Arc<dyn FileSystem> {
    let device = kernel.vfs.allocate_device();
    let tree = Tree { kernel: kernel.clone(), device, volatile: false };
    PseudoFileSystem::new("sysfs", MAGIC, tree, ((), &ROOT))
}

const ROOT: Entry<()> = Entry::directory(
    "",
    &[
        Entry::directory("block", &[]),
        Entry::directory("bus", &[]),
        Entry::directory("class", &[Entry::directory("net", &[])]),
        Entry::directory("dev", &[]),
        Entry::directory("devices", &[Entry::directory("system", SYSTEM)]),
        Entry::directory("firmware", &[]),
        Entry::directory("fs", &[Entry::directory("cgroup", &[])]),
        Entry::directory(
            "kernel",
            &[Entry::directory(
                "mm",
                &[Entry::directory(
                    "transparent_hugepage",
                    &[
                        Entry::text("enabled", "always madvise [never]\n"),
                        Entry::text("hpage_pmd_size", "2097152\n"),
                    ],
                )],
            )],
        ),
        Entry::directory("module", &[]),
        Entry::directory("power", &[]),
    ],
);

const SYSTEM: &[Entry<()>] = &[
    Entry::directory(
        "cpu",
        &[
            Entry::file("online", |(), kernel| Ok(processors(kernel))),
            Entry::file("possible", |(), kernel| Ok(processors(kernel))),
            Entry::file("present", |(), kernel| Ok(processors(kernel))),
        ],
    ),
    Entry::directory(
        "node",
        &[
            Entry::text("online", "0\n"),
            Entry::text("possible", "0\n"),
            Entry::directory(
                "node0",
                &[Entry::file("cpulist", |(), kernel| Ok(processors(kernel)))],
            ),
        ],
    ),
];

/// The processors as a list.
fn processors(kernel: &Arc<Kernel>) -> Vec<u8> {
    match kernel.platform.executor_count() {
        0 | 1 => b"0\n".to_vec(),
        count => format!("0-{}\n", count - 1).into_bytes(),
    }
}
