//! Copy-up: a lower inode gets its changeable side.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::{
    Layer,
    inode::{OverlayInode, Upper},
};
use crate::{
    errno::{Errno, Result},
    fs::tmpfs::TmpfsInode,
    io::{PhysicalRun, TryError},
    memory::{FrameRef, PAGE_SIZE},
    mm::{PageBacking, PageCache},
    vfs::{
        Attributes, Caller, File, FileKind, Inode, NewInode, NewNode, OpenFlags, XattrMode,
        without_waiting,
    },
};

impl OverlayInode {
    /// The changeable side, made now if need be. `empty` spares the contents: they are truncated
    /// next.
    ///
    /// # Errors
    /// What the lower file system fails with.
    pub async fn copy_up(&self, empty: bool) -> Result<&Upper> {
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        let _copying = self.copying.lock().await;
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        let lower = self.lower()?;
        let attributes = lower.attributes().await?;
        let kernel = self.layer.kernel()?;
        let caller = self.layer.caller(&kernel);
        let node = self.copy_node(lower, &attributes, caller, empty).await?;
        copy_xattrs(lower, &node).await?;
        let links = self.copied_links(attributes.links);
        node.copy_times(&Attributes { links, ..attributes });
        let upper = self.upper.call_once(|| Upper { node, number: attributes.inode });
        self.keep();
        Ok(upper)
    }

    /// A tmpfs inode that equals the lower one.
    async fn copy_node(
        &self,
        lower: &Arc<dyn Inode>,
        attributes: &Attributes,
        caller: Caller<'_>,
        empty: bool,
    ) -> Result<Arc<TmpfsInode>> {
        let node = match attributes.kind {
            FileKind::Regular if empty || attributes.size == 0 => NewNode::Regular,
            FileKind::Regular => {
                let file = lower.clone().open(caller, OpenFlags::empty()).await?;
                return Ok(lazy_copy(&self.layer, file, attributes));
            }
            FileKind::Directory => NewNode::Directory,
            FileKind::SymbolicLink => NewNode::SymbolicLink(lower.read_link(caller).await?),
            FileKind::Fifo => NewNode::Fifo,
            FileKind::Socket => NewNode::Socket,
            FileKind::CharacterDevice => NewNode::CharacterDevice(attributes.device_node),
            FileKind::BlockDevice => NewNode::BlockDevice(attributes.device_node),
        };
        let Attributes { permissions, uid, gid, .. } = *attributes;
        Ok(TmpfsInode::new(&self.layer.store, NewInode { node, permissions, uid, gid }))
    }
}

/// A file whose pages come from `file` when they are first touched.
fn lazy_copy(layer: &Layer, file: Arc<dyn File>, attributes: &Attributes) -> Arc<TmpfsInode> {
    let store = &layer.store;
    let length = Arc::new(AtomicU64::new(attributes.size));
    let frames = store.frames().clone();
    let pages = LowerPages { file, length: length.clone(), kernel: layer.kernel.clone() };
    let cache = PageCache::new(frames, attributes.size, Some(Arc::new(pages)));
    let Attributes { permissions, uid, gid, .. } = *attributes;
    TmpfsInode::of_cache(store, cache, length, permissions, uid, gid)
}

async fn copy_xattrs(lower: &Arc<dyn Inode>, node: &TmpfsInode) -> Result<()> {
    let names: Vec<Vec<u8>> = match lower.xattr_names().await {
        Ok(names) => names,
        Err(Errno::EOPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    for name in names {
        match lower.xattr(&name).await {
            Ok(value) => node.put_xattr(&name, &value, XattrMode::Any)?,
            // Listed, but not for everyone.
            Err(Errno::ENODATA | Errno::EPERM | Errno::EOPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The lower file as the backing of its copy.
struct LowerPages {
    file: Arc<dyn File>,
    /// Bytes from the start that still come from it: a truncation lowers it for good.
    length: Arc<AtomicU64>,
    kernel: alloc::sync::Weak<crate::kernel::Kernel>,
}

impl LowerPages {
    /// Reads what the file has of one page.
    async fn read_page(&self, offset: u64, frame: &FrameRef) -> Result<()> {
        let kernel = self.kernel.upgrade().ok_or(Errno::EIO)?;
        let memory = kernel.platform.memory();
        let left = self.length.load(Ordering::Acquire).saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
        let mut done = 0;
        while done < length {
            let mut rest = PhysicalRun::new(memory, frame.address() + done as u64, length - done);
            match self.file.try_read(offset + done as u64, &mut rest) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(TryError::NotResident { offset, length }) => {
                    self.file.fetch(offset, length).await?;
                }
                Err(error) => return without_waiting(Err(error)),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl PageBacking for LowerPages {
    async fn read_pages(&self, index: u64, frames: &[FrameRef]) -> Result<()> {
        for (index, frame) in (index..).zip(frames) {
            self.read_page(index * PAGE_SIZE as u64, frame).await?;
        }
        Ok(())
    }

    async fn write_pages(&self, _index: u64, _frames: &[FrameRef], _length: usize) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn is_writable(&self) -> bool {
        false
    }
}
