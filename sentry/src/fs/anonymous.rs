//! Places for files that no name leads to, so that their links in /proc/PID/fd can be followed
//! (`/dev/stdout` is one).

use alloc::{boxed::Box, sync::Arc};

use async_trait::async_trait;

use super::pipe::PipeEnd;
use crate::{
    errno::Result,
    kernel::Kernel,
    vfs::{
        Attributes, Caller, Dentry, DeviceNumber, File, FileKind, FileSystem, Inode, Mount,
        MountFlags, OpenFile, OpenFlags, Path, Statistics,
    },
};

/// ANON_INODE_FS_MAGIC.
const MAGIC: u64 = 0x0904_1934;

/// The mount that holds them.
struct AnonymousFiles {
    device: DeviceNumber,
}

/// A file of it; `None` is the root.
struct AnonymousInode {
    device: DeviceNumber,
    open: Option<Arc<OpenFile>>,
}

/// The place of `open`, which has no name.
pub fn place(kernel: &Arc<Kernel>, open: &Arc<OpenFile>) -> Path {
    let make = || {
        let device = kernel.vfs.allocate_device();
        let files = Arc::new(AnonymousFiles { device });
        Mount::new(files, &kernel.vfs.dentries, "anon_inodefs", MountFlags::empty())
    };
    let mount = kernel.anonymous_files.call_once(make).clone();
    let inode = AnonymousInode { device: DeviceNumber::default(), open: Some(open.clone()) };
    if let Some(end) = open.downcast::<PipeEnd>() {
        kernel.fifos.adopt(inode.attributes_now().key(), end);
    }
    let dentry =
        Dentry::unnamed(&mount.root, open.file.anonymous().label.as_bytes(), Arc::new(inode));
    Path { mount, dentry }
}

#[async_trait]
impl FileSystem for AnonymousFiles {
    fn name(&self) -> &'static str {
        "anon_inodefs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(AnonymousInode { device: self.device, open: None })
    }

    async fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics { magic: MAGIC, block_size: 4096, ..Statistics::default() })
    }
}

impl AnonymousInode {
    fn attributes_now(&self) -> Attributes {
        let attributes = self.open.as_ref().map(|open| open.file.anonymous().attributes());
        let root = || crate::vfs::Anonymous::inode("").attributes();
        let attributes = attributes.unwrap_or_else(root);
        Attributes { device: self.device, kind: self.kind(), ..attributes }
    }
}

#[async_trait]
impl Inode for AnonymousInode {
    fn cached_attributes(&self) -> Option<Attributes> {
        Some(self.attributes_now())
    }

    fn kind(&self) -> FileKind {
        let Some(open) = &self.open else { return FileKind::Directory };
        match open.file.anonymous().kind {
            // Only a real pipe can be opened anew as a FIFO; the container's standard streams
            // are pipes to it, but are shared.
            FileKind::Fifo if open.downcast::<PipeEnd>().is_none() => FileKind::Regular,
            kind => kind,
        }
    }

    async fn open(
        self: Arc<Self>,
        _caller: Caller<'_>,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn File>> {
        let open = self.open.as_ref().ok_or(crate::errno::Errno::ENXIO)?;
        Ok(open.file.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{
        pipe,
        testing::{kernel, poll_once},
    };

    #[test]
    fn a_pipe_is_opened_anew_through_its_place() {
        let (kernel, _) = kernel();
        let (_reader, writer) = pipe::create();
        let open = OpenFile::new(writer, None, OpenFlags::WRITE_ONLY);
        let place = place(&kernel, &open);
        let attributes = place.inode().cached_attributes().unwrap();
        assert_eq!(attributes.kind, FileKind::Fifo);
        let again = poll_once(kernel.fifos.open(attributes.key(), OpenFlags::WRITE_ONLY));
        let again = again.unwrap().unwrap();
        assert_eq!(again.anonymous(), open.file.anonymous());
    }
}
