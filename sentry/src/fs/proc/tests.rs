use alloc::{string::String, sync::Arc, vec::Vec};

use super::*;
use crate::{
    fs::testing::{Sink, kernel, poll_once},
    kernel::Credentials,
    vfs::OpenFlags,
};

/// The text of a file that does not concern a process.
fn read(path: &[&str]) -> String {
    let (kernel, _) = kernel();
    let root: Arc<dyn Inode> = new(&kernel, &kernel.containers.sandbox).root();
    let inode = path.iter().fold(root, |directory, name| {
        poll_once(directory.lookup(name.as_bytes())).unwrap().unwrap()
    });
    let credentials = Credentials::kernel();
    let caller = Caller { kernel: &kernel, task: None, credentials: &credentials };
    let file = poll_once(inode.open(caller, OpenFlags::empty())).unwrap().unwrap();
    let mut sink = Sink::new(1 << 16);
    file.try_read(0, &mut sink).unwrap();
    String::from_utf8(sink.bytes).unwrap()
}

#[test]
fn the_system_describes_itself() {
    assert_eq!(read(&["sys", "kernel", "hostname"]), "sandbox\n");
    assert!(read(&["meminfo"]).starts_with("MemTotal:            256 kB\nMemFree:"));
    assert!(read(&["cpuinfo"]).starts_with("processor\t: 0\n"));
    assert!(read(&["stat"]).contains("\nbtime 1704067200\n"));
    assert_eq!(read(&["loadavg"]), "0.00 0.00 0.00 0/0 0\n");
    assert_eq!(read(&["uptime"]), "0.00 0.00\n");
}

#[test]
fn the_boot_id_stays_and_other_ids_do_not() {
    let boot_id = read(&["sys", "kernel", "random", "boot_id"]);
    assert_eq!(boot_id.len(), 37);
    assert_eq!(boot_id.as_bytes()[14], b'4');
    assert_eq!(read(&["sys", "kernel", "random", "boot_id"]), boot_id);
    assert_ne!(read(&["sys", "kernel", "random", "uuid"]), boot_id);
}

#[test]
fn nobody_has_no_own_directory() {
    let (kernel, _) = kernel();
    let root = new(&kernel, &kernel.containers.sandbox).root();
    let credentials = Credentials::kernel();
    let caller = Caller { kernel: &kernel, task: None, credentials: &credentials };
    let own = poll_once(root.lookup(b"self")).unwrap().unwrap();
    assert_eq!(poll_once(own.read_link(caller)).unwrap(), Err(Errno::ENOENT));
    let missing: Vec<_> = [&b"1"[..], b"01", b"-1", b"x", b"4294967296"]
        .iter()
        .map(|name| poll_once(root.lookup(name)).unwrap().err())
        .collect();
    assert_eq!(missing, [Some(Errno::ENOENT); 5]);
}
