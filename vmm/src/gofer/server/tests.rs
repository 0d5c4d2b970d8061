//! The server driven natively through a queue, as the sentry drives it.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
};

use guest_abi::{device::DeviceKind, fuse::*};
use proptest::prelude::*;
use rustix::fs::{Mode, OFlags, open};
use vmm_sys_util::tempdir::TempDir;
use zerocopy::FromBytes;

use super::*;
use crate::virtqueue::{DeviceQueue, driver::Driver};

const ROOM: usize = 64 << 10;
const LIMITS: Limits =
    Limits { nodes: 1000, handles: 8, cached_descriptors: 4, pinned_descriptors: 4 };

/// A client of a server of a fresh directory.
struct Client {
    directory: TempDir,
    driver: Driver,
    queue: DeviceQueue,
    server: Server,
}

type Answer<T> = std::result::Result<T, Errno>;

impl Client {
    fn new() -> Self {
        Self::with(|_| {}, false)
    }

    fn with(prepare: impl FnOnce(&std::path::Path), read_only: bool) -> Self {
        rustix::process::umask(Mode::empty());
        let directory = TempDir::new().unwrap();
        prepare(directory.as_path());
        let root = open(directory.as_path(), OFlags::PATH, Mode::empty()).unwrap();
        let options = Options { read_only, limits: LIMITS, fd_paths: FdPaths::PROC };
        let server = Server::new(root, options).unwrap();
        let (driver, queue) = Driver::connect(DeviceKind::FileSystem, 1 << 20);
        Self { directory, driver, queue, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.as_path().join(name)
    }

    /// Sends raw bytes, in pieces, and answers what comes back.
    fn exchange(&mut self, request: &[u8], piece: usize, room: usize) -> Vec<u8> {
        self.driver.post(request, piece, room);
        let chain = self.queue.pop().unwrap().unwrap();
        let written = self.server.handle(&chain);
        self.queue.complete(chain.head(), written).unwrap();
        self.driver.answer(request.len())
    }

    /// Sends a request; answers the payload of its reply.
    fn call(&mut self, opcode: Opcode, node: u64, parts: &[&[u8]]) -> Answer<Vec<u8>> {
        let body = parts.concat();
        let header = InHeader {
            length: u32::try_from(size_of::<InHeader>() + body.len()).unwrap(),
            opcode: opcode as u32,
            unique: 42,
            node,
            uid: 1000,
            gid: 1000,
            ..InHeader::default()
        };
        let request = [header.as_bytes(), &body].concat();
        let answer = self.exchange(&request, 4096, ROOM);
        let (header, payload) = OutHeader::read_from_prefix(&answer).unwrap();
        assert_eq!((header.unique, header.length as usize), (42, answer.len()));
        match header.error {
            0 => Ok(payload.to_vec()),
            error => Err(Errno::from_raw_os_error(-error)),
        }
    }

    fn get<T: FromBytes>(&mut self, opcode: Opcode, node: u64, parts: &[&[u8]]) -> Answer<T> {
        let payload = self.call(opcode, node, parts)?;
        Ok(T::read_from_prefix(&payload).map_err(|_| ()).unwrap().0)
    }

    fn lookup(&mut self, parent: u64, name: &str) -> Answer<EntryOut> {
        self.get(Opcode::Lookup, parent, &[name.as_bytes(), b"\0"])
    }

    fn getattr(&mut self, node: u64) -> Answer<FileAttributes> {
        let request = GetattrIn::default();
        let answer: AttributesOut = self.get(Opcode::Getattr, node, &[request.as_bytes()])?;
        Ok(answer.attributes)
    }

    fn open(&mut self, node: u64, flags: OFlags) -> Answer<u64> {
        let request = OpenIn { flags: flags.bits(), open_flags: 0 };
        let answer: OpenOut = self.get(Opcode::Open, node, &[request.as_bytes()])?;
        Ok(answer.handle)
    }

    fn read(&mut self, handle: u64, offset: u64, size: u32) -> Answer<Vec<u8>> {
        let request = ReadIn { handle, offset, size, ..ReadIn::default() };
        self.call(Opcode::Read, 1, &[request.as_bytes()])
    }

    fn write(&mut self, handle: u64, offset: u64, data: &[u8]) -> Answer<u32> {
        let size = u32::try_from(data.len()).unwrap();
        let request = WriteIn { handle, offset, size, ..WriteIn::default() };
        let answer: WriteOut = self.get(Opcode::Write, 1, &[request.as_bytes(), data])?;
        Ok(answer.size)
    }

    fn create(&mut self, name: &str, flags: OFlags, mode: u32) -> Answer<(EntryOut, u64)> {
        let request = CreateIn { flags: flags.bits(), mode, ..CreateIn::default() };
        let parts = [request.as_bytes(), name.as_bytes(), b"\0"];
        let payload = self.call(Opcode::Create, 1, &parts)?;
        let (entry, rest) = EntryOut::read_from_prefix(&payload).unwrap();
        Ok((entry, OpenOut::read_from_bytes(rest).unwrap().handle))
    }

    fn remove(&mut self, opcode: Opcode, parent: u64, name: &str) -> Answer<()> {
        self.call(opcode, parent, &[name.as_bytes(), b"\0"]).map(|_| ())
    }

    fn rename(&mut self, old: &str, parent: u64, new: &str, flags: u32) -> Answer<()> {
        let request = Rename2In { new_parent: parent, flags, padding: 0 };
        let parts = [request.as_bytes(), old.as_bytes(), b"\0", new.as_bytes(), b"\0"];
        self.call(Opcode::Rename2, 1, &parts).map(|_| ())
    }

    fn setattr(&mut self, node: u64, request: &SetattrIn) -> Answer<FileAttributes> {
        let answer: AttributesOut = self.get(Opcode::Setattr, node, &[request.as_bytes()])?;
        Ok(answer.attributes)
    }

    /// All entries of a directory, read in replies of `size` bytes: (name, node).
    fn list(&mut self, node: u64, size: u32) -> Vec<(String, u64)> {
        let request = OpenIn::default();
        let opened: OpenOut = self.get(Opcode::Opendir, node, &[request.as_bytes()]).unwrap();
        let mut request = ReadIn { handle: opened.handle, size, ..ReadIn::default() };
        let mut entries = Vec::new();
        loop {
            let reply = self.call(Opcode::Readdirplus, node, &[request.as_bytes()]).unwrap();
            if reply.is_empty() {
                break;
            }
            let mut rest = &reply[..];
            while !rest.is_empty() {
                let (head, name) = DirectoryEntryPlus::read_from_prefix(rest).unwrap();
                let length = head.entry.name_length as usize;
                entries.push((String::from_utf8(name[..length].to_vec()).unwrap(), head.node.node));
                request.offset = head.entry.offset;
                rest = &rest[padded_length(size_of_val(&head), length).unwrap()..];
            }
        }
        let release = ReleaseIn { handle: opened.handle, ..ReleaseIn::default() };
        self.call(Opcode::Releasedir, node, &[release.as_bytes()]).unwrap();
        entries.sort();
        entries
    }
}

#[test]
fn negotiates_the_version() {
    let mut client = Client::new();
    let request = InitIn { major: VERSION_MAJOR, minor: VERSION_MINOR, ..InitIn::default() };
    let answer: InitOut = client.get(Opcode::Init, 0, &[request.as_bytes()]).unwrap();
    assert_eq!((answer.major, answer.max_write), (VERSION_MAJOR, MAX_IO));
    let request = InitIn { major: 8, ..request };
    assert_eq!(client.call(Opcode::Init, 0, &[request.as_bytes()]), Err(Errno::PROTO));
}

#[test]
fn looks_up_and_reads() {
    let mut client = Client::with(
        |root| {
            fs::create_dir(root.join("d")).unwrap();
            fs::write(root.join("d/f"), "contents").unwrap();
            fs::hard_link(root.join("d/f"), root.join("hard")).unwrap();
        },
        false,
    );
    assert_eq!(client.lookup(1, "absent").unwrap_err(), Errno::NOENT);
    let directory = client.lookup(1, "d").unwrap();
    let file = client.lookup(directory.node, "f").unwrap();
    assert_eq!(file.attributes.size, 8);
    assert_eq!(client.lookup(1, "hard").unwrap().node, file.node);
    assert_eq!(client.getattr(file.node).unwrap().inode, file.attributes.inode);
    let handle = client.open(file.node, OFlags::RDONLY).unwrap();
    assert_eq!(client.read(handle, 3, 100).unwrap(), b"tents");
    assert_eq!(client.read(handle, 8, 100).unwrap(), b"");
    assert_eq!(client.write(handle, 0, b"x").unwrap_err(), Errno::BADF);
    assert_eq!(client.open(directory.node, OFlags::RDONLY), Err(Errno::ISDIR));
    assert_eq!(client.lookup(file.node, "x").unwrap_err(), Errno::NOTDIR);
    assert_eq!(client.getattr(999).unwrap_err(), Errno::STALE);
}

#[test]
fn a_file_can_be_the_root() {
    let mut client = Client::with(|root| fs::write(root.join("f"), "alone").unwrap(), false);
    let root = open(client.path("f"), OFlags::PATH, Mode::empty()).unwrap();
    client.server = Server::new(root, client.server.options.clone()).unwrap();
    let handle = client.open(ROOT_NODE, OFlags::RDONLY).unwrap();
    assert_eq!(client.read(handle, 0, 9).unwrap(), b"alone");
    assert_eq!(client.lookup(1, "f").unwrap_err(), Errno::NOTDIR);
}

#[test]
fn creates_writes_and_sets_attributes() {
    let mut client = Client::new();
    let (entry, handle) = client.create("new", OFlags::RDWR, 0o4755).unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!((entry.attributes.uid, entry.attributes.gid), (1000, 1000));
    }
    assert_eq!(entry.attributes.mode, 0o104_755);
    let large: Vec<u8> = (0..10_000_u32).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
    assert_eq!(client.write(handle, 5, &large), Ok(10_000));
    assert_eq!(client.read(handle, 5, 20_000).unwrap(), large);
    assert_eq!(client.create("new", OFlags::EXCL, 0o600).unwrap_err(), Errno::EXIST);
    let (again, _) = client.create("new", OFlags::RDONLY, 0o600).unwrap();
    assert_eq!(again.node, entry.node);

