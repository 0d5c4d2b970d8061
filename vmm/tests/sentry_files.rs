//! The sentry's file-system client against a real gofer process: the same queue, the same pages,
//! and a host directory to compare with.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    fs,
    future::Future,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
    sync::{Arc, mpsc::channel},
    thread,
    time::{Duration, Instant},
};

use guest_abi::{
    boot::{ABI_VERSION, BootInfo},
    container::{CachePolicy, ContainerSpec},
    device::{DeviceDescriptor, DeviceKind, QueueId},
};
use platform_ptrace::{Config, DeviceWindow, PtracePlatform, create_sandbox_memory};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use sandbox_vmm::{
    gofer::{GoferMount, spawn_from},
    sandbox::plan,
    virtqueue::Doorbell,
};
use sentry::{
    errno::{Errno, Result},
    fs::gofer::GoferFileSystem,
    io::{Destination, Source, TryError, TryResult},
    kernel::{Credentials, Kernel, run_executor},
    platform::ExecutorId,
    vfs::{
        AttributeChange, Caller, DirectoryEntry, File, FileKind, FileSystem, Inode, NewInode,
        NewNode, OpenFlags, RenameMode, WritePosition, XattrMode,
    },
};
use vmm_sys_util::tempdir::TempDir;

const WINDOW: u64 = 16 << 20;
const MEMORY: u64 = 2 << 30;

/// Runs `work` as a task of a sentry that a gofer serves `source` to.
fn with_files<T, F>(
    source: &Path,
    policy: CachePolicy,
    read_only: bool,
    work: impl FnOnce(Tree) -> F + Send + 'static,
) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let device = DeviceDescriptor::layout(DeviceKind::FileSystem, 0, 256, WINDOW);
    let window = memfd_create("window", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&window, WINDOW).unwrap();
    let (kick, call) = (Doorbell::new().unwrap(), Doorbell::new().unwrap());
    let platform = PtracePlatform::new(Config {
        memory: create_sandbox_memory(MEMORY).unwrap(),
        memory_size: MEMORY,
        windows: vec![DeviceWindow {
            file: window.try_clone().unwrap(),
            base: device.window_base,
            size: WINDOW,
        }],
        executors: 1,
        trusts_tsc: true,
        hands_over_calls: true,
        kicks: vec![(QueueId { device: 0, queue: 0 }, kick.as_fd().try_clone_to_owned().unwrap())],
        calls: vec![call.as_fd().try_clone_to_owned().unwrap()],
    })
    .unwrap();
    let mount = GoferMount {
        tree: plan::Tree { path: source.to_owned(), read_only, submounts: true, cache: policy },
        device: device.clone(),
        window,
        kick,
        call,
    };
    let executable = Path::new(env!("CARGO_BIN_EXE_sandbox-vmm"));
    let gofer = spawn_from(executable, &[mount]).unwrap().ready().unwrap();
    let kernel = Kernel::new(platform, boot_info(device));
    let (sender, receiver) = channel();
    let mounting = kernel.clone();
    kernel.scheduler.spawn(Box::pin(async move {
        let container = mounting.containers.sandbox.clone();
        let owner = (&mounting, &*container);
        let files = GoferFileSystem::mount(owner, 0, policy, read_only).await.unwrap();
        let outcome = work(Tree { kernel: mounting.clone(), files: files.clone() }).await;
        files.sync().await.unwrap();
        drop(files);
        sender.send(outcome).unwrap();
        mounting.halt();
    }));
    let running = kernel.clone();
    let executor = thread::spawn(move || run_executor(&running, ExecutorId(0)));
    let outcome = receiver.recv_timeout(Duration::from_secs(60));
    kernel.halt();
    executor.join().unwrap();
    drop(gofer);
    outcome.unwrap()
}

fn boot_info(device: DeviceDescriptor) -> BootInfo {
    BootInfo {
        abi_version: ABI_VERSION,
        ram_size: MEMORY,
        ram_free_start: 0,
        executors: 1,
        random_seed: [1; 32],
        devices: vec![device],
        container: ContainerSpec::default(),
        strace: false,
    }
}

