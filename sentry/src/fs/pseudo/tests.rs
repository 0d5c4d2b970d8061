use super::*;
use crate::{
    errno::Errno,
    fs::testing::{Bytes, Sink, kernel, poll_once},
    io::TryError,
    kernel::Credentials,
    vfs::{File, OpenFlags, WritePosition},
};

const ROOT: Entry<()> = Entry::growing_directory(
    "",
    &[
        Entry::file("plain", |(), kernel| Ok(kernel.containers.sandbox.uts.read().host.clone())),
        Entry::writable(
            "host",
            |(), kernel| Ok(kernel.containers.sandbox.uts.read().host.clone()),
            |(), kernel, _, bytes| {
                kernel.containers.sandbox.uts.write().host = bytes.to_vec();
                Ok(())
            },
        ),
        Entry::late_file("late", |(), _| Box::pin(async { Ok(b"late".to_vec()) })),
        Entry::link("link", |(), _| Ok(b"plain".to_vec())),
    ],
    Children {
        list: |(), _| alloc::vec![Child { key: 7, name: b"7".to_vec(), kind: FileKind::Directory }],
        find: |node, name| match name {
            b"7" => Ok(node.child(name, Number(7), &NUMBER)),
            _ => Err(Errno::ENOENT),
        },
    },
);

#[derive(Clone)]
struct Number(u8);

impl Subject for Number {
    fn owner(&self) -> (u32, u32) {
        (1000, 1000)
    }

    fn check_access(&self, _caller: Caller<'_>) -> Result<()> {
        Err(Errno::EACCES)
    }
}

const NUMBER: Entry<Number> = Entry::directory(
    "",
    &[
        Entry::file("value", |number, _| Ok(alloc::vec![b'0' + number.0])),
        Entry::file("secret", |_, _| Ok(Vec::new())).private(),
    ],
);

struct Fixture {
    kernel: Arc<Kernel>,
    root: Arc<dyn Inode>,
}

impl Fixture {
    fn new() -> Self {
        let (kernel, _) = kernel();
        let tree = Tree { kernel: kernel.clone(), device: DeviceNumber::default(), volatile: true };
        let root = PseudoFileSystem::new("test", 1, tree, ((), &ROOT)).root();
        Self { kernel, root }
    }

    fn find(&self, path: &[&str]) -> Result<Arc<dyn Inode>> {
        path.iter().try_fold(self.root.clone(), |directory, name| {
            poll_once(directory.lookup(name.as_bytes())).unwrap()
        })
    }

    fn open(&self, path: &[&str], flags: OpenFlags) -> Result<Arc<dyn File>> {
        let credentials = Credentials::kernel();
        let caller = Caller { kernel: &self.kernel, task: None, credentials: &credentials };
        poll_once(self.find(path)?.open(caller, flags)).unwrap()
    }

    fn read(&self, path: &[&str]) -> Vec<u8> {
        let file = self.open(path, OpenFlags::empty()).unwrap();
        let mut sink = Sink::new(100);
        if let Err(TryError::NotResident { .. }) = file.try_read(0, &mut sink) {
            poll_once(file.fetch(0, 0)).unwrap().unwrap();
            file.try_read(0, &mut sink).unwrap();
        }
        sink.bytes
    }
}

#[test]
fn files_are_made_from_their_subjects() {
    let fixture = Fixture::new();
    assert_eq!(fixture.read(&["plain"]), b"sandbox");
    assert_eq!(fixture.read(&["late"]), b"late");
    assert_eq!(fixture.read(&["7", "value"]), b"7");
    assert_eq!(fixture.find(&["8"]).err(), Some(Errno::ENOENT));
    assert_eq!(fixture.find(&["plain", "x"]).err(), Some(Errno::ENOTDIR));
}

#[test]
fn a_read_from_the_start_sees_changes() {
    let fixture = Fixture::new();
    let file = fixture.open(&["host"], OpenFlags::READ_WRITE).unwrap();
    file.try_read(0, &mut Sink::new(3)).unwrap();
    file.try_write(WritePosition::At(0), &mut Bytes::new(b"other name")).unwrap();
    let mut rest = Sink::new(100);
    file.try_read(3, &mut rest).unwrap();
    assert_eq!(rest.bytes, b"dbox");
    assert_eq!(fixture.read(&["host"]), b"other name");
}

#[test]
fn private_files_ask_their_subject() {
    let fixture = Fixture::new();
    let denied = fixture.open(&["7", "secret"], OpenFlags::empty());
    assert_eq!(denied.err(), Some(Errno::EACCES));
    let read_only = fixture.open(&["7", "value"], OpenFlags::WRITE_ONLY);
    assert_eq!(read_only.err(), Some(Errno::EACCES));
    assert_eq!(fixture.find(&["7"]).unwrap().cached_attributes().unwrap().uid, 1000);
}

#[test]
fn listings_continue_from_any_position() {
    let fixture = Fixture::new();
    let directory = fixture.open(&[], OpenFlags::DIRECTORY).unwrap();
    let all = poll_once(directory.read_directory(0)).unwrap().unwrap();
    let names: Vec<&[u8]> = all.iter().map(|entry| &*entry.name).collect();
    assert_eq!(names, [&b"."[..], b"..", b"plain", b"host", b"late", b"link", b"7"]);
    for (index, entry) in all.iter().enumerate() {
        let rest = poll_once(directory.read_directory(entry.next)).unwrap().unwrap();
        assert_eq!(rest[..], all[index + 1..]);
    }
    let seven = fixture.find(&["7"]).unwrap().cached_attributes().unwrap();
    assert_eq!(seven.inode, all[6].inode);
}
