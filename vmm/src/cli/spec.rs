//! `spec`: an example config.json.

use std::{fs::OpenOptions, io::Write};

use super::arguments::SpecFlags;
use crate::{
    bundle::CONFIG_FILE,
    error::{Failure, Result},
};

/// The example: a shell in ./rootfs with the capabilities and mounts that engines give.
pub const EXAMPLE: &str = include_str!("../../../resources/bundle/config.json");

/// Writes the example, never over a file that exists.
///
/// # Errors
/// If it exists or cannot be written.
pub fn write(flags: &SpecFlags) -> Result<()> {
    let path = flags.bundle.join(CONFIG_FILE);
    let example = if flags.for_rootless { rootless()? } else { EXAMPLE.to_owned() };
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(example.as_bytes()))
        .map_err(|error| {
            Failure::new(
                format_args!("cannot write {}: {error}", path.display()),
                "name another directory with --bundle",
            )
        })
}

/// The example for a user who is not root, with the namespaces that runc writes for one: without a
/// control group, and with the user's own ids as root's.
fn rootless() -> Result<String> {
    let broken = |error| Failure::new(error, "please report it");
    let mut spec: serde_json::Value = serde_json::from_str(EXAMPLE).map_err(broken)?;
    let linux = spec.get_mut("linux").and_then(serde_json::Value::as_object_mut);
    if let Some(linux) = linux {
        let map = |host: u32| serde_json::json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
        let namespaces = linux.get_mut("namespaces").and_then(serde_json::Value::as_array_mut);
        if let Some(namespaces) = namespaces {
            namespaces.retain(|namespace| namespace["type"] != "network");
            namespaces.push(serde_json::json!({ "type": "user" }));
        }
        linux.remove("cgroupsPath");
        linux.remove("resources");
        linux.insert("uidMappings".to_owned(), map(rustix::process::geteuid().as_raw()));
        linux.insert("gidMappings".to_owned(), map(rustix::process::getegid().as_raw()));
    }
    Ok(format!("{spec:#}\n"))
}
