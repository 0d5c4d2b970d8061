//! Checks that several sections of config.json share. Each failure names the field.

use std::{fmt, path::Path};

use crate::error::{Failure, Result};

/// Largest host or domain name in bytes (sethostname(2)).
const MAX_HOST_NAME_BYTES: usize = 64;

/// A failure about `name`, a field of config.json.
pub fn invalid(name: impl fmt::Display, what: impl fmt::Display, remedy: &str) -> Failure {
    Failure::new(format_args!("config.json: {name} {what}"), remedy)
}

/// `text` unless it holds a NUL byte, which no Linux string can.
pub fn text(name: impl fmt::Display, text: &str) -> Result<String> {
    if text.contains('\0') {
        Err(invalid(name, "contains a NUL character", "remove it"))
    } else {
        Ok(text.to_owned())
    }
}

/// Every element of `list` as [`text`] accepts it.
pub fn texts(name: &str, list: &[String]) -> Result<Vec<String>> {
    list.iter()
        .enumerate()
        .map(|(index, element)| text(format_args!("{name}[{index}]"), element))
        .collect()
}

/// `path` as a string, if it is absolute.
pub fn absolute_path(name: impl fmt::Display + Copy, path: &Path) -> Result<String> {
    let string =
        path.to_str().ok_or_else(|| invalid(name, "is not UTF-8", "use a path that is"))?;
    if string.starts_with('/') {
        text(name, string)
    } else {
        Err(invalid(name, format_args!("'{string}' is not absolute"), "start it with '/'"))
    }
}

/// Every element of `paths` as [`absolute_path`] accepts it; none if absent.
pub fn absolute_paths(name: &str, paths: Option<&[String]>) -> Result<Vec<String>> {
    paths
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, path)| absolute_path(format_args!("{name}[{index}]"), Path::new(path)))
        .collect()
}

/// A host or domain name; empty if absent.
pub fn host_name(name: &str, value: Option<&str>) -> Result<String> {
    let value = text(name, value.unwrap_or_default())?;
    if value.len() <= MAX_HOST_NAME_BYTES {
        Ok(value)
    } else {
        Err(invalid(name, "is longer than 64 bytes", "shorten it"))
    }
}
