//! What a regular file has beyond its attributes: its page cache and its handles.

use alloc::sync::Arc;

use super::{handles::Handles, session::Session};
use crate::{mm::PageCache, vfs::Attributes};

/// Contents of a regular file.
pub(super) struct Contents {
    /// Its pages; they are read and written through `handles`.
    pub(super) cache: Arc<PageCache>,
    /// Its handles at the server.
    pub(super) handles: Arc<Handles>,
}

impl Contents {
    /// Contents of `node`, a file of `size` bytes, of which nothing is cached yet.
    pub(super) fn new(session: &Session, node: u64, size: u64) -> Self {
        let handles = Handles::new(session.connection.clone(), node, session.is_immutable());
        Self { cache: PageCache::new(session.frames.clone(), size, Some(handles.clone())), handles }
    }

    /// Takes over a new state of the file at the server. If others made it (`foreign`), which its
    /// size or times show, cached pages are dropped.
    pub(super) fn revalidate(&self, old: &Attributes, new: &Attributes, foreign: bool) {
        let version = |of: &Attributes| (of.size, of.modified, of.changed);
        if foreign && version(old) != version(new) {
            self.cache.invalidate();
        }
        if self.cache.size() != new.size && !self.cache.is_dirty() {
            self.cache.set_size(new.size);
        }
    }
}
