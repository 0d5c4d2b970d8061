//! The client against a fake server: what it asks, what it does not ask, and what it believes.

mod fake_server;

use alloc::sync::Arc;

use guest_abi::{
    container::CachePolicy,
    device::{DeviceKind, QueueId},
    fuse::{Opcode, ROOT_NODE},
};
use proptest::prelude::*;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use self::fake_server::{FakeServer, Lie};
use super::*;
use crate::{
    drivers::testing::{TestMachine, block_on},
    fs::testing::kernel,
    io::{Destination, Source, TryError, TryResult},
    kernel::{Credentials, IdMaps, Scheduler},
    memory::{Frame, FrameAllocator},
    platform::{ExecutorId, PlatformRef},
    vfs::{
        AttributeChange, Attributes, Caller, Dentry, DeviceNumber, File, FileKind, NewInode,
        NewNode, OpenFlags, RenameMode, Timestamp, WritePosition, XattrMode, lookup_child,
    },
};

struct Rig {
    machine: TestMachine,
    server: Arc<SpinMutex<FakeServer>>,
    scheduler: Arc<Scheduler>,
    file_system: Arc<GoferFileSystem>,
}

/// Node of "file", which holds 300000 bytes.
const FILE: u64 = 2;
/// Node of "directory", which holds "inner".
const DIRECTORY: u64 = 3;

fn rig(policy: CachePolicy, read_only: bool) -> Rig {
    let machine = TestMachine::with_device(DeviceKind::FileSystem, 16, 1 << 20);
    let mut server = FakeServer::new();
    let data: Vec<u8> = (0..300_000_u32).map(|index| (index / 7) as u8).collect();
    assert_eq!(server.add(ROOT_NODE, b"file", 0o100_644, &data), FILE);
    assert_eq!(server.add(ROOT_NODE, b"directory", 0o040_755, &[]), DIRECTORY);
    server.add(DIRECTORY, b"inner", 0o100_600, b"inside");
    server.add(ROOT_NODE, b"link", 0o120_777, b"file");
    let server = Arc::new(SpinMutex::new(server));
    let (queue, serving) = (machine.device_queue(0), server.clone());
    machine.on_kick(move |_: QueueId| serving.lock().serve(&queue));
    let platform = machine.platform();
    let connection = Connection::new(&platform, 0, &machine.device).unwrap();
    let scheduler = Scheduler::new(platform.clone());
    let queue = connection.queue().clone();
    let session = Session::new(
        connection,
        Access { policy, read_only, ids: IdMaps::default() },
        DeviceNumber { major: 0, minor: 7 },
        platform.clone(),
        FrameAllocator::new(platform, Frame(0)),
        scheduler.clone(),
    );
    let file_system = block_on(&[&*queue], GoferFileSystem::start(session)).unwrap();
    let rig = Rig { machine, server, scheduler, file_system };
    rig.server().take_log();
    rig
}

impl Rig {
    fn server(&self) -> SpinMutexGuard<'_, FakeServer> {
        self.server.lock()
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        block_on(&[&**self.file_system.session.connection.queue()], future)
    }

    /// Lets spawned tasks run until they have nothing to do.
    fn settle(&self) {
        for _ in 0..100 {
            self.scheduler.run_one(ExecutorId(0));
            crate::kernel::Driver::poll(&**self.file_system.session.connection.queue());
        }
    }

    fn log(&self) -> Vec<Opcode> {
        self.server().take_log()
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.file_system.root()
    }

    fn find(&self, name: &[u8]) -> Arc<dyn Inode> {
        self.run(self.root().lookup(name)).unwrap()
    }

    fn open(&self, inode: &Arc<dyn Inode>, flags: OpenFlags) -> Result<Arc<dyn File>> {
        let (kernel, _) = kernel();
        let credentials = Credentials::kernel();
        let caller = Caller { kernel: &kernel, task: None, credentials: &credentials };
        self.run(inode.clone().open(caller, flags))
    }

    fn retry<T>(&self, file: &dyn File, mut attempt: impl FnMut() -> TryResult<T>) -> Result<T> {
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(TryError::NotResident { offset, length }) => {
                    self.run(file.fetch(offset, length))?;
                }
                Err(TryError::Failed(errno)) => return Err(errno),
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn read(&self, file: &dyn File, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut sink =
            Memory { platform: self.machine.platform(), bytes: Vec::new(), left: length };
        while sink.left > 0 {
            let at = offset + sink.bytes.len() as u64;
            if self.retry(file, || file.try_read(at, &mut sink))? == 0 {
                break;
            }
        }
        Ok(sink.bytes)
    }

    fn write(&self, file: &dyn File, at: WritePosition, bytes: &[u8]) -> Result<usize> {
        let platform = self.machine.platform();
        let mut source = Memory { platform, bytes: bytes.to_vec(), left: bytes.len() };
        let written = self.retry(file, || file.try_write(at, &mut source))?;
        if file.writes_through() {
            self.run(file.write_through())?;
        }
        Ok(written.count)
    }

    fn names(&self, directory: &Arc<dyn Inode>) -> Result<Vec<Vec<u8>>> {
        let file = self.open(directory, OpenFlags::DIRECTORY)?;
        let (mut names, mut position) = (Vec::new(), 0);
        loop {
            let entries = self.run(file.read_directory(position))?;
            let Some(last) = entries.last() else { return Ok(names) };
            position = last.next;
            names.extend(entries.into_iter().map(|entry| entry.name));
        }
    }
}

