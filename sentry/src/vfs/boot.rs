//! The mounts of a container.

use alloc::sync::Arc;

use super::{Mount, MountFlags, Namespace};
use crate::{
    fs::tmpfs::{Options, Tmpfs},
    kernel::{Kernel, StartFailure},
};

/// Makes the mount namespace that the boot information describes.
///
/// # Errors
/// What could not be mounted, and why.
pub async fn mount(kernel: &Arc<Kernel>) -> Result<Arc<Namespace>, StartFailure> {
    let root = Tmpfs::new(kernel, Options::default());
    Ok(Namespace::new(Mount::new(root, &kernel.vfs.dentries, "tmpfs", MountFlags::empty())))
}
