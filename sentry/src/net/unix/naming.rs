//! Names of sockets: binding to them, and finding out whom they mean.

use alloc::sync::Arc;

use super::{UnixAddress, UnixSocket};
use crate::{
    errno::{Errno, Result},
    kernel::{Credentials, Current},
    vfs::{
        AccessMode, Caller, FileKind, InodeKey, NewNode, Path, WalkContext, WalkFlags, operations,
        walk,
    },
};

/// Permission bits of a new socket inode, before the umask.
const PERMISSIONS: u16 = 0o777;

impl UnixSocket {
    /// bind(2).
    pub(super) async fn bind_to(&self, current: &Current, address: UnixAddress) -> Result<()> {
        if self.state.lock().address != UnixAddress::Unnamed {
            return Err(Errno::EINVAL);
        }
        match address {
            UnixAddress::Unnamed => self.bind_automatically(),
            UnixAddress::Abstract(name) => {
                self.shared.add_abstract(&name, self.this.clone())?;
                self.state.lock().address = UnixAddress::Abstract(name);
                Ok(())
            }
            UnixAddress::Path(path) => {
                let key = create_inode(current, &path).await?;
                self.shared.add_inode(key, self.this.clone());
                let mut state = self.state.lock();
                state.inode = Some(key);
                state.address = UnixAddress::Path(path);
                Ok(())
            }
        }
    }

    /// Gives it a name that is free (unix(7), "Autobind feature").
    pub(super) fn bind_automatically(&self) -> Result<()> {
        let name = self.shared.add_automatic(&self.this)?;
        self.state.lock().address = UnixAddress::Abstract(name);
        Ok(())
    }

    /// The socket that `address` means.
    pub(super) async fn find(&self, current: &Current, address: &UnixAddress) -> Result<Arc<Self>> {
        let found = match address {
            UnixAddress::Unnamed => return Err(Errno::EINVAL),
            UnixAddress::Abstract(name) => self.shared.find_abstract(name),
            UnixAddress::Path(path) => self.shared.find_inode(find_inode(current, path).await?),
        };
        found.ok_or(Errno::ECONNREFUSED)
    }
}

/// What a walk starts from, for the calling task.
struct Base {
    root: Path,
    working_directory: Path,
    umask: u16,
    credentials: Arc<Credentials>,
}

impl Base {
    fn of(current: &Current) -> Result<Self> {
        let fs = current.task.fs().ok_or(Errno::ENOENT)?;
        Ok(Self {
            root: fs.root(),
            working_directory: fs.working_directory(),
            umask: fs.umask(),
            credentials: current.credentials(),
        })
    }

    fn context<'a>(&'a self, current: &'a Current) -> WalkContext<'a> {
        let caller = Caller {
            kernel: &current.kernel,
            task: Some(&current.task),
            credentials: &self.credentials,
        };
        WalkContext { caller, root: &self.root, umask: self.umask }
    }
}

async fn create_inode(current: &Current, path: &[u8]) -> Result<InodeKey> {
    let base = Base::of(current)?;
    let context = base.context(current);
    let (start, node) = (&base.working_directory, NewNode::Socket);
    match operations::create_node(&context, start, path, node, PERMISSIONS).await {
        Ok(path) => path.inode().attributes().await.map(|attributes| attributes.key()),
        Err(Errno::EEXIST) => Err(Errno::EADDRINUSE),
        Err(errno) => Err(errno),
    }
}

async fn find_inode(current: &Current, path: &[u8]) -> Result<InodeKey> {
    let base = Base::of(current)?;
    let context = base.context(current);
    let place = walk(&context, &base.working_directory, path, WalkFlags::FOLLOW).await?;
    let attributes = operations::check_access(&context, &place, AccessMode::WRITE).await?;
    if attributes.kind != FileKind::Socket {
        return Err(Errno::ECONNREFUSED);
    }
    Ok(attributes.key())
}
