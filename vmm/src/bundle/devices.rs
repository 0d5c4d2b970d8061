//! `linux.devices`: nodes besides the standard ones.

use guest_abi::container::{NodeKind, NodeSpec};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use super::field::{absolute_path, invalid};
use crate::error::Result;

/// Largest numbers of a device (MKDEV of Linux: 12 and 20 bits).
const MAX_MAJOR: u32 = 0xfff;
const MAX_MINOR: u32 = 0xf_ffff;

/// Permissions of a node that does not say, as in runc.
const DEFAULT_MODE: u32 = 0o666;

/// Made with devpts: engines list it among all devices of the host (runc leaves it out too).
const OWN_NODE: &str = "/dev/ptmx";

/// The nodes, in order.
///
/// # Errors
/// If a path is not absolute, a path comes twice for different devices, or a type or number is
/// none of a device.
pub fn convert(devices: &[LinuxDevice]) -> Result<Vec<NodeSpec>> {
    let mut nodes: Vec<NodeSpec> = Vec::with_capacity(devices.len());
    for (index, device) in devices.iter().enumerate() {
        let node = convert_one(index, device)?;
        match nodes.iter().find(|known| known.path == node.path) {
            Some(known) if known.kind != node.kind => {
                let name = format_args!("linux.devices[{index}].path");
                let what = format_args!("'{}' names two devices", node.path);
                return Err(invalid(name, what, "remove one of them"));
            }
            _ if node.path == OWN_NODE => {}
            _ => nodes.push(node),
        }
    }
    Ok(nodes)
}

fn convert_one(index: usize, device: &LinuxDevice) -> Result<NodeSpec> {
    let path = absolute_path(format_args!("linux.devices[{index}].path"), device.path())?;
    let number = |name: &str, value: i64, most: u32| {
        u32::try_from(value).ok().filter(|value| *value <= most).ok_or_else(|| {
            let name = format_args!("linux.devices[{index}].{name}");
            invalid(name, format_args!("is {value}"), "use the number of a device")
        })
    };
    let numbers = || {
        let major = number("major", device.major(), MAX_MAJOR)?;
        Ok((major, number("minor", device.minor(), MAX_MINOR)?))
    };
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => {
            numbers().map(|(major, minor)| NodeKind::Character(major, minor))?
        }
        LinuxDeviceType::B => numbers().map(|(major, minor)| NodeKind::Block(major, minor))?,
        LinuxDeviceType::P => NodeKind::Fifo,
        LinuxDeviceType::A => {
            let name = format_args!("linux.devices[{index}].type");
            return Err(invalid(name, "is 'a'", "use one of c, b, u and p"));
        }
    };
    let mode = device.file_mode().map_or(DEFAULT_MODE, |mode| mode & 0o777);
    let (uid, gid) = (device.uid().unwrap_or_default(), device.gid().unwrap_or_default());
    Ok(NodeSpec { path, kind, mode, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devpts_has_is_left_out() {
        let json = r#"[{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}]"#;
        assert_eq!(nodes(json).unwrap(), []);
    }

    fn nodes(json: &str) -> Result<Vec<NodeSpec>> {
        convert(&serde_json::from_str::<Vec<LinuxDevice>>(json).unwrap())
    }

    #[test]
    fn types_and_defaults() {
        let nodes = nodes(
            r#"[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438},
                {"path": "/dev/sda", "type": "b", "major": 8, "minor": 0, "gid": 6},
                {"path": "/run/fifo", "type": "p"}]"#,
        )
        .unwrap();
        assert_eq!((nodes[0].kind, nodes[0].mode), (NodeKind::Character(10, 229), 0o666));
        assert_eq!((nodes[1].kind, nodes[1].gid), (NodeKind::Block(8, 0), 6));
        assert_eq!(nodes[2].kind, NodeKind::Fifo);
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let cases = [
            (r#"[{"path": "fuse", "type": "c"}]"#, "'fuse' is not absolute"),
            (r#"[{"path": "/a", "type": "c", "major": 5000}]"#, "major is 5000"),
            (r#"[{"path": "/a", "type": "c", "minor": -1}]"#, "minor is -1"),
            (r#"[{"path": "/a", "type": "a"}]"#, "type is 'a'"),
            (
                r#"[{"path": "/a", "type": "p"}, {"path": "/a", "type": "c"}]"#,
                "'/a' names two devices",
            ),
        ];
        for (json, expected) in cases {
            let message = nodes(json).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
