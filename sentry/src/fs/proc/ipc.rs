//! /proc/sysvipc: one line an object (sysvipc(7), proc_sysvipc(5)).

use alloc::{format, vec::Vec};

use super::Shown;
use crate::{
    fs::pseudo::Entry,
    ipc::{Ipc, Object, Permission},
    kernel::Credentials,
    memory::PAGE_SIZE,
};

/// The directory.
pub(super) const DIRECTORY: Entry<Shown> = Entry::directory(
    "sysvipc",
    &[
        Entry::seen_file("msg", |Shown(container), _, reader| Ok(messages(&container.ipc, reader))),
        Entry::seen_file("sem", |Shown(container), _, reader| {
            Ok(semaphores(&container.ipc, reader))
        }),
        Entry::seen_file("shm", |Shown(container), _, reader| Ok(segments(&container.ipc, reader))),
    ],
);

fn permission(object: &impl Object, reader: &Credentials) -> Permission {
    object.permission().lock().seen_by(reader)
}

fn messages(ipc: &Ipc, reader: &Credentials) -> Vec<u8> {
    let mut text = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      \
         stime      rtime      ctime\n"
        .as_bytes()
        .to_vec();
    for (id, queue) in ipc.messages.all() {
        let (p, n) = (permission(&*queue, reader), queue.numbers());
        let line = format!(
            "{:10} {id:10}  {:4o}  {:10} {:10} {:5} {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10}\n",
            p.key,
            p.mode,
            n.bytes,
            n.messages,
            n.sender,
            n.receiver,
            p.uid,
            p.gid,
            p.creator_uid,
            p.creator_gid,
            n.sent,
            n.received,
            n.changed,
        );
        text.extend(line.into_bytes());
    }
    text
}

fn semaphores(ipc: &Ipc, reader: &Credentials) -> Vec<u8> {
    let mut text =
        b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"
            .to_vec();
    for (id, set) in ipc.semaphores.all() {
        let (p, (operated, changed)) = (permission(&*set, reader), set.times());
        let line = format!(
            "{:10} {id:10}  {:4o} {:10} {:5} {:5} {:5} {:5} {operated:10} {changed:10}\n",
            p.key,
            p.mode,
            set.len(),
            p.uid,
            p.gid,
            p.creator_uid,
            p.creator_gid,
        );
        text.extend(line.into_bytes());
    }
    text
}

fn segments(ipc: &Ipc, reader: &Credentials) -> Vec<u8> {
    const DESTROYED: u32 = 0o1000;
    let mut text = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      \
         atime      dtime      ctime                   rss                  swap\n"
        .as_bytes()
        .to_vec();
    for (id, segment) in ipc.segments.all() {
        let (p, state) = (permission(&*segment, reader), segment.state());
        let mode = p.mode | if state.removed { DESTROYED } else { 0 };
        let resident = segment.resident_pages() * PAGE_SIZE as u64;
        let line = format!(
            "{:10} {id:10}  {mode:4o} {:21} {:5} {:5}  {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10} \
             {resident:21} {:21}\n",
            p.key,
            segment.size,
            state.creator,
            state.last_user,
            segment.attachments(),
            p.uid,
            p.gid,
            p.creator_uid,
            p.creator_gid,
            state.attached,
            state.detached,
            state.changed,
            0,
        );
        text.extend(line.into_bytes());
    }
    text
}
