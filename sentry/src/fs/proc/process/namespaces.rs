//! ns: the namespaces of a process (namespaces(7)).

use alloc::vec::Vec;

use super::ProcessSubject;
use crate::{
    errno::Result,
    fs::{
        namespace::{NamespaceFile, NamespaceKind},
        pseudo::Entry,
    },
    vfs::{Caller, OpenFile, OpenFlags, Path, place_of_open_file},
};

macro_rules! links {
    ($($name:literal $kind:ident,)*) => {
        &[$(
            Entry::<ProcessSubject>::magic_link(
                $name,
                |_, _| Ok(target(NamespaceKind::$kind)),
                |_, caller| follow(NamespaceKind::$kind, caller),
            )
            .private(),
        )*]
    };
}

/// The directory.
pub(super) const DIRECTORY: Entry<ProcessSubject> = Entry::<ProcessSubject>::directory(
    "ns",
    links! {
        "cgroup" CGROUP,
        "ipc" IPC,
        "mnt" MOUNT,
        "net" NET,
        "pid" PID,
        "pid_for_children" PID,
        "time" TIME,
        "time_for_children" TIME,
        "user" USER,
        "uts" UTS,
    },
)
.with_permissions(0o511);

fn target(kind: NamespaceKind) -> Vec<u8> {
    kind.link().into_bytes()
}

fn follow(kind: NamespaceKind, caller: Caller<'_>) -> Result<Path> {
    let open = OpenFile::new(NamespaceFile::new(kind), None, OpenFlags::empty());
    Ok(place_of_open_file(caller.kernel, &open))
}
