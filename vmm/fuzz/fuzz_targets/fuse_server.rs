//! The whole server behind its queue: the input is the window, descriptors and rings included, so
//! every chain shape can come up. Nothing may panic, and nothing may appear beside the served tree.
#![no_main]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::LazyLock,
};

use guest_abi::device::{DeviceDescriptor, DeviceKind};
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, Mode, OFlags, ftruncate, memfd_create, open};
use sandbox_vmm::{
    gofer::server::{FdPaths, Limits, Options, Server},
    virtqueue::{DeviceQueue, Doorbell, Window},
};

const WINDOW: u64 = 64 << 10;

/// The served directory, alone in a directory of its own.
static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("fuse-server-{}", std::process::id())).join("tree")
});

fn fresh_tree() {
    let _ = fs::remove_dir_all(&*TREE);
    fs::create_dir_all(TREE.join("d")).unwrap();
    fs::write(TREE.join("f"), "contents").unwrap();
    std::os::unix::fs::symlink("..", TREE.join("s")).unwrap();
}

fuzz_target!(|data: &[u8]| {
    fresh_tree();
    let device = DeviceDescriptor::layout(DeviceKind::FileSystem, 0, 16, WINDOW);
    let memfd = memfd_create("window", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memfd, WINDOW).unwrap();
    let file = File::from(memfd.try_clone().unwrap());
    let length = data.len().min(usize::try_from(WINDOW).unwrap());
    file.write_all_at(&data[..length], 0).unwrap();

    let window = Window::map(memfd, &device).unwrap();
    let (kick, call) = (Doorbell::new().unwrap(), Doorbell::new().unwrap());
    let mut queue = DeviceQueue::new(window, &device.queues[0], kick, call).unwrap();
    let root = open(&*TREE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let limits = Limits { nodes: 16, handles: 4, cached_descriptors: 2, pinned_descriptors: 2 };
    let options = Options { read_only: false, limits, fd_paths: FdPaths::PROC };
    let mut server = Server::new(root, options).unwrap();
    while let Ok(Some(chain)) = queue.pop() {
        let written = server.handle(&chain);
        if queue.complete(chain.head(), written).is_err() {
            break;
        }
    }
    let beside = fs::read_dir(TREE.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "something appeared beside the tree");
});
