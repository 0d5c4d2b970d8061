//! ns: the namespaces of a process (namespaces(7)).

use alloc::sync::Arc;

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
                |subject, _| Ok(file(NamespaceKind::$kind, subject).link().into_bytes()),
                |subject, caller| follow(NamespaceKind::$kind, subject, caller),
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

fn file(kind: NamespaceKind, subject: &ProcessSubject) -> NamespaceFile {
    let user = subject.task.as_ref().filter(|_| kind == NamespaceKind::USER);
    NamespaceFile { kind, user: user.and_then(|task| task.credentials().user_namespace.clone()) }
}

fn follow(kind: NamespaceKind, subject: &ProcessSubject, caller: Caller<'_>) -> Result<Path> {
    let open = OpenFile::new(Arc::new(file(kind, subject)), None, OpenFlags::empty());
    Ok(place_of_open_file(caller.kernel, &open))
}