    let valid = SetattrValid::MODE | SetattrValid::SIZE | SetattrValid::MTIME;
    let request = SetattrIn {
        valid: valid.bits(),
        mode: 0o640,
        size: 7,
        mtime: 1_000_000_000,
        mtime_nanoseconds: 5,
        ..SetattrIn::default()
    };
    let attributes = client.setattr(entry.node, &request).unwrap();
    assert_eq!((attributes.mode, attributes.size), (0o100_640, 7));
    assert_eq!((attributes.mtime, attributes.mtime_nanoseconds), (1_000_000_000, 5));
    let bad = SetattrIn { mtime_nanoseconds: 1_000_000_000, ..request };
    assert_eq!(client.setattr(entry.node, &bad).unwrap_err(), Errno::INVAL);
    let unknown = SetattrIn { valid: 1 << 20, ..request };
    assert_eq!(client.setattr(entry.node, &unknown).unwrap_err(), Errno::INVAL);
}

#[test]
fn lists_with_attributes_in_pieces_of_any_size() {
    let mut client = Client::with(
        |root| (0..200).for_each(|n| fs::write(root.join(format!("file-{n}")), "").unwrap()),
        false,
    );
    let entries = client.list(1, 32 << 10);
    assert_eq!(entries.len(), 202);
    assert_eq!(entries[0], (".".to_owned(), 0));
    let file = entries.iter().find(|entry| entry.0 == "file-7").unwrap();
    assert_eq!(client.lookup(1, "file-7").unwrap().node, file.1);
    assert_eq!(client.list(1, 400), entries);
    let opened: OpenOut = client.get(Opcode::Opendir, 1, &[OpenIn::default().as_bytes()]).unwrap();
    let request = ReadIn { handle: opened.handle, size: 100, ..ReadIn::default() };
    let small = client.call(Opcode::Readdirplus, 1, &[request.as_bytes()]);
    assert_eq!(small, Err(Errno::INVAL));
}

