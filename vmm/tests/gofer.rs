//! A real gofer process, driven through its window as the sentry drives it.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    fs::{self, File},
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
    time::{Duration, Instant},
};

use guest_abi::{
    container::CachePolicy,
    device::{DeviceDescriptor, DeviceKind},
    fuse::{EntryOut, GetattrIn, InHeader, Opcode, OpenIn, OpenOut, OutHeader, ReadIn},
    virtqueue::Descriptor,
};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use sandbox_vmm::{
    gofer::{GoferMount, GoferProcess, spawn_from},
    sandbox::plan::Tree,
    virtqueue::Doorbell,
};
use vmm_sys_util::tempdir::TempDir;
use zerocopy::{FromBytes, IntoBytes};

const WINDOW: u64 = 1 << 20;
const REPLY_ROOM: u32 = 64 << 10;

/// What of the host a gofer serves, with what is mounted in it.
fn tree(path: &Path, read_only: bool) -> Tree {
    Tree { path: path.to_owned(), read_only, submounts: true, cache: CachePolicy::Shared }
}

/// The driver's end of a gofer's device: one request at a time, by file I/O on the memfd.
struct Client {
    device: DeviceDescriptor,
    window: File,
    kick: Doorbell,
    call: Doorbell,
    posted: u16,
}

impl Client {
    /// A gofer that serves `source`, and its client.
    fn start(source: &Path, read_only: bool) -> (GoferProcess, Self) {
        let device = DeviceDescriptor::layout(DeviceKind::FileSystem, 0, 16, WINDOW);
        let window = memfd_create("window", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&window, WINDOW).unwrap();
        let (kick, call) = (Doorbell::new().unwrap(), Doorbell::new().unwrap());
        let mount = GoferMount {
            tree: tree(source, read_only),
            device: device.clone(),
            window: window.try_clone().unwrap(),
            kick: kick.clone(),
            call: call.clone(),
        };
        let executable = Path::new(env!("CARGO_BIN_EXE_sandbox-vmm"));
        let process = spawn_from(executable, &[mount]).unwrap().ready().unwrap();
        (process, Self { device, window: window.into(), kick, call, posted: 0 })
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.window.write_all_at(bytes, address - self.device.window_base).unwrap();
    }

    fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.window.read_exact_at(&mut bytes, address - self.device.window_base).unwrap();
        bytes
    }

    /// Sends a request and waits for its reply: an errno, or the payload.
    fn call(&mut self, opcode: Opcode, node: u64, parts: &[&[u8]]) -> Result<Vec<u8>, i32> {
        let body = parts.concat();
        let length = u32::try_from(size_of::<InHeader>() + body.len()).unwrap();
        let header = InHeader { length, opcode: opcode as u32, node, ..InHeader::default() };
        let (queue, buffers) = (self.device.queues[0], self.device.buffers_base);
        let reply_at = buffers + u64::from(length);
        self.put(buffers, &[header.as_bytes(), &body].concat());
        let request = Descriptor { address: buffers, length, flags: 1, next: 1 };
        let reply = Descriptor { address: reply_at, length: REPLY_ROOM, flags: 2, next: 0 };
        self.put(queue.descriptor_table, &[request.as_bytes(), reply.as_bytes()].concat());
        let slot = u64::from(self.posted % queue.size);
        self.put(queue.available_ring + 4 + 2 * slot, &0_u16.to_ne_bytes());
        self.posted += 1;
        self.put(queue.available_ring + 2, &self.posted.to_ne_bytes());
        self.kick.ring();
        while u16::from_ne_bytes(self.get(queue.used_ring + 2)) != self.posted {
            self.call.wait().unwrap();
        }
        let header = OutHeader::read_from_bytes(&self.get::<16>(reply_at)).unwrap();
        if header.error != 0 {
            return Err(-header.error);
        }
        let mut payload = vec![0; usize::try_from(header.length).unwrap() - 16];
        let offset = reply_at + 16 - self.device.window_base;
        self.window.read_exact_at(&mut payload, offset).unwrap();
        Ok(payload)
    }

    fn lookup(&mut self, parent: u64, name: &str) -> Result<EntryOut, i32> {
        let payload = self.call(Opcode::Lookup, parent, &[name.as_bytes(), b"\0"])?;
        Ok(EntryOut::read_from_bytes(&payload).unwrap())
    }

    fn open(&mut self, node: u64, flags: i32) -> Result<u64, i32> {
        let request = OpenIn { flags: flags.cast_unsigned(), open_flags: 0 };
        let payload = self.call(Opcode::Open, node, &[request.as_bytes()])?;
        Ok(OpenOut::read_from_bytes(&payload).unwrap().handle)
    }

    fn read(&mut self, node: u64) -> Result<Vec<u8>, i32> {
        let handle = self.open(node, libc::O_RDONLY)?;
        let request = ReadIn { handle, size: 1000, ..ReadIn::default() };
        self.call(Opcode::Read, node, &[request.as_bytes()])
    }
}