/// A kernel buffer as source and destination.
struct Memory {
    platform: PlatformRef,
    bytes: Vec<u8>,
    left: usize,
}

impl Destination for Memory {
    fn remaining(&self) -> usize {
        self.left
    }

    fn put(&mut self, bytes: &[u8]) -> TryResult<usize> {
        self.bytes.extend_from_slice(bytes);
        self.left -= bytes.len();
        Ok(bytes.len())
    }

    fn put_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let mut bytes = vec![0; length];
        self.platform.memory().read(address, &mut bytes).unwrap();
        self.put(&bytes)
    }

    fn put_zeros(&mut self, length: usize) -> TryResult<usize> {
        self.put(&vec![0; length])
    }
}

impl Source for Memory {
    fn remaining(&self) -> usize {
        self.left
    }

    fn take(&mut self, bytes: &mut [u8]) -> TryResult<usize> {
        let start = self.bytes.len() - self.left;
        let count = bytes.len().min(self.left);
        bytes[..count].copy_from_slice(&self.bytes[start..start + count]);
        self.left -= count;
        Ok(count)
    }

    fn take_physical(&mut self, address: u64, length: usize) -> TryResult<usize> {
        let mut bytes = vec![0; length];
        let count = self.take(&mut bytes)?;
        self.platform.memory().write(address, &bytes[..count]).unwrap();
        Ok(count)
    }
}

fn new(node: NewNode) -> NewInode {
    NewInode { node, permissions: 0o640, uid: 5, gid: 6 }
}

#[test]
fn a_lookup_brings_the_attributes_along() {
    let rig = rig(CachePolicy::Exclusive, true);
    let file = rig.find(b"file");
    let attributes = file.cached_attributes().unwrap();
    assert_eq!((attributes.size, attributes.kind), (300_000, FileKind::Regular));
    assert_eq!(attributes.device.minor, 7);
    assert_eq!(rig.log(), [Opcode::Lookup]);
    assert_eq!(rig.run(rig.root().lookup(b"none")).err(), Some(Errno::ENOENT));
}

#[test]
fn an_exclusive_read_only_file_is_opened_by_its_first_read_and_read_once() {
    let rig = rig(CachePolicy::Exclusive, true);
    let inode = rig.find(b"file");
    rig.log();
    let file = rig.open(&inode, OpenFlags::empty()).unwrap();
    assert!(rig.log().is_empty());
    let bytes = rig.read(&*file, 0, 400_000).unwrap();
    assert_eq!(bytes, rig.server().nodes[&FILE].data);
    let log = rig.log();
    assert_eq!(log[0], Opcode::Open);
    assert!(log.len() < 7 && log[1..].iter().all(|&opcode| opcode == Opcode::Read), "{log:?}");
    drop(file);
    let file = rig.open(&inode, OpenFlags::empty()).unwrap();
    assert_eq!(rig.read(&*file, 299_990, 100).unwrap(), bytes[299_990..]);
    assert!(rig.log().is_empty());
}