#[test]
fn renames_and_keeps_nodes() {
    let mut client = Client::new();
    fs::create_dir_all(client.path("a/b")).unwrap();
    fs::write(client.path("a/b/f"), "moved").unwrap();
    fs::write(client.path("old"), "old").unwrap();
    let directory = client.lookup(1, "a").unwrap().node;
    let inner = client.lookup(directory, "b").unwrap().node;
    let file = client.lookup(inner, "f").unwrap().node;
    client.rename("a", 1, "z", 0).unwrap();
    let handle = client.open(file, OFlags::RDONLY).unwrap();
    assert_eq!(client.read(handle, 0, 9).unwrap(), b"moved");
    assert_eq!(client.rename("z", 1, "old", 1), Err(Errno::EXIST));
    let old = client.lookup(1, "old").unwrap().node;
    client.rename("old", 1, "z", 2).unwrap();
    assert_eq!(client.lookup(1, "z").unwrap().node, old);
    assert_eq!(client.lookup(1, "old").unwrap().node, directory);
    assert_eq!(client.rename("z", 1, "w", 4), Err(Errno::INVAL));
}

#[test]
fn an_unlinked_node_stays_usable_until_forgotten() {
    let mut client = Client::with(|root| fs::write(root.join("f"), "ghost").unwrap(), false);
    let node = client.lookup(1, "f").unwrap().node;
    client.remove(Opcode::Unlink, 1, "f").unwrap();
    assert_eq!(client.getattr(node).unwrap().links, 0);
    let handle = client.open(node, OFlags::RDONLY).unwrap();
    assert_eq!(client.read(handle, 0, 9).unwrap(), b"ghost");
    let forget = ForgetIn { lookups: 1 };
    let header =
        InHeader { length: 48, opcode: Opcode::Forget as u32, node, ..InHeader::default() };
    let request = [header.as_bytes(), forget.as_bytes()].concat();
    assert!(client.exchange(&request, 4096, 0).is_empty());
    assert_eq!(client.getattr(node).unwrap_err(), Errno::STALE);
    assert_eq!(client.remove(Opcode::Rmdir, 1, "f"), Err(Errno::NOENT));
}

