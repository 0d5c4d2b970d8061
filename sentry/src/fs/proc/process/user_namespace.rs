//! uid_map, gid_map and setgroups: the maps of the user namespace of a process (user_namespaces(7)).

use alloc::{sync::Arc, vec::Vec};

use super::ProcessSubject;
use crate::{
    errno::{Errno, Result},
    fs::pseudo::Entry,
    kernel::{Credentials, IdKind, Kernel, UserNamespace},
};

pub(super) const USERS: Entry<ProcessSubject> = Entry::seen_writable(
    "uid_map",
    |subject, kernel, reader| lines(subject, kernel, reader, IdKind::User),
    |subject, _, writer, text| made(subject)?.set_map(IdKind::User, writer, text),
);

pub(super) const GROUPS: Entry<ProcessSubject> = Entry::seen_writable(
    "gid_map",
    |subject, kernel, reader| lines(subject, kernel, reader, IdKind::Group),
    |subject, _, writer, text| made(subject)?.set_map(IdKind::Group, writer, text),
);

pub(super) const SETGROUPS: Entry<ProcessSubject> = Entry::writable(
    "setgroups",
    |subject, _| {
        let word = of(subject)?.map_or("allow\n", |namespace| namespace.setgroups_word());
        Ok(word.into())
    },
    |subject, _, writer, text| made(subject)?.set_setgroups(writer, text),
);

/// A map as `reader` sees it.
fn lines(
    subject: &ProcessSubject,
    kernel: &Kernel,
    reader: &Credentials,
    kind: IdKind,
) -> Result<Vec<u8>> {
    Ok(match (of(subject)?, kind) {
        (Some(namespace), _) => namespace.lines(kind, reader),
        (None, IdKind::User) => kernel.ids.users().lines().into_bytes(),
        (None, IdKind::Group) => kernel.ids.groups().lines().into_bytes(),
    })
}

/// The namespace of the process, unless that is the container's own.
fn of(subject: &ProcessSubject) -> Result<Option<Arc<UserNamespace>>> {
    Ok(subject.task()?.credentials().user_namespace.clone())
}

/// The same for a write: the container's own has its maps already.
fn made(subject: &ProcessSubject) -> Result<Arc<UserNamespace>> {
    of(subject)?.ok_or(Errno::EPERM)
}
