//! Device nodes that the container asks for besides the standard ones.

use alloc::{format, sync::Arc};

use guest_abi::container::{NodeKind, NodeSpec};

use super::make_target;
use crate::{
    errno::{Errno, Result},
    kernel::{Credentials, Kernel, StartFailure},
    vfs::{
        AttributeChange, Attributes, DeviceNumber, FileKind, Namespace, NewNode, WalkContext,
        WalkFlags, operations, walk,
    },
};

/// Makes them. What is there already under such a name must be the same device.
pub(super) async fn make(
    kernel: &Arc<Kernel>,
    namespace: &Arc<Namespace>,
    nodes: &[NodeSpec],
) -> Result<(), StartFailure> {
    for spec in nodes {
        make_one(kernel, namespace, spec)
            .await
            .map_err(|errno| StartFailure::new(format!("mknod {}", spec.path), errno))?;
    }
    Ok(())
}

async fn make_one(kernel: &Arc<Kernel>, namespace: &Arc<Namespace>, spec: &NodeSpec) -> Result<()> {
    let (parent, name) = spec.path.rsplit_once('/').ok_or(Errno::EINVAL)?;
    let directory = make_target(kernel, namespace, parent, true).await?;
    let node = match spec.kind {
        NodeKind::Character(major, minor) => {
            NewNode::CharacterDevice(DeviceNumber { major, minor })
        }
        NodeKind::Block(major, minor) => NewNode::BlockDevice(DeviceNumber { major, minor }),
        NodeKind::Fifo => NewNode::Fifo,
    };
    let permissions = u16::try_from(spec.mode & 0o777).map_err(|_| Errno::EINVAL)?;
    let credentials = Credentials::kernel();
    let root = namespace.root().root_path().topmost();
    let context = WalkContext::of_kernel(kernel, &credentials, &root);
    let name = name.as_bytes();
    let made = match operations::create_node(&context, &directory, name, node, permissions).await {
        Err(Errno::EEXIST) => {
            let existing = walk(&context, &directory, name, WalkFlags::empty()).await?;
            let attributes = existing.inode().attributes().await?;
            return if is_same(&attributes, spec.kind) { Ok(()) } else { Err(Errno::EEXIST) };
        }
        made => made?,
    };
    let owner =
        AttributeChange { uid: Some(spec.uid), gid: Some(spec.gid), ..AttributeChange::default() };
    made.inode().set_attributes(owner).await.map(drop)
}

fn is_same(attributes: &Attributes, wanted: NodeKind) -> bool {
    let DeviceNumber { major, minor } = attributes.device_node;
    match wanted {
        NodeKind::Character(..) => {
            attributes.kind == FileKind::CharacterDevice
                && wanted == NodeKind::Character(major, minor)
        }
        NodeKind::Block(..) => {
            attributes.kind == FileKind::BlockDevice && wanted == NodeKind::Block(major, minor)
        }
        NodeKind::Fifo => attributes.kind == FileKind::Fifo,
    }
}