#[test]
fn a_small_exclusive_read_only_file_costs_one_request() {
    let rig = rig(CachePolicy::Exclusive, true);
    let inner = rig.run(rig.find(b"directory").lookup(b"inner")).unwrap();
    let file = rig.open(&inner, OpenFlags::empty()).unwrap();
    rig.log();
    assert_eq!(rig.read(&*file, 0, 100).unwrap(), b"inside");
    assert_eq!(rig.log(), [Opcode::Read]);
}

#[test]
fn a_listing_spares_the_lookups_of_its_names() {
    let rig = rig(CachePolicy::Exclusive, true);
    let names = rig.names(&rig.root()).unwrap();
    assert_eq!(names, [&b"."[..], b"..", b"directory", b"file", b"link"]);
    assert_eq!(rig.log(), [Opcode::Readdirplus]);
    assert!(rig.find(b"file").cached_attributes().is_some());
    assert!(rig.run(rig.root().lookup(b"none")).is_err());
    assert_eq!(rig.names(&rig.root()).unwrap().len(), 5);
    assert!(rig.log().is_empty());
}

#[test]
fn long_listings_take_several_requests() {
    let rig = rig(CachePolicy::Exclusive, false);
    for index in 0..2000 {
        let name = format!("a-rather-long-name-of-a-file-number-{index:08}");
        rig.server().add(DIRECTORY, name.as_bytes(), 0o100_644, &[]);
    }
    let directory = rig.find(b"directory");
    assert_eq!(rig.names(&directory).unwrap().len(), 2003);
    let lists = |log: &[Opcode]| log.iter().filter(|&&op| op == Opcode::Readdirplus).count();
    assert_eq!(lists(&rig.log()), 5);
    rig.run(directory.create(b"new", new(NewNode::Regular))).unwrap();
    assert_eq!(rig.names(&directory).unwrap().len(), 2004);
}

#[test]
fn hard_links_are_one_inode() {
    let rig = rig(CachePolicy::Exclusive, false);
    let file = rig.find(b"file");
    rig.run(rig.root().link(b"other", &file)).unwrap();
    let other = rig.find(b"other");
    assert!(Arc::ptr_eq(&file, &other));
    assert_eq!(file.cached_attributes().unwrap().links, 2);
    rig.run(rig.root().unlink(b"file", &file)).unwrap();
    assert_eq!(file.cached_attributes().unwrap().links, 1);
}

#[test]
fn everything_can_be_made_moved_and_removed() {
    let rig = rig(CachePolicy::Exclusive, false);
    let root = rig.root();
    let directory = rig.run(root.create(b"d", new(NewNode::Directory))).unwrap();
    assert_eq!(directory.kind(), FileKind::Directory);
    let device = NewNode::CharacterDevice(DeviceNumber { major: 1, minor: 3 });
    let fifo = rig.run(directory.create(b"fifo", new(NewNode::Fifo))).unwrap();
    assert_eq!(fifo.kind(), FileKind::Fifo);
    rig.run(directory.create(b"device", new(device))).unwrap();
    let long = vec![b'x'; 4000];
    rig.run(root.create(b"s", new(NewNode::SymbolicLink(long.clone())))).unwrap();
    assert_eq!(rig.server().nodes.values().filter(|node| node.data == long).count(), 1);
    assert_eq!(rig.run(root.create(b"d", new(NewNode::Fifo))).err(), Some(Errno::EEXIST));
    rig.run(directory.rename(b"fifo", &root, b"moved", RenameMode::Replace)).unwrap();
    assert!(Arc::ptr_eq(&rig.find(b"moved"), &fifo));
    rig.run(root.unlink(b"moved", &fifo)).unwrap();
    rig.run(root.remove_directory(b"d", &directory)).unwrap();
    assert!(rig.run(root.lookup(b"d")).is_err());
}

#[test]
fn exclusive_writes_are_kept_here_until_synchronised() {
    let rig = rig(CachePolicy::Exclusive, false);
    let inode = rig.run(rig.root().create(b"new", new(NewNode::Regular))).unwrap();
    let file = rig.open(&inode, OpenFlags::READ_WRITE).unwrap();
    let bytes = vec![3; 200_000];
    rig.log();
    rig.machine.advance(9_000_000_000);
    assert_eq!(rig.write(&*file, WritePosition::At(0), &bytes), Ok(200_000));
    assert_eq!(rig.write(&*file, WritePosition::End, b"end"), Ok(3));
    assert!(rig.log().is_empty());
    let attributes = inode.cached_attributes().unwrap();
    assert_eq!((attributes.size, attributes.modified.seconds), (200_003, 9));
    rig.run(file.sync(false)).unwrap();
    let expected = [Opcode::Write, Opcode::Write, Opcode::Setattr, Opcode::Fsync];
    assert_eq!(rig.log(), expected);
    let server = rig.server();
    let node = server.nodes.values().find(|node| node.data.len() == 200_003).unwrap();
    assert!(node.data.starts_with(&bytes) && node.data.ends_with(b"end"));
    assert_eq!(node.mtime, 9);
}