#[test]
fn deep_nodes_are_reached_without_their_descriptors() {
    let mut client = Client::new();
    let mut parent = 1;
    let mut nodes = Vec::new();
    let name = "x".repeat(200);
    for _ in 0..40 {
        let request = MkdirIn { mode: 0o755, umask: 0 };
        let parts = [request.as_bytes(), name.as_bytes(), b"\0"];
        let made: EntryOut = client.get(Opcode::Mkdir, parent, &parts).unwrap();
        parent = made.node;
        nodes.push(parent);
    }
    for &node in nodes.iter().rev() {
        assert!(client.getattr(node).is_ok());
    }
    assert!(client.getattr(*nodes.last().unwrap()).is_ok());
}

#[test]
fn what_was_replaced_behind_our_back_is_stale() {
    let mut client = Client::new();
    fs::write(client.path("f"), "").unwrap();
    let node = client.lookup(1, "f").unwrap().node;
    fs::write(client.path("other"), "").unwrap();
    fs::rename(client.path("other"), client.path("f")).unwrap();
    assert_eq!(client.getattr(node).unwrap_err(), Errno::STALE);
    assert_ne!(client.lookup(1, "f").unwrap().node, node);
}

#[test]
fn nothing_leads_out_of_the_tree() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.as_path().join("secret"), "s").unwrap();
    let mut client = Client::with(
        |root| {
            symlink(outside.as_path(), root.join("absolute")).unwrap();
            symlink("..", root.join("up")).unwrap();
            symlink("/proc/self/root", root.join("magic")).unwrap();
        },
        false,
    );
    for name in ["..", ".", "", "a/b", "/etc", "absolute/secret"] {
        assert_eq!(client.lookup(1, name).unwrap_err(), Errno::INVAL, "{name}");
    }
    for name in ["absolute", "up", "magic"] {
        let link = client.lookup(1, name).unwrap();
        assert_eq!(link.attributes.mode & 0o170_000, 0o120_000);
        assert_eq!(client.lookup(link.node, "secret").unwrap_err(), Errno::NOTDIR);
        assert_eq!(client.open(link.node, OFlags::RDONLY), Err(Errno::LOOP));
        let opened = client.call(Opcode::Opendir, link.node, &[OpenIn::default().as_bytes()]);
        assert_eq!(opened, Err(Errno::NOTDIR));
    }
    let link = client.lookup(1, "up").unwrap().node;
    assert_eq!(client.call(Opcode::Readlink, link, &[]).unwrap(), b"..");
    let created = client.create("up", OFlags::WRONLY, 0o600).unwrap_err();
    assert_eq!(created, Errno::LOOP);
    let request = SetattrIn { valid: SetattrValid::MODE.bits(), ..SetattrIn::default() };
    assert_eq!(client.setattr(link, &request).unwrap_err(), Errno::OPNOTSUPP);
    // A directory on the path of a known node is replaced by a link.
    fs::create_dir_all(client.path("d/e")).unwrap();
    fs::create_dir(outside.as_path().join("e")).unwrap();
    let directory = client.lookup(1, "d").unwrap().node;
    let inner = client.lookup(directory, "e").unwrap().node;
    fs::rename(client.path("d"), client.path("gone")).unwrap();
    symlink(outside.as_path(), client.path("d")).unwrap();
    client.server.descriptors.remove(directory);
    assert_eq!(client.lookup(inner, "x").unwrap_err(), Errno::STALE);
}

