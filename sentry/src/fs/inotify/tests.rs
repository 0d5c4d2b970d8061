use alloc::vec::Vec;

use super::*;
use crate::{
    fs::{
        testing::{Sink, kernel},
        tmpfs::{Options, Tmpfs},
    },
    kernel::Kernel,
    vfs::{Mount, MountFlags},
};

/// A directory to watch, and an instance.
fn fixture() -> (Arc<Kernel>, Path, Arc<Inotify>) {
    let (kernel, _) = kernel();
    let tmpfs = Tmpfs::new(&kernel, Options::default());
    let mount = Mount::new(tmpfs, &kernel.vfs.dentries, "tmpfs", MountFlags::empty());
    let instance = Inotify::new(&kernel.vfs.watches, 0).unwrap();
    (kernel, mount.root_path(), instance)
}

/// Events waiting to be read: watch and bits.
fn read(instance: &Inotify) -> Vec<(i32, Events)> {
    let mut sink = Sink::new(1 << 20);
    if instance.try_read(0, &mut sink).is_err() {
        return Vec::new();
    }
    let mut rest = &sink.bytes[..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
        events.push((word(0).cast_signed(), Events::from_bits_retain(word(4))));
        rest = &rest[16 + word(12) as usize..];
    }
    events
}

#[test]
fn entries_are_told_to_who_watches_the_directory() {
    let (kernel, path, instance) = fixture();
    let watches = &kernel.vfs.watches;
    watches.tell_entry(&path.dentry, b"early", Events::CREATE, false);
    assert_eq!(instance.watch(&path, Events::CREATE | Events::DELETE), Ok(1));
    watches.tell_entry(&path.dentry, b"file", Events::CREATE, false);
    watches.tell_entry(&path.dentry, b"file", Events::CREATE, false);
    watches.tell_entry(&path.dentry, b"folder", Events::DELETE, true);
    watches.tell(&path.dentry, Events::OPEN);
    let directory = Events::DELETE | Events::IS_DIRECTORY;
    assert_eq!(read(&instance), [(1, Events::CREATE), (1, directory)]);
    assert_eq!(read(&instance), []);
}

#[test]
fn watching_again_changes_or_adds() {
    let (kernel, path, instance) = fixture();
    let watches = &kernel.vfs.watches;
    assert_eq!(instance.watch(&path, Events::OPEN), Ok(1));
    assert_eq!(instance.watch(&path, Events::ATTRIB | Events::MASK_ADD), Ok(1));
    watches.tell(&path.dentry, Events::OPEN);
    assert_eq!(instance.watch(&path, Events::ATTRIB), Ok(1));
    watches.tell(&path.dentry, Events::OPEN);
    assert_eq!(read(&instance), [(1, Events::OPEN | Events::IS_DIRECTORY)]);
    let again = instance.watch(&path, Events::OPEN | Events::MASK_CREATE);
    assert_eq!(again, Err(Errno::EEXIST));
}

#[test]
fn watches_end_and_are_not_numbered_again() {
    let (kernel, path, instance) = fixture();
    instance.watch(&path, Events::OPEN | Events::ONE_SHOT).unwrap();
    kernel.vfs.watches.tell(&path.dentry, Events::OPEN);
    kernel.vfs.watches.tell(&path.dentry, Events::OPEN);
    let open = Events::OPEN | Events::IS_DIRECTORY;
    assert_eq!(read(&instance), [(1, open), (1, Events::IGNORED)]);
    assert!(kernel.vfs.watches.is_empty());
    assert_eq!(instance.watch(&path, Events::DELETE_SELF), Ok(2));
    kernel.vfs.watches.tell_unlinked(&path.dentry, true);
    assert_eq!(read(&instance), [(2, Events::DELETE_SELF), (2, Events::IGNORED)]);
    assert!(!instance.forget(2));
    assert_eq!(instance.watch(&path, Events::OPEN), Ok(3));
    drop(instance);
    assert!(kernel.vfs.watches.is_empty());
}

#[test]
fn a_full_queue_says_so_once() {
    let (kernel, path, instance) = fixture();
    instance.watch(&path, Events::OPEN | Events::ATTRIB).unwrap();
    for _ in 0..MAX_EVENTS {
        kernel.vfs.watches.tell(&path.dentry, Events::OPEN);
        kernel.vfs.watches.tell(&path.dentry, Events::ATTRIB);
    }
    let events = read(&instance);
    assert_eq!(events.len(), MAX_EVENTS + 1);
    assert_eq!(events.last(), Some(&(-1, Events::QUEUE_OVERFLOW)));
}

#[test]
fn a_user_has_so_many_instances() {
    let (kernel, _, _own) = fixture();
    let make = || Inotify::new(&kernel.vfs.watches, 7);
    let instances: Vec<_> = (0..MAX_INSTANCES).map(|_| make().unwrap()).collect();
    assert_eq!(make().err(), Some(Errno::EMFILE));
    drop(instances);
    assert!(make().is_ok());
}
