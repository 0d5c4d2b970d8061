//! Reading a file that is made when it is read.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};

use async_trait::async_trait;
use spin::mutex::SpinMutex;

use super::{Content, Node, Subject};
use crate::{
    errno::{Errno, Result},
    io::{Destination, Source, TryError, TryResult},
    kernel::Credentials,
    memory::PAGE_SIZE,
    vfs::{File, WritePosition, Written},
};

/// An open file. A read at offset 0 makes the contents anew; reads further on continue in what was
/// made then, so that a reader of several pieces sees one consistent state.
pub(super) struct GeneratedFile<S: 'static> {
    node: Arc<Node<S>>,
    opener: Credentials,
    made: SpinMutex<Made>,
}

#[derive(Default)]
struct Made {
    contents: Arc<Vec<u8>>,
    /// They were made by `fetch` for a read at offset 0 that is still to come.
    awaited: bool,
    /// They were made at all.
    valid: bool,
}

impl<S: Subject> GeneratedFile<S> {
    pub(super) fn new(node: Arc<Node<S>>, opener: Credentials) -> Self {
        Self { node, opener, made: SpinMutex::new(Made::default()) }
    }

    fn store(&self, contents: Vec<u8>, awaited: bool) -> Arc<Vec<u8>> {
        let contents = Arc::new(contents);
        *self.made.lock() = Made { contents: contents.clone(), awaited, valid: true };
        contents
    }

    /// What a read at `offset` is served from, if it is there without making it.
    fn at_hand(&self, offset: u64) -> Option<Arc<Vec<u8>>> {
        let mut made = self.made.lock();
        let usable = made.valid && (offset > 0 || made.awaited);
        made.awaited = false;
        usable.then(|| made.contents.clone())
    }

    fn contents(&self, offset: u64) -> TryResult<Arc<Vec<u8>>> {
        if let Some(contents) = self.at_hand(offset) {
            return Ok(contents);
        }
        match &self.node.entry.content {
            Content::File { read, .. } => {
                let contents = read(&self.node.subject, &self.node.tree.kernel)?;
                Ok(self.store(contents, false))
            }
            Content::SeenFile { read, .. } => {
                let contents = read(&self.node.subject, &self.node.tree.kernel, &self.opener)?;
                Ok(self.store(contents, false))
            }
            Content::Text(text) => Ok(self.store(text.as_bytes().to_vec(), false)),
            _ => Err(TryError::NotResident { offset: 0, length: 0 }),
        }
    }
}

#[async_trait]
impl<S: Subject> File for GeneratedFile<S> {
    fn try_read(&self, offset: u64, destination: &mut dyn Destination) -> TryResult<usize> {
        let contents = self.contents(offset)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = contents.get(start..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(0);
        }
        destination.put(rest).inspect_err(|_| {
            // The read comes again after a page fault; it need not make everything anew.
            self.made.lock().awaited = offset == 0;
        })
    }

    async fn fetch(&self, _offset: u64, _length: usize) -> Result<()> {
        let Content::LateFile(read) = &self.node.entry.content else {
            return Err(Errno::EIO);
        };
        let contents = read(self.node.subject.clone(), self.node.tree.kernel.clone()).await?;
        self.store(contents, true);
        Ok(())
    }

    fn try_write(&self, _at: WritePosition, source: &mut dyn Source) -> TryResult<Written> {
        let (Content::File { write: Some(write), .. }
        | Content::SeenFile { write: Some(write), .. }) = &self.node.entry.content
        else {
            return Err(Errno::EINVAL.into());
        };
        let mut bytes = vec![0; source.remaining().min(PAGE_SIZE)];
        let count = source.take(&mut bytes)?;
        bytes.truncate(count);
        write(&self.node.subject, &self.node.tree.kernel, &self.opener, &bytes)?;
        Ok(Written { count, end: count as u64 })
    }

    fn is_seekable(&self) -> bool {
        true
    }
}