/// The mounted tree, with the steps that the VFS would take.
struct Tree {
    kernel: Arc<Kernel>,
    files: Arc<GoferFileSystem>,
}

impl Tree {
    async fn find(&self, path: &str) -> Result<Arc<dyn Inode>> {
        let mut inode = self.files.root();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            inode = inode.lookup(name.as_bytes()).await?;
        }
        Ok(inode)
    }

    async fn open(&self, inode: &Arc<dyn Inode>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        let credentials = Credentials::kernel();
        let caller = Caller { kernel: &self.kernel, task: None, credentials: &credentials };
        inode.clone().open(caller, flags).await
    }

    async fn entries(&self, directory: &Arc<dyn Inode>) -> Result<Vec<DirectoryEntry>> {
        let file = self.open(directory, OpenFlags::DIRECTORY).await?;
        let (mut all, mut position) = (Vec::new(), 0);
        loop {
            let entries = file.read_directory(position).await?;
            let Some(last) = entries.last() else { return Ok(all) };
            position = last.next;
            all.extend(entries.into_iter().filter(|entry| !matches!(&*entry.name, b"." | b"..")));
        }
    }

    async fn read(&self, file: &dyn File, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut buffer = Buffer { kernel: self.kernel.clone(), bytes: Vec::new(), left: length };
        loop {
            match file.try_read(offset + buffer.bytes.len() as u64, &mut buffer) {
                Ok(0) => return Ok(buffer.bytes),
                Ok(_) => {}
                Err(TryError::NotResident { offset, length }) => file.fetch(offset, length).await?,
                Err(TryError::Failed(errno)) => return Err(errno),
                Err(_) => return Err(Errno::EIO),
            }
        }
    }

    async fn write(&self, file: &dyn File, at: WritePosition, bytes: &[u8]) -> Result<usize> {
        let kernel = self.kernel.clone();
        let mut buffer = Buffer { kernel, bytes: bytes.to_vec(), left: bytes.len() };
        loop {
            match file.try_write(at, &mut buffer) {
                Ok(written) => {
                    if file.writes_through() {
                        file.write_through().await?;
                    }
                    return Ok(written.count);
                }
                Err(TryError::NotResident { offset, length }) => file.fetch(offset, length).await?,
                Err(TryError::Failed(errno)) => return Err(errno),
                Err(_) => return Err(Errno::EIO),
            }
        }
    }
}

/// A kernel buffer as destination and source.
struct Buffer {
    kernel: Arc<Kernel>,
    bytes: Vec<u8>,
    left: usize,
}

impl Destination for Buffer {
    fn remaining(&self) -> usize {
        self.left
    }

    fn put(&mut self, bytes: &[u8]) -> TryResult<usize> {
        let count = bytes.len().min(self.left);
        self.bytes.extend_from_slice(&bytes[..count]);
        self.left -= count;
        Ok(count)
    }

    fn put_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let mut bytes = vec![0; length.min(self.left)];
        self.kernel.platform.memory().read(address, &mut bytes).map_err(|_| Errno::EIO)?;
        self.put(&bytes)
    }

    fn put_zeros(&mut self, length: usize) -> TryResult<usize> {
        self.put(&vec![0; length])
    }
}

impl Source for Buffer {
    fn remaining(&self) -> usize {
        self.left
    }

    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize> {
        let start = self.bytes.len() - self.left;
        let count = bytes.len().min(self.left);
        bytes[..count].copy_from_slice(&self.bytes[start..start + count]);
        self.left -= count;
        Ok(count)
    }

    fn take_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let mut bytes = vec![0; length];
        let count = self.take(&mut bytes)?;
        let memory = self.kernel.platform.memory();
        memory.write(address, &bytes[..count]).map_err(|_| Errno::EIO)?;
        Ok(count)
    }
}

fn new(node: NewNode) -> NewInode {
    NewInode {
        node,
        permissions: 0o640,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
    }
}

