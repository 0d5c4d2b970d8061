//! The mounts a container starts with.
//!
//! Targets that do not exist are made, as the OCI runtime specification asks ("Mounts"). Where the
//! root is read-only they are made in an overlay, which is closed to writes afterwards.

mod nodes;
mod subtree;

use alloc::{format, string::String, sync::Arc, vec::Vec};

use guest_abi::container::{
    CachePolicy, ContainerSpec, MountSource, MountSpec, RootWrites, TmpfsSpec,
};

use self::subtree::Subtree;
use super::{
    FileKind, FileSystem, Mount, MountFlags, Namespace, NewInode, NewNode, Path, WalkContext,
    WalkFlags, lookup_child, operations, walk,
};
use crate::{
    errno::{Errno, Result},
    fs::{
        cgroup, dev, devpts,
        gofer::GoferFileSystem,
        mqueue,
        overlay::Overlay,
        proc, sys,
        tmpfs::{self, Tmpfs},
    },
    kernel::{Container, Credentials, Kernel, StartFailure},
    vfs::DeviceNumber,
};

/// Size limit of tmpfs instances that are to stay empty or hold device nodes, in bytes.
const SMALL: u64 = 1 << 20;

/// Makes the mount namespace of `container`.
///
/// # Errors
/// What could not be mounted, and why.
pub async fn mount(
    kernel: &Arc<Kernel>,
    container: &Arc<Container>,
) -> Result<Arc<Namespace>, StartFailure> {
    let root = root_file_system(kernel, container)
        .await
        .map_err(|errno| StartFailure::new("cannot mount the root file system", errno))?;
    let root = Mount::new(root, &kernel.vfs.dentries, "rootfs", MountFlags::empty());
    let namespace = Namespace::new(root);
    for spec in &container.spec.mounts {
        let failure = |errno| {
            let (destination, kind) = (&spec.destination, name_of(&spec.source));
            StartFailure::new(format!("cannot mount {kind} at {destination}"), errno)
        };
        mount_one(kernel, container, &namespace, spec).await.map_err(failure)?;
    }
    nodes::make(kernel, &namespace, &container.spec.nodes).await?;
    apply_settings(kernel, container)?;
    restrict(kernel, &namespace, &container.spec).await?;
    if container.spec.root.writes == RootWrites::ReadOnly {
        namespace.root().set_flags(MountFlags::READ_ONLY);
    }
    Ok(namespace)
}

/// Gives the container's namespaces the settings it asks for.
fn apply_settings(kernel: &Kernel, container: &Container) -> Result<(), StartFailure> {
    for (name, value) in &container.spec.sysctls {
        proc::set_setting(kernel, container, name, value).map_err(|errno| {
            let operation = if errno == Errno::ENOENT { "open" } else { "write" };
            let key = name.replace('/', ".");
            let cause = format!("write sysctl key {key}: {operation} /proc/sys/{name}");
            StartFailure::new(cause, errno)
        })?;
    }
    Ok(())
}

async fn root_file_system(
    kernel: &Arc<Kernel>,
    container: &Container,
) -> Result<Arc<dyn FileSystem>> {
    let root = &container.spec.root;
    let through = root.writes == RootWrites::Through;
    let served =
        GoferFileSystem::mount((kernel, container), root.device, root.cache, !through).await?;
    if through {
        return Ok(served);
    }
    Ok(Overlay::new(kernel, served, None))
}

/// What /proc/mounts calls the source.
const fn name_of(source: &MountSource) -> &'static str {
    match source {
        MountSource::Device { .. } => "none",
        MountSource::Tmpfs(_) | MountSource::Dev => "tmpfs",
        MountSource::Proc => "proc",
        MountSource::Sysfs => "sysfs",
        MountSource::Devpts => "devpts",
        MountSource::Mqueue => "mqueue",
        MountSource::Cgroup => "cgroup",
    }
}

async fn mount_one(
    kernel: &Arc<Kernel>,
    container: &Arc<Container>,
    namespace: &Arc<Namespace>,
    spec: &MountSpec,
) -> Result<()> {
    let flags = MountFlags::from_bits_truncate(spec.flags);
    let file_system = match &spec.source {
        MountSource::Tmpfs(tmpfs) if tmpfs.copies_up => {
            let target = make_target(kernel, namespace, &spec.destination, true).await?;
            Overlay::new(kernel, Subtree::new(&target), tmpfs.size)
        }
        source => file_system(kernel, container, source, flags).await?,
    };
    let is_directory = file_system.root().kind() == FileKind::Directory;
    let target = make_target(kernel, namespace, &spec.destination, is_directory).await?;
    let source = name_of(&spec.source);
    Mount::new(file_system, &kernel.vfs.dentries, source, flags).attach(&target)
}

