//! The FUSE request parser: any bytes must parse or be refused, and no parsed name may lead out of
//! its directory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbox_vmm::gofer::server::request::{Name, Operation};

fuzz_target!(|data: &[u8]| {
    let Some((opcode, body)) = data.split_first() else { return };
    let names: Vec<Name<'_>> = match Operation::parse(u32::from(*opcode), body) {
        Ok(
            Operation::Lookup(name)
            | Operation::Unlink(name)
            | Operation::Rmdir(name)
            | Operation::Symlink { name, .. }
            | Operation::Mknod(_, name)
            | Operation::Mkdir(_, name)
            | Operation::Link(_, name)
            | Operation::Create(_, name),
        ) => vec![name],
        Ok(Operation::Rename { old, new, .. }) => vec![old, new],
        _ => Vec::new(),
    };
    for name in names {
        let bytes = name.as_c_str().to_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 255);
        assert!(!bytes.contains(&b'/') && bytes != b"." && bytes != b"..");
    }
});