#[test]
fn the_last_close_writes_back() {
    let rig = rig(CachePolicy::Exclusive, false);
    let file = rig.open(&rig.find(b"file"), OpenFlags::READ_WRITE).unwrap();
    rig.write(&*file, WritePosition::At(1), b"XYZ").unwrap();
    drop(file);
    rig.settle();
    assert_eq!(&rig.server().nodes[&FILE].data[..5], &[0, b'X', b'Y', b'Z', 0]);
}

#[test]
fn shared_writes_go_through_and_foreign_ones_are_seen() {
    let rig = rig(CachePolicy::Shared, false);
    let file = rig.open(&rig.find(b"file"), OpenFlags::READ_WRITE).unwrap();
    rig.write(&*file, WritePosition::At(0), b"mine").unwrap();
    assert!(rig.server().nodes[&FILE].data.starts_with(b"mine"));
    assert_eq!(rig.read(&*file, 0, 6).unwrap(), b"mine\0\0");
    {
        let mut server = rig.server();
        let node = server.nodes.get_mut(&FILE).unwrap();
        node.data = b"theirs".to_vec();
        node.mtime = 77;
    }
    rig.machine.advance(2_000_000);
    assert_eq!(rig.read(&*file, 0, 100).unwrap(), b"theirs");
    rig.server().nodes.get_mut(&FILE).unwrap().data.extend(b", more");
    rig.machine.advance(2_000_000);
    assert_eq!(rig.write(&*file, WritePosition::End, b"!"), Ok(1));
    assert_eq!(rig.server().nodes[&FILE].data, b"theirs, more!");
}

#[test]
fn own_shared_writes_do_not_empty_the_cache() {
    let rig = rig(CachePolicy::Shared, false);
    let file = rig.open(&rig.find(b"file"), OpenFlags::READ_WRITE).unwrap();
    rig.read(&*file, 0, 300_000).unwrap();
    rig.write(&*file, WritePosition::At(0), b"mine").unwrap();
    rig.log();
    rig.machine.advance(2_000_000);
    rig.read(&*file, 0, 300_000).unwrap();
    assert!(!rig.log().contains(&Opcode::Read));
}

#[test]
fn shared_names_are_asked_for_each_time() {
    let rig = rig(CachePolicy::Shared, false);
    assert_eq!(rig.names(&rig.root()).unwrap().len(), 5);
    rig.find(b"file");
    rig.find(b"file");
    let expected = [Opcode::Readdir, Opcode::Lookup, Opcode::Lookup];
    assert_eq!(rig.log(), expected);
}

#[test]
fn names_that_others_change_in_an_exclusive_tree_are_seen_a_second_later() {
    let rig = rig(CachePolicy::Exclusive, false);
    let root = Dentry::new_root(rig.root(), Arc::default());
    let look_up = |name: &[u8]| {
        if !root.names_are_current() {
            rig.run(root.inode.attributes()).unwrap();
        }
        rig.run(lookup_child(&root, name))
    };
    // From here on the times at the server are past.
    rig.machine.advance(2_000_000_000_000);
    let (file, link) = (look_up(b"file").unwrap(), look_up(b"link").unwrap());
    assert_eq!(rig.names(&root.inode).unwrap().len(), 5);
    assert_eq!(look_up(b"new").err(), Some(Errno::ENOENT));
    rig.machine.advance(1_100_000_000);
    assert!(Arc::ptr_eq(&look_up(b"file").unwrap(), &file));
    rig.log();
    {
        let mut server = rig.server();
        let nodes = &mut server.nodes;
        nodes.get_mut(&ROOT_NODE).unwrap().names.remove(&b"link"[..]);
        nodes.get_mut(&ROOT_NODE).unwrap().mtime += 1;
        server.add(ROOT_NODE, b"new", 0o100_644, b"from outside");
    }
    // Within the second: as known.
    assert!(Arc::ptr_eq(&look_up(b"link").unwrap(), &link));
    assert_eq!(look_up(b"new").err(), Some(Errno::ENOENT));
    assert!(rig.log().is_empty());
    rig.machine.advance(1_000_000_000);
    assert!(look_up(b"new").is_ok());
    assert_eq!(rig.log(), [Opcode::Getattr, Opcode::Lookup]);
    assert!(Arc::ptr_eq(&look_up(b"file").unwrap(), &file));
    assert_eq!(look_up(b"link").err(), Some(Errno::ENOENT));
    assert!(link.is_removed() && !file.is_removed());
    assert!(rig.names(&root.inode).unwrap().contains(&b"new".to_vec()));
    rig.log();
    // Nothing has changed: one look, and names are believed for another second.
    rig.machine.advance(1_000_000_000);
    assert!(look_up(b"new").is_ok() && look_up(b"file").is_ok());
    assert_eq!(rig.log(), [Opcode::Getattr]);
}