async fn file_system(
    kernel: &Arc<Kernel>,
    container: &Arc<Container>,
    source: &MountSource,
    flags: MountFlags,
) -> Result<Arc<dyn FileSystem>> {
    let small = |permissions| {
        let size = Some(SMALL);
        Tmpfs::new(
            kernel,
            tmpfs::Options { size, root_permissions: permissions, ..Default::default() },
        )
    };
    Ok(match source {
        MountSource::Device { device, cache } => {
            let read_only = flags.contains(MountFlags::READ_ONLY);
            let cache: CachePolicy = *cache;
            GoferFileSystem::mount((kernel, container), *device, cache, read_only).await?
        }
        MountSource::Tmpfs(spec) => Tmpfs::new(kernel, tmpfs_options(spec)?),
        MountSource::Dev => {
            let file_system = small(0o755);
            dev::populate(&file_system.root(), container.spec.process.terminal).await?;
            file_system
        }
        MountSource::Devpts => devpts::new(kernel, &container.terminals.ptys),
        MountSource::Mqueue => mqueue::new(kernel, &container.ipc),
        MountSource::Proc => proc::new(kernel, container),
        MountSource::Sysfs => sys::new(kernel),
        MountSource::Cgroup => cgroup::new(kernel, container),
    })
}

fn tmpfs_options(spec: &TmpfsSpec) -> Result<tmpfs::Options> {
    let mode = spec.mode.unwrap_or(0o1777) & 0o7777;
    let root_permissions = u16::try_from(mode).map_err(|_| Errno::EINVAL)?;
    let TmpfsSpec { size, uid, gid, .. } = *spec;
    Ok(tmpfs::Options { size, root_permissions, uid, gid, ..Default::default() })
}

/// The place of an absolute name, made if it is missing.
async fn make_target(
    kernel: &Arc<Kernel>,
    namespace: &Arc<Namespace>,
    name: &str,
    is_directory: bool,
) -> Result<Path> {
    let credentials = Credentials::kernel();
    let root = namespace.root().root_path().topmost();
    let context = WalkContext::of_kernel(kernel, &credentials, &root);
    let mut at = root.clone();
    let components = components(name);
    for (position, component) in (1..).zip(&components) {
        let directory = is_directory || position < components.len();
        let component = component.as_bytes();
        at = match walk(&context, &at, component, WalkFlags::FOLLOW).await {
            Err(Errno::ENOENT) if directory => {
                operations::make_directory(&context, &at, component, 0o755).await?
            }
            Err(Errno::ENOENT) => {
                operations::create_node(&context, &at, component, NewNode::Regular, 0o644).await?
            }
            found => found?,
        };
    }
    if (at.inode().kind() == FileKind::Directory) != is_directory {
        return Err(Errno::ENOTDIR);
    }
    Ok(at)
}

fn components(name: &str) -> Vec<&str> {
    name.split('/').filter(|component| !component.is_empty()).collect()
}

/// Masks paths and makes paths read-only.
async fn restrict(
    kernel: &Arc<Kernel>,
    namespace: &Arc<Namespace>,
    container: &ContainerSpec,
) -> Result<(), StartFailure> {
    for name in &container.masked_paths {
        let failure = |errno| StartFailure::new(format!("cannot mask {name}"), errno);
        if let Some(path) = find(kernel, namespace, name).await.map_err(failure)? {
            mask(kernel, &path).await.map_err(failure)?;
        }
    }
    for name in &container.readonly_paths {
        let failure = |errno| StartFailure::new(format!("cannot protect {name}"), errno);
        if let Some(path) = find(kernel, namespace, name).await.map_err(failure)? {
            let view = Mount::bind(&path);
            view.set_flags(view.flags() | MountFlags::READ_ONLY);
            view.attach(&path).map_err(failure)?;
        }
    }
    Ok(())
}

/// The place of an absolute name; `None` if there is none.
async fn find(
    kernel: &Arc<Kernel>,
    namespace: &Arc<Namespace>,
    name: &String,
) -> Result<Option<Path>> {
    let credentials = Credentials::kernel();
    let root = namespace.root().root_path().topmost();
    let context = WalkContext::of_kernel(kernel, &credentials, &root);
    match walk(&context, &root, name.as_bytes(), WalkFlags::FOLLOW).await {
        Ok(path) => Ok(Some(path)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Makes a directory read as empty, or anything else as the null device.
async fn mask(kernel: &Arc<Kernel>, path: &Path) -> Result<()> {
    let options =
        tmpfs::Options { size: Some(SMALL), root_permissions: 0o755, ..Default::default() };
    let empty = Tmpfs::new(kernel, options);
    let cover = Mount::new(empty, &kernel.vfs.dentries, "tmpfs", MountFlags::READ_ONLY);
    if path.inode().kind() == FileKind::Directory {
        return cover.attach(path);
    }
    let null = NewNode::CharacterDevice(DeviceNumber { major: 1, minor: 3 });
    let new = NewInode { node: null, permissions: 0o666, uid: 0, gid: 0 };
    cover.root.inode.create(b"null", new).await?;
    let dentry = lookup_child(&cover.root, b"null").await?;
    let view = Mount::bind(&Path { mount: cover, dentry });
    view.set_flags(MountFlags::empty());
    view.attach(path)
}