#[test]
fn special_files_are_named_but_never_opened() {
    let mut client = Client::new();
    let mut make = |mode, name: &str| {
        let request = MknodIn { mode, device: 0x103, ..MknodIn::default() };
        client.get::<EntryOut>(Opcode::Mknod, 1, &[request.as_bytes(), name.as_bytes(), b"\0"])
    };
    let fifo = make(0o010_622, "fifo").unwrap();
    assert_eq!(fifo.attributes.mode, 0o010_622);
    assert!(make(0o140_600, "socket").is_ok());
    assert_eq!(make(0o020_666, "null").unwrap_err(), Errno::PERM);
    assert_eq!(make(0o040_755, "directory").unwrap_err(), Errno::INVAL);
    assert_eq!(client.open(fifo.node, OFlags::RDONLY), Err(Errno::ACCESS));
    assert_eq!(client.create("fifo", OFlags::RDWR, 0o600).unwrap_err(), Errno::ACCESS);
    assert!(fs::metadata(client.path("fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn files_of_procfs_are_not_opened() {
    let mut client = Client::new();
    let root = open("/proc/self", OFlags::PATH, Mode::empty()).unwrap();
    client.server = Server::new(root, client.server.options.clone()).unwrap();
    let memory = client.lookup(1, "mem").unwrap().node;
    assert_eq!(client.open(memory, OFlags::RDWR), Err(Errno::ACCESS));
}

#[test]
fn links_symlinks_and_extended_attributes() {
    let mut client = Client::with(|root| fs::write(root.join("f"), "").unwrap(), false);
    let file = client.lookup(1, "f").unwrap().node;
    let request = LinkIn { node: file };
    let linked: EntryOut = client.get(Opcode::Link, 1, &[request.as_bytes(), b"g\0"]).unwrap();
    assert_eq!((linked.node, linked.attributes.links), (file, 2));
    let made: EntryOut = client.get(Opcode::Symlink, 1, &[b"s\0", b"../t\0"]).unwrap();
    assert_eq!(client.call(Opcode::Readlink, made.node, &[]).unwrap(), b"../t");

    let request = SetxattrIn { size: 5, flags: 0 };
    let set = client.call(Opcode::Setxattr, file, &[request.as_bytes(), b"user.k\0", b"value"]);
    if set == Err(Errno::OPNOTSUPP) {
        return; // The temporary directory's file system has none.
    }
    set.unwrap();
    let mut request = GetxattrIn::default();
    let mut get = |size| {
        request.size = size;
        client.call(Opcode::Getxattr, file, &[request.as_bytes(), b"user.k\0"])
    };
    assert_eq!(get(0).unwrap()[..4], 5_u32.to_ne_bytes());
    assert_eq!(get(64).unwrap(), b"value");
    assert_eq!(get(2), Err(Errno::RANGE));
    let request = GetxattrIn { size: 64, padding: 0 };
    let list = client.call(Opcode::Listxattr, file, &[request.as_bytes()]).unwrap();
    assert!(list.windows(7).any(|name| name == b"user.k\0"));
    client.call(Opcode::Removexattr, file, &[b"user.k\0"]).unwrap();
}

#[test]
fn seeks_allocates_copies_and_syncs() {
    let mut client = Client::new();
    let (_, handle) = client.create("sparse", OFlags::RDWR, 0o600).unwrap();
    let request = FallocateIn { handle, offset: 0, length: 4096, ..FallocateIn::default() };
    let allocated = client.call(Opcode::Fallocate, 1, &[request.as_bytes()]);
    assert!(matches!(allocated, Ok(_) | Err(Errno::OPNOTSUPP)));
    client.write(handle, 1 << 20, b"end").unwrap();
    let request = LseekIn { handle, offset: 1 << 20, whence: 3, padding: 0 };
    let found: LseekOut = client.get(Opcode::Lseek, 1, &[request.as_bytes()]).unwrap();
    assert_eq!(found.offset, 1 << 20);
    let bad = LseekIn { whence: 0, ..request };
    assert_eq!(client.call(Opcode::Lseek, 1, &[bad.as_bytes()]), Err(Errno::INVAL));
    let (_, copy) = client.create("copy", OFlags::RDWR, 0o600).unwrap();
    let request = CopyFileRangeIn {
        handle_in: handle,
        offset_in: 1 << 20,
        handle_out: copy,
        length: u64::MAX,
        ..CopyFileRangeIn::default()
    };
    let copied: WriteOut = client.get(Opcode::CopyFileRange, 1, &[request.as_bytes()]).unwrap();
    assert_eq!(copied.size, 3);
    assert_eq!(client.read(copy, 0, 8).unwrap(), b"end");
    let request = FsyncIn { handle, flags: 1, padding: 0 };
    client.call(Opcode::Fsync, 1, &[request.as_bytes()]).unwrap();
    let status: StatfsOut = client.get(Opcode::Statfs, 1, &[]).unwrap();
    assert!(status.block_size > 0);
}

#[test]
fn a_read_only_device_changes_nothing() {
    let mut client = Client::with(|root| fs::write(root.join("f"), "kept").unwrap(), true);
    let file = client.lookup(1, "f").unwrap().node;
    assert!(client.open(file, OFlags::RDONLY).is_ok());
    for flags in [OFlags::WRONLY, OFlags::RDWR, OFlags::RDONLY | OFlags::TRUNC] {
        assert_eq!(client.open(file, flags), Err(Errno::ROFS));
    }
    let zeros = [0_u8; 128];
    for opcode in [Opcode::Setattr, Opcode::Write, Opcode::Fallocate, Opcode::CopyFileRange] {
        assert_eq!(client.call(opcode, file, &[&zeros]), Err(Errno::ROFS), "{opcode:?}");
    }
    for (opcode, head) in [
        (Opcode::Mknod, 16),
        (Opcode::Mkdir, 8),
        (Opcode::Create, 16),
        (Opcode::Link, 8),
        (Opcode::Rename2, 16),
        (Opcode::Unlink, 0),
        (Opcode::Rmdir, 0),
        (Opcode::Symlink, 0),
        (Opcode::Setxattr, 8),
        (Opcode::Removexattr, 0),
    ] {
        let parts = [&zeros[..head], b"f\0", b"new\0"];
        assert_eq!(client.call(opcode, 1, &parts), Err(Errno::ROFS), "{opcode:?}");
    }
    assert_eq!(fs::read(client.path("f")).unwrap(), b"kept");
    assert_eq!(fs::read_dir(client.directory.as_path()).unwrap().count(), 1);
}

#[test]
fn handles_are_bounded() {
    let mut client = Client::with(|root| fs::write(root.join("f"), "").unwrap(), false);
    let file = client.lookup(1, "f").unwrap().node;
    let handles: Vec<u64> = (0..8).map(|_| client.open(file, OFlags::RDONLY).unwrap()).collect();
    assert_eq!(client.open(file, OFlags::RDONLY), Err(Errno::NFILE));
    assert_eq!(client.create("g", OFlags::RDWR, 0o600).unwrap_err(), Errno::NFILE);
    assert!(!client.path("g").exists());
    let release = ReleaseIn { handle: handles[0], ..ReleaseIn::default() };
    client.call(Opcode::Release, file, &[release.as_bytes()]).unwrap();
    assert!(client.open(file, OFlags::RDONLY).is_ok());
    let again = client.call(Opcode::Release, file, &[release.as_bytes()]);
    assert_eq!(again, Err(Errno::BADF));
}

#[test]
fn malformed_chains_are_answered_or_dropped() {
    let mut client = Client::with(|root| fs::write(root.join("f"), "x").unwrap(), false);
    let header = InHeader {
        length: 42,
        opcode: Opcode::Lookup as u32,
        unique: 7,
        node: 1,
        ..InHeader::default()
    };
    let whole = [header.as_bytes(), b"f\0"].concat();
    // In any pieces it is the same request.
    assert_eq!(client.exchange(&whole, 7, 1024).len(), OUT_HEADER + size_of::<EntryOut>());
    // A request shorter than its header, or than it says; no room for an answer or the reply.
    assert!(client.exchange(&whole[..39], 4096, 1024).is_empty());
    assert!(client.exchange(&whole, 4096, 15).is_empty());
    let error = |answer: Vec<u8>| OutHeader::read_from_bytes(&answer).unwrap().error;
    assert_eq!(error(client.exchange(&whole[..41], 4096, 1024)), -22);
    assert_eq!(error(client.exchange(&whole, 4096, 100)), -34);
    for length in [0, 39, u32::MAX] {
        let header = InHeader { length, ..header };
        let answer = client.exchange(&[header.as_bytes(), b"f\0"].concat(), 4096, 1024);
        assert!(error(answer) < 0);
    }
    let unknown = InHeader { opcode: 999, ..header };
    let answer = client.exchange(&[unknown.as_bytes(), b"f\0"].concat(), 4096, 1024);
    assert_eq!(error(answer), -38);
    // A write that claims more data than there is, at an offset that is none.
    let (_, handle) = client.create("w", OFlags::RDWR, 0o600).unwrap();
    let request = WriteIn { handle, size: 9, ..WriteIn::default() };
    let short = client.call(Opcode::Write, 1, &[request.as_bytes(), b"8 bytes!"]);
    assert_eq!(short, Err(Errno::INVAL));
    assert_eq!(client.write(handle, u64::MAX, b"x"), Err(Errno::INVAL));
    assert_eq!(client.read(handle, u64::MAX, 1), Err(Errno::INVAL));
    assert_eq!(client.read(handle, 0, 128 << 10), Err(Errno::RANGE));
    assert_eq!(fs::metadata(client.path("w")).unwrap().len(), 0);
    assert_eq!(fs::metadata(client.path("w")).unwrap().mode() & 0o777, 0o600);
    assert!(fs::metadata(client.path("w")).unwrap().permissions().mode() & 0o077 == 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn random_requests_are_always_answered(
        requests in proptest::collection::vec(
            (0..50_u32, 0..4_u64, proptest::collection::vec(0..4_u8, 0..120), 16..300_usize),
            1..40,
        )
    ) {
        let mut client = Client::with(|root| fs::write(root.join("\u{1}"), "x").unwrap(), false);
        for (opcode, node, body, room) in requests {
            let length = u32::try_from(size_of::<InHeader>() + body.len()).unwrap();
            let header = InHeader { length, opcode, node, ..InHeader::default() };
            let answer = client.exchange(&[header.as_bytes(), &body].concat(), 64, room);
            let silent = is_silent(opcode);
            prop_assert_eq!(answer.is_empty(), silent);
        }
    }
}