#[test]
fn files_are_read_as_the_host_has_them() {
    let directory = TempDir::new().unwrap();
    let data: Vec<u8> = (0..3_000_001_u32).map(|index| (index * 31 / 7) as u8).collect();
    fs::create_dir(directory.as_path().join("sub")).unwrap();
    fs::write(directory.as_path().join("sub/large"), &data).unwrap();
    std::os::unix::fs::symlink("sub/large", directory.as_path().join("link")).unwrap();
    let metadata = fs::metadata(directory.as_path().join("sub/large")).unwrap();
    for policy in [CachePolicy::Exclusive, CachePolicy::Shared] {
        let data = data.clone();
        let expected = metadata.clone();
        with_files(directory.as_path(), policy, true, async move |tree: Tree| {
            let inode = tree.find("sub/large").await.unwrap();
            let attributes = inode.attributes().await.unwrap();
            assert_eq!(attributes.size, data.len() as u64);
            assert_eq!(attributes.mode(), expected.mode());
            assert_eq!(attributes.modified.seconds, expected.mtime());
            let file = tree.open(&inode, OpenFlags::empty()).await.unwrap();
            assert!(tree.read(&*file, 0, 4_000_000).await.unwrap() == data);
            assert_eq!(tree.read(&*file, 2_999_999, 9).await.unwrap(), data[2_999_999..]);
            let link = tree.find("link").await.unwrap();
            assert_eq!(link.kind(), FileKind::SymbolicLink);
            assert_eq!(tree.find("none").await.err(), Some(Errno::ENOENT));
            let refused = tree.files.root().create(b"new", new(NewNode::Regular)).await;
            assert_eq!(refused.err(), Some(Errno::EROFS));
        });
    }
}

#[test]
fn what_is_changed_is_changed_on_the_host() {
    for policy in [CachePolicy::Exclusive, CachePolicy::Shared] {
        let directory = TempDir::new().unwrap();
        with_files(directory.as_path(), policy, false, async move |tree: Tree| {
            let root = tree.files.root();
            let sub = root.create(b"sub", new(NewNode::Directory)).await.unwrap();
            let inode = sub.create(b"file", new(NewNode::Regular)).await.unwrap();
            let file = tree.open(&inode, OpenFlags::READ_WRITE).await.unwrap();
            let data = vec![7; 1_000_000];
            assert_eq!(tree.write(&*file, WritePosition::At(0), &data).await, Ok(1_000_000));
            assert_eq!(tree.write(&*file, WritePosition::End, b"the end").await, Ok(7));
            file.sync(false).await.unwrap();
            let cut = AttributeChange { size: Some(1_000_004), ..AttributeChange::default() };
            inode.set_attributes(cut).await.unwrap();
            assert_eq!(inode.attributes().await.unwrap().size, 1_000_004);
            sub.link(b"second", &inode).await.unwrap();
            assert!(Arc::ptr_eq(&inode, &sub.lookup(b"second").await.unwrap()));
            let target = NewNode::SymbolicLink(vec![b'x'; 3000]);
            let link = root.create(b"link", new(target)).await.unwrap();
            assert_eq!(link.kind(), FileKind::SymbolicLink);
            sub.rename(b"file", &root, b"moved", RenameMode::Replace).await.unwrap();
            let fifo = root.create(b"fifo", new(NewNode::Fifo)).await.unwrap();
            root.unlink(b"fifo", &fifo).await.unwrap();
            // An unlinked file stays usable while it is open.
            let gone = root.create(b"gone", new(NewNode::Regular)).await.unwrap();
            let open = tree.open(&gone, OpenFlags::READ_WRITE).await.unwrap();
            root.unlink(b"gone", &gone).await.unwrap();
            tree.write(&*open, WritePosition::At(0), b"still").await.unwrap();
            open.sync(true).await.unwrap();
            assert_eq!(tree.read(&*open, 0, 9).await.unwrap(), b"still");
            assert_eq!(gone.attributes().await.unwrap().size, 5);
        });
        let host = directory.as_path();
        let moved = fs::read(host.join("moved")).unwrap();
        assert_eq!(moved.len(), 1_000_004);
        assert!(moved.ends_with(&[7, 7, b't', b'h', b'e', b' ']));
        assert_eq!(fs::metadata(host.join("sub/second")).unwrap().nlink(), 2);
        assert_eq!(fs::read_link(host.join("link")).unwrap().as_os_str().len(), 3000);
        assert_eq!(fs::metadata(host.join("moved")).unwrap().mode() & 0o777, 0o640);
        let mut left: Vec<_> =
            fs::read_dir(host).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["link", "moved", "sub"]);
    }
}