#[test]
fn a_directory_keeps_the_times_of_changes_made_here() {
    let rig = rig(CachePolicy::Exclusive, false);
    let root = rig.root();
    rig.run(root.create(b"new", new(NewNode::Regular))).unwrap();
    let times = |attributes: Attributes| (attributes.modified, attributes.changed);
    let own = times(root.cached_attributes().unwrap());
    rig.machine.advance(1_000_000_000);
    assert_eq!(root.cached_attributes(), None);
    assert_eq!(times(rig.run(root.attributes()).unwrap()), own);
}

#[test]
fn sizes_and_times_are_set() {
    let rig = rig(CachePolicy::Exclusive, false);
    let inode = rig.find(b"file");
    let file = rig.open(&inode, OpenFlags::READ_WRITE).unwrap();
    rig.write(&*file, WritePosition::At(0), b"abcdef").unwrap();
    let shorter = AttributeChange { size: Some(4), ..AttributeChange::default() };
    assert_eq!(rig.run(inode.set_attributes(shorter)).unwrap().size, 4);
    let modified = Some(Timestamp { seconds: 42, nanoseconds: 0 });
    let time = AttributeChange { modified, permissions: Some(0o400), ..AttributeChange::default() };
    let attributes = rig.run(inode.set_attributes(time)).unwrap();
    assert_eq!((attributes.modified.seconds, attributes.permissions), (42, 0o400));
    drop(file);
    rig.settle();
    let server = rig.server();
    let node = &server.nodes[&FILE];
    assert_eq!((&node.data[..], node.mtime, node.mode), (&b"abcd"[..], 42, 0o100_400));
}

#[test]
fn links_xattrs_holes_and_statistics_are_passed_on() {
    let rig = rig(CachePolicy::Exclusive, false);
    let inode = rig.find(b"file");
    let large = vec![9; 60_000];
    rig.run(inode.set_xattr(b"user.large", &large, XattrMode::Any)).unwrap();
    assert_eq!(rig.run(inode.xattr(b"user.large")).unwrap(), large);
    assert_eq!(rig.run(inode.xattr_names()).unwrap(), [b"user.large"]);
    rig.run(inode.remove_xattr(b"user.large")).unwrap();
    assert_eq!(rig.run(inode.xattr(b"user.large")), Err(Errno::ENODATA));
    let file = rig.open(&inode, OpenFlags::READ_WRITE).unwrap();
    assert_eq!(rig.run(file.seek_data(10, true)), Ok(10));
    rig.run(file.allocate(0, 0, 400_000)).unwrap();
    assert_eq!(rig.run(inode.attributes()).unwrap().size, 400_000);
    assert_eq!(rig.run(rig.file_system.statistics()).unwrap().block_size, 512);
}

#[test]
fn inodes_that_are_dropped_are_forgotten_in_batches() {
    let rig = rig(CachePolicy::Exclusive, false);
    for index in 0..100 {
        rig.server().add(DIRECTORY, format!("{index}").as_bytes(), 0o100_644, &[]);
    }
    let directory = rig.find(b"directory");
    rig.names(&directory).unwrap();
    rig.log();
    drop(directory);
    rig.run(rig.file_system.sync()).unwrap();
    let log = rig.log();
    assert!(log.len() <= 5 && log.iter().all(|&opcode| opcode == Opcode::BatchForget), "{log:?}");
    assert_eq!(rig.server().nodes.values().map(|node| node.lookups).sum::<u64>(), 0);
}