/// Waits until the process is gone.
fn await_end(process: u32) {
    let start = Instant::now();
    while Path::new(&format!("/proc/{process}/exe")).read_link().is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10), "the gofer lives on");
        std::thread::yield_now();
    }
}

#[test]
fn serves_and_ends_with_its_owner() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.as_path().join("hello"), "from the host").unwrap();
    let (gofer, mut client) = Client::start(directory.as_path(), false);
    let file = client.lookup(1, "hello").unwrap();
    assert_eq!(client.read(file.node).unwrap(), b"from the host");
    assert_eq!(client.lookup(1, "absent").unwrap_err(), libc::ENOENT);
    let id = gofer.id();
    drop(gofer);
    await_end(id);
}

#[test]
fn crosses_mounts_of_the_host_but_opens_no_procfs() {
    let (_gofer, mut client) = Client::start(Path::new("/"), true);
    let request = GetattrIn::default();
    client.call(Opcode::Getattr, 1, &[request.as_bytes()]).unwrap();
    let proc = client.lookup(1, "proc").unwrap();
    let version = client.lookup(proc.node, "version").unwrap();
    assert_eq!(client.open(version.node, libc::O_RDONLY), Err(libc::EACCES));
    let etc = client.lookup(1, "etc").unwrap();
    let passwd = client.lookup(etc.node, "passwd").unwrap();
    assert!(client.read(passwd.node).unwrap().starts_with(b"root:"));
    assert_eq!(client.open(passwd.node, libc::O_RDWR), Err(libc::EROFS));
}

#[test]
fn is_jailed() {
    let directory = TempDir::new().unwrap();
    let (gofer, _client) = Client::start(directory.as_path(), false);
    let status = fs::read_to_string(format!("/proc/{}/status", gofer.id())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit('\t').next().unwrap().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, SETFCAP.
    let kept = 0x1f_u64 & !(1 << 5) | 1 << 31;
    assert_eq!(u64::from_str_radix(&field("CapPrm:"), 16).unwrap() & !kept, 0);
    // Only root may look: the process is not dumpable.
    if let Ok(open) = fs::read_dir(format!("/proc/{}/fd", gofer.id())) {
        let open = open.count();
        assert!(open <= 12, "{open} descriptors");
    }
    let own = rustix::thread::capabilities(None).unwrap().effective;
    if own.contains(rustix::thread::CapabilitySet::SYS_ADMIN) {
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", gofer.id())).unwrap();
        assert!(mounts.lines().count() == 1 && mounts.contains("/fd / "), "{mounts}");
        for name in ["mnt", "net", "ipc"] {
            let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/{name}")).unwrap();
            assert_ne!(namespace(&gofer.id().to_string()), namespace("self"), "{name}");
        }
    }
}

#[test]
fn says_what_it_cannot_serve() {
    let device = DeviceDescriptor::layout(DeviceKind::FileSystem, 0, 16, WINDOW);
    let window = memfd_create("window", MemfdFlags::CLOEXEC).unwrap();
    let mount = |source: &str| GoferMount {
        tree: tree(Path::new(source), true),
        device: device.clone(),
        window: window.as_fd().try_clone_to_owned().unwrap(),
        kick: Doorbell::new().unwrap(),
        call: Doorbell::new().unwrap(),
    };
    let executable = Path::new(env!("CARGO_BIN_EXE_sandbox-vmm"));
    let missing = spawn_from(executable, &[mount("/nonexistent")]).unwrap().ready().unwrap_err();
    assert!(missing.to_string().contains("/nonexistent: No such file"), "{missing}");
    let short = spawn_from(executable, &[mount("/")]).unwrap().ready().unwrap_err();
    assert!(short.to_string().contains("window is 0 bytes"), "{short}");
}