#[test]
fn extended_attributes_holes_and_space_reach_the_host() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.as_path().join("file"), b"data").unwrap();
    with_files(directory.as_path(), CachePolicy::Exclusive, false, async |tree: Tree| {
        let inode = tree.find("file").await.unwrap();
        match inode.set_xattr(b"user.colour", b"green", XattrMode::Create).await {
            // Not every file system has them.
            Err(Errno::EOPNOTSUPP) => {}
            outcome => {
                outcome.unwrap();
                assert_eq!(inode.xattr(b"user.colour").await.unwrap(), b"green");
                assert!(inode.xattr_names().await.unwrap().contains(&b"user.colour".to_vec()));
                inode.remove_xattr(b"user.colour").await.unwrap();
                assert_eq!(inode.xattr(b"user.colour").await.err(), Some(Errno::ENODATA));
            }
        }
        let file = tree.open(&inode, OpenFlags::READ_WRITE).await.unwrap();
        assert_eq!(file.seek_data(0, false).await, Ok(4));
        assert_eq!(file.seek_data(9, true).await, Err(Errno::ENXIO));
        file.allocate(0, 0, 10_000).await.unwrap();
        assert_eq!(inode.attributes().await.unwrap().size, 10_000);
        assert!(tree.files.statistics().await.unwrap().blocks > 0);
    });
}

#[test]
fn shared_files_change_under_the_sandbox() {
    let directory = TempDir::new().unwrap();
    let path = directory.as_path().join("file");
    fs::write(&path, b"first").unwrap();
    let host = path.clone();
    with_files(directory.as_path(), CachePolicy::Shared, false, async move |tree: Tree| {
        let inode = tree.find("file").await.unwrap();
        let file = tree.open(&inode, OpenFlags::empty()).await.unwrap();
        assert_eq!(tree.read(&*file, 0, 99).await.unwrap(), b"first");
        fs::write(&host, b"second, and longer").unwrap();
        thread::sleep(Duration::from_millis(3));
        assert_eq!(tree.read(&*file, 0, 99).await.unwrap(), b"second, and longer");
        fs::remove_file(&host).unwrap();
        assert_eq!(tree.find("file").await.err(), Some(Errno::ENOENT));
    });
}

/// Walks a large tree twice, as find(1) does. Prints times; run it with `--nocapture`.
#[test]
fn a_large_tree_is_walked() {
    let walked =
        with_files(Path::new("/usr/share"), CachePolicy::Exclusive, true, async |tree: Tree| {
            let mut counts = Vec::new();
            for _ in 0..2 {
                let start = Instant::now();
                let mut pending = vec![tree.files.root()];
                let mut count = 0_usize;
                while let Some(directory) = pending.pop() {
                    for entry in tree.entries(&directory).await.unwrap() {
                        count += 1;
                        let inode = directory.lookup(&entry.name).await.unwrap();
                        inode.attributes().await.unwrap();
                        if inode.kind() == FileKind::Directory {
                            pending.push(inode);
                        }
                    }
                }
                println!("{count} entries in {:?}", start.elapsed());
                counts.push(count);
            }
            counts
        });
    assert!(walked[0] > 1000 && walked[0] == walked[1]);
}

/// Reads a large file. Prints the rate; run it with `--nocapture`.
#[test]
fn a_large_file_streams() {
    let directory = TempDir::new().unwrap();
    let size = 64 << 20;
    fs::write(directory.as_path().join("large"), vec![1; size]).unwrap();
    with_files(directory.as_path(), CachePolicy::Exclusive, true, async move |tree: Tree| {
        let inode = tree.find("large").await.unwrap();
        let file = tree.open(&inode, OpenFlags::empty()).await.unwrap();
        for _ in 0..2 {
            let start = Instant::now();
            for offset in (0..size).step_by(1 << 20) {
                let bytes = tree.read(&*file, offset as u64, 1 << 20).await.unwrap();
                assert_eq!(bytes.len(), 1 << 20);
            }
            println!("{} MiB in {:?}", size >> 20, start.elapsed());
        }
    });
}
