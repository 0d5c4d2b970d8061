//! A FUSE server with a few files, in memory, on the caller's thread. It can be told to lie.

use alloc::{collections::BTreeMap, vec::Vec};

use guest_abi::fuse::{
    AttributesOut, BatchForgetIn, CreateIn, DirectoryEntry, DirectoryEntryPlus, EntryOut,
    FallocateIn, FileAttributes, ForgetOne, GetxattrIn, InHeader, InitOut, LinkIn, LseekIn,
    LseekOut, MkdirIn, MknodIn, Opcode, OpenOut, OutHeader, ROOT_NODE, ReadIn, Rename2In,
    SetattrIn, SetattrValid, SetxattrIn, StatfsOut, VERSION_MAJOR, WriteIn, WriteOut,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::drivers::testing::DeviceQueue;

/// Changes a reply before it is sent; returns the used length to claim, if not the true one.
pub(super) type Lie = Box<dyn Fn(Opcode, &mut Vec<u8>) -> Option<u32> + Send>;

/// A node.
#[derive(Default)]
pub(super) struct Node {
    pub(super) mode: u32,
    pub(super) data: Vec<u8>,
    pub(super) mtime: u64,
    pub(super) links: u32,
    pub(super) lookups: u64,
    pub(super) names: BTreeMap<Vec<u8>, u64>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The server.
pub(super) struct FakeServer {
    pub(super) nodes: BTreeMap<u64, Node>,
    /// Requests since the log was last taken.
    pub(super) log: Vec<Opcode>,
    pub(super) lie: Option<Lie>,
    next: u64,
    time: u64,
}

type Outcome = Result<Vec<u8>, i32>;

const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENODATA: i32 = 61;
const ENOSYS: i32 = 38;

fn parse<T: FromBytes + KnownLayout + Immutable>(body: &mut &[u8]) -> T {
    let (value, rest) = T::read_from_prefix(body).unwrap();
    *body = rest;
    value
}

fn name(body: &mut &[u8]) -> Vec<u8> {
    let end = body.iter().position(|&byte| byte == 0).unwrap();
    let name = body[..end].to_vec();
    *body = &body[end + 1..];
    name
}

impl FakeServer {
    /// A server of an empty directory.
    pub(super) fn new() -> Self {
        let root = Node { mode: 0o040_755, links: 2, ..Node::default() };
        Self {
            nodes: BTreeMap::from([(ROOT_NODE, root)]),
            log: Vec::new(),
            lie: None,
            next: ROOT_NODE + 1,
            time: 1000,
        }
    }

    /// Adds a node below `parent`.
    pub(super) fn add(&mut self, parent: u64, name: &[u8], mode: u32, data: &[u8]) -> u64 {
        let node = self.next;
        self.next += 1;
        let new = Node { mode, data: data.to_vec(), mtime: self.time, links: 1, ..Node::default() };
        self.nodes.insert(node, new);
        self.nodes.get_mut(&parent).unwrap().names.insert(name.to_vec(), node);
        node
    }

    /// The requests since this was last asked.
    pub(super) fn take_log(&mut self) -> Vec<Opcode> {
        std::mem::take(&mut self.log)
    }

    /// Serves everything that is available.
    pub(super) fn serve(&mut self, queue: &DeviceQueue) {
        while let Some(chain) = queue.pop() {
            let mut body = &chain.readable[..];
            let header: InHeader = parse(&mut body);
            assert_eq!(header.length as usize, chain.readable.len());
            let opcode = Opcode::try_from(header.opcode).unwrap();
            self.log.push(opcode);
            let outcome = self.answer(opcode, &header, body);
            if chain.room() == 0 {
                queue.answer(&chain, &[]);
                continue;
            }
            let mut reply = encode(header.unique, outcome);
            let claimed = self.lie.as_ref().and_then(|lie| lie(opcode, &mut reply));
            match claimed {
                Some(length) => queue.push_used(chain.head.into(), length),
                None => queue.answer(&chain, &reply),
            }
        }
    }

    fn answer(&mut self, opcode: Opcode, header: &InHeader, mut body: &[u8]) -> Outcome {
        let node = header.node;
        let body = &mut body;
        let names_node = !matches!(opcode, Opcode::Init | Opcode::Forget | Opcode::BatchForget);
        // After a lie the client may name nodes that never were.
        if names_node && !self.nodes.contains_key(&node) {
            return Err(ENOENT);
        }
        match opcode {
            Opcode::Init => {
                Ok(InitOut { major: VERSION_MAJOR, ..InitOut::default() }.as_bytes().to_vec())
            }
            Opcode::Lookup => self.enter(node, &name(body)),
            Opcode::Getattr => self.attributes_of(node),
            Opcode::Setattr => self.setattr(node, &parse(body)),
            Opcode::Readlink => Ok(self.nodes[&node].data.clone()),
            Opcode::Symlink => {
                let (name, target) = (name(body), name(body));
                self.make(node, &name, 0o120_777, &target)
            }
            Opcode::Mknod => {
                let mode = parse::<MknodIn>(body).mode;
                self.make(node, &name(body), mode, &[])
            }
            Opcode::Mkdir => {
                let mode = parse::<MkdirIn>(body).mode;
                self.make(node, &name(body), mode | 0o040_000, &[])
            }
            Opcode::Create => {
                let mode = parse::<CreateIn>(body).mode;
                let entry = self.make(node, &name(body), mode | 0o100_000, &[])?;
                Ok([entry, OpenOut { handle: 77, ..OpenOut::default() }.as_bytes().to_vec()]
                    .concat())
            }
            Opcode::Link => {
                let target = parse::<LinkIn>(body).node;
                let name = name(body);
                self.nodes.get_mut(&node).unwrap().names.insert(name.clone(), target);
                self.nodes.get_mut(&target).unwrap().links += 1;
                self.enter(node, &name)
            }
            Opcode::Unlink | Opcode::Rmdir => {
                let target = self.directory(node).remove(&name(body)).ok_or(ENOENT)?;
                self.nodes.get_mut(&target).unwrap().links -= 1;
                Ok(Vec::new())
            }
            Opcode::Rename2 => {
                let to = parse::<Rename2In>(body).new_parent;
                let (old, new) = (name(body), name(body));
                let target = self.directory(node).remove(&old).ok_or(ENOENT)?;
                self.directory(to).insert(new, target);
                Ok(Vec::new())
            }
            Opcode::Open | Opcode::Opendir => {
                Ok(OpenOut { handle: node + 1000, ..OpenOut::default() }.as_bytes().to_vec())
            }
            Opcode::Read => Ok(self.read(node, &parse(body))),
            Opcode::Write => self.write(node, &parse(body), body),
            Opcode::Readdir | Opcode::Readdirplus => Ok(self.list(node, &parse(body), opcode)),
            Opcode::Statfs => {
                Ok(StatfsOut { blocks: 9, fragment_size: 512, ..StatfsOut::default() }
                    .as_bytes()
                    .to_vec())
            }
            Opcode::Lseek => {
                let offset = parse::<LseekIn>(body).offset;
                Ok(LseekOut { offset }.as_bytes().to_vec())
            }
            Opcode::Fallocate => {
                let request: FallocateIn = parse(body);
                let end = (request.offset + request.length) as usize;
                let data = &mut self.nodes.get_mut(&node).unwrap().data;
                data.resize(end.max(data.len()), 0);
                Ok(Vec::new())
            }
            Opcode::Setxattr => {
                let size = parse::<SetxattrIn>(body).size as usize;
                let name = name(body);
                assert_eq!(size, body.len());
                self.nodes.get_mut(&node).unwrap().xattrs.insert(name, body.to_vec());
                Ok(Vec::new())
            }
            Opcode::Getxattr => {
                parse::<GetxattrIn>(body);
                self.nodes[&node].xattrs.get(&name(body)).cloned().ok_or(ENODATA)
            }
            Opcode::Listxattr => {
                let names = self.nodes[&node].xattrs.keys();
                Ok(names.flat_map(|name| [&name[..], b"\0"].concat()).collect())
            }
            Opcode::Removexattr => {
                let removed = self.nodes.get_mut(&node).unwrap().xattrs.remove(&name(body));
                removed.map(|_| Vec::new()).ok_or(ENODATA)
            }
            Opcode::BatchForget => {
                for _ in 0..parse::<BatchForgetIn>(body).count {
                    let one: ForgetOne = parse(body);
                    self.nodes.get_mut(&one.node).unwrap().lookups -= one.lookups;
                }
                Ok(Vec::new())
            }
            Opcode::Release | Opcode::Releasedir | Opcode::Fsync | Opcode::Flush => Ok(Vec::new()),
            _ => Err(ENOSYS),
        }
    }

    fn directory(&mut self, node: u64) -> &mut BTreeMap<Vec<u8>, u64> {
        &mut self.nodes.get_mut(&node).unwrap().names
    }

    fn attributes(&self, number: u64) -> FileAttributes {
        let node = &self.nodes[&number];
        FileAttributes {
            inode: number + 500,
            size: node.data.len() as u64,
            mode: node.mode,
            links: node.links,
            mtime: node.mtime,
            ctime: node.mtime,
            ..FileAttributes::default()
        }
    }

    fn attributes_of(&self, node: u64) -> Outcome {
        let attributes = self.attributes(node);
        Ok(AttributesOut { attributes, ..AttributesOut::default() }.as_bytes().to_vec())
    }

    fn entry(&mut self, node: u64) -> EntryOut {
        self.nodes.get_mut(&node).unwrap().lookups += 1;
        EntryOut { node, attributes: self.attributes(node), ..EntryOut::default() }
    }

    fn enter(&mut self, parent: u64, name: &[u8]) -> Outcome {
        let node = *self.nodes[&parent].names.get(name).ok_or(ENOENT)?;
        Ok(self.entry(node).as_bytes().to_vec())
    }

    fn make(&mut self, parent: u64, name: &[u8], mode: u32, data: &[u8]) -> Outcome {
        if self.nodes[&parent].names.contains_key(name) {
            return Err(EEXIST);
        }
        let node = self.add(parent, name, mode, data);
        Ok(self.entry(node).as_bytes().to_vec())
    }

    fn setattr(&mut self, number: u64, change: &SetattrIn) -> Outcome {
        let valid = SetattrValid::from_bits_retain(change.valid);
        let node = self.nodes.get_mut(&number).unwrap();
        if valid.contains(SetattrValid::SIZE) {
            node.data.resize(change.size as usize, 0);
        }
        if valid.contains(SetattrValid::MODE) {
            node.mode = node.mode & 0o170_000 | change.mode;
        }
        if valid.contains(SetattrValid::MTIME) {
            node.mtime = change.mtime;
        }
        self.attributes_of(number)
    }

    fn read(&self, node: u64, request: &ReadIn) -> Vec<u8> {
        let data = &self.nodes[&node].data;
        let start = (request.offset as usize).min(data.len());
        let end = (start + request.size as usize).min(data.len());
        data[start..end].to_vec()
    }

    fn write(&mut self, number: u64, request: &WriteIn, bytes: &[u8]) -> Outcome {
        self.time += 1;
        let node = self.nodes.get_mut(&number).unwrap();
        let (start, end) = (request.offset as usize, request.offset as usize + bytes.len());
        node.data.resize(node.data.len().max(end), 0);
        node.data[start..end].copy_from_slice(bytes);
        node.mtime = self.time;
        Ok(WriteOut { size: request.size, padding: 0 }.as_bytes().to_vec())
    }

    fn list(&mut self, node: u64, request: &ReadIn, opcode: Opcode) -> Vec<u8> {
        let mut names = vec![(b".".to_vec(), 0), (b"..".to_vec(), 0)];
        names.extend(self.nodes[&node].names.clone());
        let mut bytes = Vec::new();
        for (index, (name, child)) in names.into_iter().enumerate().skip(request.offset as usize) {
            let entry = DirectoryEntry {
                inode: child + 500,
                offset: index as u64 + 1,
                name_length: name.len() as u32,
                file_type: self.nodes.get(&child).map_or(4, |node| node.mode >> 12),
            };
            let size = if opcode == Opcode::Readdir { 24 } else { 152 } + name.len();
            if bytes.len() + size.next_multiple_of(8) > request.size as usize {
                break;
            }
            let node = if child == 0 { EntryOut::default() } else { self.entry(child) };
            if opcode == Opcode::Readdir {
                bytes.extend_from_slice(entry.as_bytes());
            } else {
                bytes.extend_from_slice(DirectoryEntryPlus { node, entry }.as_bytes());
            }
            bytes.extend_from_slice(&name);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        bytes
    }
}

fn encode(unique: u64, outcome: Outcome) -> Vec<u8> {
    let (error, body) = match outcome {
        Ok(body) => (0, body),
        Err(errno) => (-errno, Vec::new()),
    };
    let length = u32::try_from(16 + body.len()).unwrap();
    let header = OutHeader { length, error, unique };
    [header.as_bytes(), &body].concat()
}