#[test]
fn a_very_deep_tree_is_dropped_without_recursion() {
    let rig = rig(CachePolicy::Exclusive, false);
    let mut parent = DIRECTORY;
    for _ in 0..6000 {
        parent = rig.server().add(parent, b"d", 0o040_755, &[]);
    }
    let top = rig.find(b"directory");
    let mut at = top.clone();
    for _ in 0..6000 {
        rig.names(&at).unwrap();
        at = rig.run(at.lookup(b"d")).unwrap();
    }
    drop((at, top));
    rig.run(rig.file_system.sync()).unwrap();
    let known = rig.server().nodes.values().filter(|node| node.lookups > 0).count();
    assert!(known <= 1, "{known} nodes are still known");
}

/// Does a bit of everything; how it ends is up to the server.
fn exercise(rig: &Rig) -> Vec<Option<Errno>> {
    let root = rig.root();
    let mut errors = Vec::new();
    errors.push(rig.names(&root).err());
    let found = rig.run(root.lookup(b"file"));
    errors.push(found.as_ref().err().copied());
    if let Ok(inode) = found {
        errors.push(rig.run(inode.attributes()).err());
        errors.push(rig.run(inode.xattr(b"user.a")).err());
        errors.push(rig.run(inode.set_attributes(AttributeChange::default())).err());
        match rig.open(&inode, OpenFlags::READ_WRITE) {
            Ok(file) => {
                errors.push(rig.read(&*file, 0, 300_000).err());
                errors.push(rig.write(&*file, WritePosition::At(0), b"abc").err());
                errors.push(rig.run(file.sync(false)).err());
                errors.push(rig.run(file.seek_data(0, true)).err());
            }
            Err(errno) => errors.push(Some(errno)),
        }
    }
    errors.push(rig.run(root.create(b"n", new(NewNode::Regular))).err());
    errors.push(rig.run(root.create(b"d", new(NewNode::Directory))).err());
    errors.push(rig.run(rig.file_system.statistics()).err());
    rig.settle();
    errors
}

fn lying(policy: CachePolicy, lie: Lie) -> Vec<Option<Errno>> {
    let rig = rig(policy, false);
    rig.server().lie = Some(lie);
    exercise(&rig)
}

#[test]
fn malformed_replies_are_eio() {
    #[allow(clippy::type_complexity, reason = "a list of closures without captures")]
    let lies: [fn(&mut Vec<u8>) -> Option<u32>; 6] = [
        |reply| {
            reply.truncate(15);
            None
        },
        |reply| {
            reply[8] ^= 1;
            None
        },
        |reply| {
            reply[0] ^= 1;
            None
        },
        |_| Some(u32::MAX),
        |_| Some(0),
        |reply| {
            reply.truncate(18);
            reply[0] = 18;
            reply[1..8].fill(0);
            None
        },
    ];
    for lie in lies {
        let errors = lying(CachePolicy::Shared, Box::new(move |_, reply| lie(reply)));
        assert!(errors.iter().all(|error| *error == Some(Errno::EIO)), "{errors:?}");
    }
}

#[test]
fn a_queue_that_breaks_fails_everything() {
    let rig = rig(CachePolicy::Exclusive, false);
    let file = rig.find(b"file");
    rig.machine.device_queue(0).set_used_index(40_000);
    assert_eq!(rig.run(file.xattr(b"user.a")), Err(Errno::EIO));
    assert_eq!(rig.run(rig.root().lookup(b"directory")).err(), Some(Errno::EIO));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Random bytes in the body of every reply: no panic, no hang, whatever comes out.
    #[test]
    fn garbage_bodies_never_panic(
        seed in proptest::collection::vec(any::<u8>(), 1..64),
        only in 0_u32..47,
        shared in any::<bool>(),
    ) {
        let policy = if shared { CachePolicy::Shared } else { CachePolicy::Exclusive };
        lying(policy, Box::new(move |opcode, reply| {
            if opcode as u32 == only || only == 0 {
                for (byte, noise) in reply.iter_mut().skip(16).zip(seed.iter().cycle()) {
                    *byte ^= noise;
                }
            }
            None
        }));
    }
}
