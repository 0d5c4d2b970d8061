//! Files below /proc/sys that are settings of the container's namespaces.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use crate::{
    errno::{Errno, Result},
    fs::pseudo::{Child, Children, Entry, Node, Subject},
    kernel::{Container, Kernel, Settings},
    vfs::{FileKind, Inode},
};

/// A setting, or a directory of them, by its name below /proc/sys.
#[derive(Clone)]
pub(super) struct Place(String);

impl Subject for Place {}

const DIRECTORY: Entry<Place> = Entry::growing_directory(
    "",
    &[],
    Children {
        list: |place, _| list(&place.0),
        find: |node, name| find(node, &node.subject().0, name),
    },
);

const FILE: Entry<Place> = Entry::writable(
    "",
    |place, kernel: &Arc<Kernel>| Ok(kernel.settings.line(&place.0)?.into_bytes()),
    |place, kernel, _, text| kernel.settings.set(&place.0, text),
);

/// What is below the directory `directory`.
pub(super) fn list(directory: &str) -> Vec<Child> {
    let mut children: Vec<Child> = Vec::new();
    let all = Settings::names().filter_map(|name| below(directory, name));
    for (key, rest) in (1..).zip(all) {
        let (name, kind) = match rest.split_once('/') {
            Some((name, _)) => (name, FileKind::Directory),
            None => (rest, FileKind::Regular),
        };
        if children.last().is_none_or(|last| last.name != name.as_bytes()) {
            children.push(Child { key, name: name.into(), kind });
        }
    }
    children
}

/// The child `name` of `directory`, whose node is `node`.
///
/// # Errors
/// ENOENT.
pub(super) fn find<S: Subject>(
    node: &Node<S>,
    directory: &str,
    name: &[u8],
) -> Result<Arc<dyn Inode>> {
    let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    let path = format!("{directory}/{text}");
    let found = Settings::names().find(|known| *known == path || below(&path, known).is_some());
    let found = found.ok_or(Errno::ENOENT)?;
    let entry = if found == path { &FILE } else { &DIRECTORY };
    Ok(node.child(name, Place(path), entry))
}

/// What comes after `directory` in `name`.
fn below<'a>(directory: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(directory)?.strip_prefix('/')
}

/// Gives the file `name` below /proc/sys the contents `text`, as writing to it does.
///
/// # Errors
/// ENOENT if there is no such file; EINVAL if it does not take the text.
pub fn set(kernel: &Kernel, container: &Container, name: &str, text: &str) -> Result<()> {
    if name == "kernel/domainname" {
        container.uts.write().domain = text.to_string().into_bytes();
        return Ok(());
    }
    kernel.settings.set(name, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_listed_once() {
        let names = |directory| -> Vec<_> {
            list(directory)
                .into_iter()
                .map(|child| String::from_utf8(child.name).unwrap())
                .collect()
        };
        assert_eq!(names("net"), ["core", "ipv4", "ipv6", "unix"]);
        assert_eq!(names("net/ipv6/conf/all"), ["disable_ipv6", "forwarding"]);
        assert!(names("net/ipv4/ip_forward").is_empty());
    }
}
