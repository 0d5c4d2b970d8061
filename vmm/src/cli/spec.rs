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
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(EXAMPLE.as_bytes()))
        .map_err(|error| {
            Failure::new(
                format_args!("cannot write {}: {error}", path.display()),
                "name another directory with --bundle",
            )
        })
}
