//! devpts: the names of pseudo-terminals (/dev/pts).

use alloc::{boxed::Box, string::ToString, sync::Arc, vec::Vec};

use async_trait::async_trait;

use super::dev::{PTMX, open_device};
use crate::{
    errno::{Errno, Result},
    kernel::Kernel,
    tty::{PtyTable, SLAVE_MAJOR},
    vfs::{
        AttributeChange, Attributes, Caching, Caller, DeviceNumber, DirectoryEntry, File, FileKind,
        FileSystem, Inode, OpenFlags, Statistics, Timestamp,
    },
};

/// DEVPTS_SUPER_MAGIC.
const MAGIC: u64 = 0x1cd1;

/// Inode numbers: the root, ptmx, and slave N at `FIRST_SLAVE + N`.
const ROOT_INODE: u64 = 1;
const PTMX_INODE: u64 = 2;
const FIRST_SLAVE: u64 = 3;

/// The file system. All its instances in a container show the same pseudo-terminals.
struct DevPts {
    root: Arc<Root>,
}

#[derive(Clone)]
struct Root {
    kernel: Arc<Kernel>,
    ptys: Arc<PtyTable>,
    device: DeviceNumber,
}

/// /dev/pts/N or /dev/pts/ptmx.
struct Node {
    root: Root,
    number: DeviceNumber,
}

/// A devpts file system that shows `ptys`.
pub fn new(kernel: &Arc<Kernel>, ptys: &Arc<PtyTable>) -> Arc<dyn FileSystem> {
    let device = kernel.vfs.allocate_device();
    Arc::new(DevPts { root: Arc::new(Root { kernel: kernel.clone(), ptys: ptys.clone(), device }) })
}

#[async_trait]
impl FileSystem for DevPts {
    fn name(&self) -> &'static str {
        "devpts"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    async fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics { magic: MAGIC, block_size: 4096, ..Statistics::default() })
    }
}

impl Root {
    fn attributes(&self, inode: u64, kind: FileKind, permissions: u16) -> Attributes {
        let now = Timestamp::from_nanoseconds(self.kernel.platform.realtime_nanoseconds());
        Attributes {
            device: self.device,
            inode,
            kind,
            permissions,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            uid: 0,
            gid: 0,
            device_node: DeviceNumber::default(),
            size: 0,
            block_size: 1024,
            blocks: 0,
            accessed: now,
            modified: now,
            changed: now,
            created: None,
        }
    }
}

#[async_trait]
impl Inode for Root {
    fn cached_attributes(&self) -> Option<Attributes> {
        Some(self.attributes(ROOT_INODE, FileKind::Directory, 0o755))
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn caching(&self) -> Caching {
        Caching::Volatile
    }

    async fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let number = if name == b"ptmx" {
            PTMX
        } else {
            let name = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
            let minor: u32 = name.parse().map_err(|_| Errno::ENOENT)?;
            let slave = self.ptys.node(minor);
            // Only the canonical spelling is a name: not "+1" or "01".
            slave.filter(|_| minor.to_string() == name).ok_or(Errno::ENOENT)?;
            DeviceNumber { major: SLAVE_MAJOR, minor }
        };
        Ok(Arc::new(Node { root: self.clone(), number }))
    }

    async fn open(
        self: Arc<Self>,
        _caller: Caller<'_>,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn File>> {
        Ok(Arc::new(OpenRoot(self)))
    }
}

#[async_trait]
impl Inode for Node {
    fn cached_attributes(&self) -> Option<Attributes> {
        let minor = self.number.minor;
        let inode = if self.number == PTMX { PTMX_INODE } else { FIRST_SLAVE + u64::from(minor) };
        let plain = self.root.attributes(inode, FileKind::CharacterDevice, 0o666);
        let plain = Attributes { device_node: self.number, ..plain };
        if self.number == PTMX {
            return Some(plain);
        }
        let node = self.root.ptys.node(minor)?;
        Some(Attributes { permissions: node.permissions, uid: node.uid, gid: node.gid, ..plain })
    }

    async fn attributes(&self) -> Result<Attributes> {
        self.cached_attributes().ok_or(Errno::ENOENT)
    }

    fn kind(&self) -> FileKind {
        FileKind::CharacterDevice
    }

    async fn set_attributes(&self, change: AttributeChange) -> Result<Attributes> {
        if self.number != PTMX {
            self.root.ptys.change_node(self.number.minor, |node| {
                node.permissions = change.permissions.unwrap_or(node.permissions);
                node.uid = change.uid.unwrap_or(node.uid);
                node.gid = change.gid.unwrap_or(node.gid);
            });
        }
        self.attributes().await
    }

    async fn open(self: Arc<Self>, caller: Caller<'_>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        open_device(caller, self.number, flags)
    }
}

/// The open directory. Positions: `.`, `..`, ptmx, then slave N at `FIRST_SLAVE + N`.
struct OpenRoot(Arc<Root>);

#[async_trait]
impl File for OpenRoot {
    fn is_seekable(&self) -> bool {
        true
    }

    async fn read_directory(&self, position: u64) -> Result<Vec<DirectoryEntry>> {
        let fixed = [
            (0, ROOT_INODE, FileKind::Directory, b".".to_vec()),
            (1, ROOT_INODE, FileKind::Directory, b"..".to_vec()),
            (2, PTMX_INODE, FileKind::CharacterDevice, b"ptmx".to_vec()),
        ];
        let slaves = self.0.ptys.numbers().into_iter().map(|number| {
            let inode = FIRST_SLAVE + u64::from(number);
            (inode, inode, FileKind::CharacterDevice, number.to_string().into_bytes())
        });
        let from_position = fixed.into_iter().chain(slaves).filter(|(at, ..)| *at >= position);
        let entry = |(at, inode, kind, name)| DirectoryEntry { inode, kind, name, next: at + 1 };
        Ok(from_position.map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fs::testing::{kernel, poll_once},
        kernel::Credentials,
    };

    #[test]
    fn masters_make_slaves_appear() {
        let (kernel, _) = kernel();
        let root = new(&kernel, &kernel.containers.sandbox.terminals.ptys).root();
        let find = |name: &[u8]| poll_once(root.lookup(name)).unwrap();
        let credentials = Credentials { fs_uid: 1000, ..Credentials::default() };
        let caller = Caller { kernel: &kernel, task: None, credentials: &credentials };
        assert_eq!(find(b"0").err(), Some(Errno::ENOENT));
        let ptmx = find(b"ptmx").unwrap();
        let master = poll_once(ptmx.open(caller, OpenFlags::READ_WRITE)).unwrap().unwrap();
        let slave = find(b"0").unwrap();
        let attributes = slave.cached_attributes().unwrap();
        assert_eq!((attributes.uid, attributes.permissions), (1000, 0o620));
        assert_eq!(find(b"00").err(), Some(Errno::ENOENT));
        let change = AttributeChange { permissions: Some(0o600), ..AttributeChange::default() };
        let changed = poll_once(slave.set_attributes(change)).unwrap().unwrap();
        assert_eq!(changed.permissions, 0o600);
        let directory =
            poll_once(root.clone().open(caller, OpenFlags::DIRECTORY)).unwrap().unwrap();
        let names = || -> Vec<Vec<u8>> {
            let entries = poll_once(directory.read_directory(2)).unwrap().unwrap();
            entries.into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names(), [b"ptmx".to_vec(), b"0".to_vec()]);
        drop(master);
        assert_eq!(names(), [b"ptmx".to_vec()]);
        assert!(slave.cached_attributes().is_none());
    }
}
