//! A small world of files for unit tests: a kernel on the mock platform and names in it.
#![allow(missing_docs, reason = "helpers of unit tests; their names say it")]

use alloc::{sync::Arc, vec, vec::Vec};

use guest_abi::{boot::BootInfo, container::ContainerSpec};

use super::{
    Attributes, Caller, FileSystem, Mount, MountFlags, Namespace, NewNode, OpenFile, OpenFlags,
    Path, RenameMode, WalkContext, WalkFlags, WritePosition, operations,
    operations::{OpenRequest, Opened},
    walk,
};
use crate::{
    errno::{Errno, Result},
    fs::testing::poll_once,
    io::{self, TryError},
    kernel::{Credentials, Kernel},
    platform::mock::MockPlatform,
};

/// A kernel with `pages` pages of memory and no task.
pub fn kernel(pages: usize) -> Arc<Kernel> {
    let platform = MockPlatform::new(pages);
    let info = BootInfo {
        abi_version: guest_abi::boot::ABI_VERSION,
        ram_size: pages as u64 * 4096,
        ram_free_start: 0,
        executors: 1,
        random_seed: [3; 32],
        devices: Vec::new(),
        container: ContainerSpec::default(),
        strace: false,
    };
    Kernel::new(platform, info)
}

/// The value of a future that does not wait.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    poll_once(future).expect("nothing to wait for")
}

/// Names below the root of one namespace.
pub struct World {
    pub kernel: Arc<Kernel>,
    pub namespace: Arc<Namespace>,
    pub credentials: Credentials,
    pub umask: u16,
    pub root: Path,
}

impl World {
    pub fn new(kernel: &Arc<Kernel>, file_system: Arc<dyn FileSystem>) -> Self {
        let mount = Mount::new(file_system, &kernel.vfs.dentries, "test", MountFlags::empty());
        let namespace = Namespace::new(mount);
        Self {
            kernel: kernel.clone(),
            root: namespace.root().root_path(),
            namespace,
            credentials: Credentials::kernel(),
            umask: 0o022,
        }
    }

    pub fn context(&self) -> WalkContext<'_> {
        let caller = Caller { kernel: &self.kernel, task: None, credentials: &self.credentials };
        WalkContext { caller, root: &self.root, umask: self.umask }
    }

    pub fn walk(&self, name: &str, flags: WalkFlags) -> Result<Path> {
        now(walk(&self.context(), &self.root, name.as_bytes(), flags))
    }

    pub fn find(&self, name: &str) -> Result<Path> {
        self.walk(name, WalkFlags::empty())
    }

    pub fn stat(&self, name: &str) -> Result<Attributes> {
        now(self.find(name)?.inode().attributes())
    }

    pub fn mkdir(&self, name: &str) -> Result<()> {
        let context = self.context();
        let made = operations::make_directory(&context, &self.root, name.as_bytes(), 0o777);
        now(made).map(drop)
    }

    pub fn mknod(&self, name: &str, node: NewNode) -> Result<()> {
        let name = name.as_bytes();
        now(operations::create_node(&self.context(), &self.root, name, node, 0o666)).map(drop)
    }

    pub fn symlink(&self, target: &str, name: &str) -> Result<()> {
        let (name, target) = (name.as_bytes(), target.as_bytes());
        now(operations::make_symbolic_link(&self.context(), &self.root, name, target)).map(drop)
    }

    pub fn link(&self, old: &str, new: &str) -> Result<()> {
        let target = self.find(old)?;
        now(operations::link(&self.context(), &target, &self.root, new.as_bytes()))
    }

    pub fn unlink(&self, name: &str) -> Result<()> {
        now(operations::unlink(&self.context(), &self.root, name.as_bytes()))
    }

    pub fn rmdir(&self, name: &str) -> Result<()> {
        now(operations::remove_directory(&self.context(), &self.root, name.as_bytes()))
    }

    pub fn rename(&self, old: &str, new: &str, mode: RenameMode) -> Result<()> {
        let (old, new) = ((&self.root, old.as_bytes()), (&self.root, new.as_bytes()));
        now(operations::rename(&self.context(), old, new, mode))
    }

    pub fn open(&self, name: &str, flags: OpenFlags) -> Result<Arc<OpenFile>> {
        let request = OpenRequest { flags, permissions: 0o666, ..Default::default() };
        match now(operations::open(&self.context(), &self.root, name.as_bytes(), request))? {
            Opened::File(file) => Ok(file),
            Opened::Fifo { .. } => Err(Errno::EACCES),
        }
    }

    pub fn write_at(&self, file: &OpenFile, at: WritePosition, bytes: &[u8]) -> Result<usize> {
        let memory = self.kernel.platform.memory();
        let mut source = io::Bytes::new(memory, bytes);
        loop {
            match file.file.try_write(at, &mut source) {
                Ok(written) => return Ok(written.count),
                Err(TryError::NotResident { offset, length }) => {
                    now(file.file.fetch(offset, length))?;
                }
                Err(TryError::Failed(errno)) => return Err(errno),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    pub fn read_at(&self, file: &OpenFile, offset: u64, length: usize) -> Result<Vec<u8>> {
        let memory = self.kernel.platform.memory();
        let mut bytes = vec![0; length];
        let mut done = 0;
        while done < length {
            let mut rest = io::Buffer::new(memory, &mut bytes[done..]);
            match file.file.try_read(offset + done as u64, &mut rest) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(TryError::NotResident { offset, length }) => {
                    now(file.file.fetch(offset, length))?;
                }
                Err(TryError::Failed(errno)) => return Err(errno),
                Err(other) => panic!("{other:?}"),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    /// Makes the file hold `bytes` and nothing else.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::WRITE_ONLY;
        let file = self.open(name, flags)?;
        self.write_at(&file, WritePosition::At(0), bytes).map(drop)
    }

    pub fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.open(name, OpenFlags::WRITE_ONLY | OpenFlags::APPEND)?;
        self.write_at(&file, WritePosition::End, bytes).map(drop)
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.open(name, OpenFlags::empty())?;
        self.read_at(&file, 0, 1 << 16)
    }

    /// Names in a directory, sorted, without `.` and `..`.
    pub fn list(&self, name: &str) -> Result<Vec<String>> {
        let file = self.open(name, OpenFlags::DIRECTORY)?;
        let mut names = Vec::new();
        let mut position = 0;
        loop {
            let entries = now(file.file.read_directory(position))?;
            let Some(last) = entries.last() else { break };
            position = last.next;
            names
                .extend(entries.iter().map(|entry| String::from_utf8(entry.name.clone()).unwrap()));
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }
}
