//! POSIX message queues (mq_open(2) and its relatives).

use alloc::{sync::Arc, vec, vec::Vec};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::answer;
use crate::{
    errno::{Errno, Result},
    fs::mqueue::{
        Directory, HARD_MAX_MESSAGES, HARD_MAX_SIZE, Message, Notification, OpenQueue, Queue,
        default_bounds, own_mount,
    },
    kernel::{
        Capabilities, Current, Deadline, Interruption, PollEvents, Resource, Settings, WaitReason,
        settings, signal::Signal,
    },
    mm::UserAddress,
    syscalls::{FileDescriptor, SyscallResult, time::Timespec},
    vfs::{
        AccessMode, Caller, Dentry, NewInode, NewNode, OpenFile, OpenFlags, Path, WalkContext,
        lookup_child, operations,
    },
};

/// Priorities are below this (MQ_PRIO_MAX).
const PRIORITIES: u32 = 32768;
/// Longest name (NAME_MAX).
const NAME_ROOM: usize = 256;

/// `struct mq_attr`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct QueueAttributes {
    flags: i64,
    max_messages: i64,
    max_size: i64,
    messages: i64,
    reserved: [i64; 4],
}

impl QueueAttributes {
    /// The bounds of a new queue (mq_overview(7), "/proc interfaces").
    fn bounds(&self, settings: &Settings, privileged: bool) -> Result<(usize, usize)> {
        let bounded = |value: i64, soft: usize, hard: usize| {
            let most = if privileged { hard } else { soft };
            let value = usize::try_from(value).map_err(|_| Errno::EINVAL)?;
            if (1..=most).contains(&value) { Ok(value) } else { Err(Errno::EINVAL) }
        };
        let most_messages = settings.size(settings::POSIX_MESSAGES[1], 0);
        let messages = bounded(self.max_messages, most_messages, HARD_MAX_MESSAGES)?;
        let most_size = settings.size(settings::POSIX_MESSAGE_SIZE[1], 0);
        Ok((messages, bounded(self.max_size, most_size, HARD_MAX_SIZE)?))
    }
}

/// The name at `address`: one component, which the C library has taken the slash from.
async fn read_name(current: &Current, address: UserAddress) -> Result<Vec<u8>> {
    let name = current.mm.read_string(address, NAME_ROOM).await?.ok_or(Errno::ENAMETOOLONG)?;
    match &*name {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        name if name.contains(&b'/') => Err(Errno::EACCES),
        _ => Ok(name),
    }
}

/// mq_open(2).
///
/// # Errors
/// As mq_open(3).
pub async fn mq_open(
    current: &mut Current,
    name: UserAddress,
    flags: u32,
    mode: u32,
    attributes: UserAddress,
) -> SyscallResult {
    let name = read_name(current, name).await?;
    let flags = OpenFlags::from_bits_truncate(flags);
    let given: Option<QueueAttributes> = match attributes.is_null() {
        true => None,
        false if flags.contains(OpenFlags::CREATE) => Some(current.mm.read(attributes).await?),
        false => None,
    };
    let credentials = current.credentials();
    let root = current.fs.root();
    let context = WalkContext {
        caller: Caller {
            kernel: &current.kernel,
            task: Some(&current.task),
            credentials: &credentials,
        },
        root: &root,
        umask: current.fs.umask(),
    };
    let mount = own_mount(&current.kernel, &current.container().ipc);
    let directory = mount.root_path();
    let path = match lookup_child(&mount.root, &name).await {
        Ok(_) if flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) => {
            return Err(Errno::EEXIST);
        }
        Ok(dentry) => {
            let path = Path { mount: mount.clone(), dentry };
            let mut wanted = AccessMode::empty();
            wanted.set(AccessMode::READ, flags.readable());
            wanted.set(AccessMode::WRITE, flags.writable());
            operations::check_access(&context, &path, wanted).await?;
            path
        }
        Err(Errno::ENOENT) if flags.contains(OpenFlags::CREATE) => {
            let privileged = credentials.has(Capabilities::SYS_RESOURCE);
            let bounds = match &given {
                Some(given) => given.bounds(&current.kernel.settings, privileged)?,
                None => default_bounds(&current.kernel),
            };
            let permissions = (mode & 0o777) as u16 & !context.umask;
            let (uid, gid) = (credentials.fs_uid, credentials.fs_gid);
            let new = NewInode { node: NewNode::Regular, permissions, uid, gid };
            let limit = current.process().limit(Resource::MessageQueues).soft;
            let dentry = make(&directory, &name, &new, bounds, limit)?;
            Path { mount: mount.clone(), dentry }
        }
        Err(errno) => return Err(errno),
    };
    let kept = OpenFlags::WRITE_ONLY | OpenFlags::READ_WRITE | OpenFlags::NON_BLOCKING;
    let file = path.inode().clone().open(context.caller, flags).await?;
    let open = OpenFile::new(file, Some(path), flags & kept);
    let limit = current.process().limit(Resource::OpenFiles).soft;
    // mq_open(3): the descriptor is closed on exec, always.
    answer(current.files.install(open, true, limit)?)
}

fn make(
    directory: &Path,
    name: &[u8],
    new: &NewInode,
    bounds: (usize, usize),
    limit: u64,
) -> Result<Arc<Dentry>> {
    let inode: &dyn core::any::Any = &**directory.inode();
    let queues: &Directory = inode.downcast_ref().ok_or(Errno::EIO)?;
    let queue = queues.make(name, new, bounds, limit)?;
    Ok(directory.dentry.add(name, queue))
}

/// mq_unlink(2).
///
/// # Errors
/// As mq_unlink(3).
pub async fn mq_unlink(current: &mut Current, name: UserAddress) -> SyscallResult {
    let name = read_name(current, name).await?;
    let credentials = current.credentials();
    let directory = own_mount(&current.kernel, &current.container().ipc).root_path();
    let context = WalkContext {
        caller: Caller {
            kernel: &current.kernel,
            task: Some(&current.task),
            credentials: &credentials,
        },
        root: &directory,
        umask: 0,
    };
    operations::unlink(&context, &directory, &name).await?;
    Ok(0)
}

/// The open queue, if it is one.
fn open_queue(current: &Current, descriptor: FileDescriptor) -> Result<Arc<OpenFile>> {
    let open = current.files.get(descriptor)?;
    if open.downcast::<OpenQueue>().is_none() {
        return Err(Errno::EBADF);
    }
    Ok(open)
}

fn queue_of(open: &OpenFile) -> Result<&Queue> {
    open.downcast::<OpenQueue>().map(|open| &open.0.queue).ok_or(Errno::EBADF)
}

/// The time at `address`, which is one of CLOCK_REALTIME; none if it is NULL.
async fn deadline(current: &Current, address: UserAddress) -> Result<Option<Deadline>> {
    if address.is_null() {
        return Ok(None);
    }
    let time: Timespec = current.mm.read(address).await?;
    let platform = &current.kernel.platform;
    let rest = time.to_nanoseconds()?.saturating_sub(platform.realtime_nanoseconds());
    Ok(Some(Deadline(platform.monotonic_nanoseconds().saturating_add(rest))))
}

/// mq_timedsend(2).
///
/// # Errors
/// As mq_send(3).
pub async fn mq_timedsend(
    current: &mut Current,
    descriptor: FileDescriptor,
    message: UserAddress,
    length: usize,
    priority: u32,
    timeout: UserAddress,
) -> SyscallResult {
    if priority >= PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline(current, timeout).await?;
    let open = open_queue(current, descriptor)?;
    let queue = queue_of(&open)?;
    if !open.flags().writable() {
        return Err(Errno::EBADF);
    }
    if length > queue.max_size {
        return Err(Errno::EMSGSIZE);
    }
    let mut bytes = vec![0; length];
    current.mm.copy_in(message, &mut bytes).await?;
    let message = Message { priority, bytes };
    let sender = (current.process().pid(), current.credentials().uid);
    let attempt = || queue.try_send(&message, sender).transpose();
    if open.flags().contains(OpenFlags::NON_BLOCKING) {
        return attempt().unwrap_or(Err(Errno::EAGAIN)).map(|()| 0);
    }
    let sent = queue.changed.wait_until(PollEvents::OUT, attempt);
    current.wait(WaitReason::Ipc, deadline, sent).await.map_err(interrupted)??;
    Ok(0)
}

/// A wait for a queue that was ended: restarted after a signal unless its handler says otherwise
/// (signal(7)).
fn interrupted(why: Interruption) -> Errno {
    match why {
        Interruption::Signal => Errno::ERESTARTSYS,
        Interruption::TimedOut => Errno::ETIMEDOUT,
    }
}

/// Counts a receiver for as long as it waits.
struct Receiving<'a>(&'a Queue);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.note_receiver(false);
    }
}

/// mq_timedreceive(2).
///
/// # Errors
/// As mq_receive(3).
pub async fn mq_timedreceive(
    current: &mut Current,
    descriptor: FileDescriptor,
    message: UserAddress,
    length: usize,
    priority: UserAddress,
    timeout: UserAddress,
) -> SyscallResult {
    let deadline = deadline(current, timeout).await?;
    let open = open_queue(current, descriptor)?;
    let queue = queue_of(&open)?;
    if !open.flags().readable() {
        return Err(Errno::EBADF);
    }
    if length < queue.max_size {
        return Err(Errno::EMSGSIZE);
    }
    let received = match queue.try_receive() {
        Some(received) => received,
        None if open.flags().contains(OpenFlags::NON_BLOCKING) => return Err(Errno::EAGAIN),
        None => {
            queue.note_receiver(true);
            let _receiving = Receiving(queue);
            let arrived = queue.changed.wait_until(PollEvents::IN, || queue.try_receive());
            current.wait(WaitReason::Ipc, deadline, arrived).await.map_err(interrupted)?
        }
    };
    current.mm.copy_out(message, &received.bytes).await?;
    if !priority.is_null() {
        current.mm.write(priority, &received.priority).await?;
    }
    Ok(received.bytes.len() as u64)
}

/// mq_notify(2).
///
/// # Errors
/// As mq_notify(3); EINVAL for SIGEV_THREAD, which the C library builds from sockets of netlink.
pub async fn mq_notify(
    current: &mut Current,
    descriptor: FileDescriptor,
    event: UserAddress,
) -> SyscallResult {
    const SIGEV_SIGNAL: i32 = 0;
    const SIGEV_NONE: i32 = 1;
    let notification = if event.is_null() {
        None
    } else {
        // struct sigevent: value, signal, kind of notification.
        let value: u64 = current.mm.read(event).await?;
        let [signal, kind]: [i32; 2] = current.mm.read(event.offset(8)?).await?;
        Some(match kind {
            SIGEV_SIGNAL => Notification::Signal(Signal::from_number(signal)?, value),
            SIGEV_NONE => Notification::None,
            _ => return Err(Errno::EINVAL),
        })
    };
    let open = open_queue(current, descriptor)?;
    let queue = queue_of(&open)?;
    match notification {
        Some(notification) => queue.register(current.process(), notification)?,
        None => queue.unregister(current.process()),
    }
    Ok(0)
}

/// mq_getsetattr(2).
///
/// # Errors
/// As mq_getattr(3).
pub async fn mq_getsetattr(
    current: &mut Current,
    descriptor: FileDescriptor,
    new: UserAddress,
    old: UserAddress,
) -> SyscallResult {
    let non_blocking = i64::from(OpenFlags::NON_BLOCKING.bits());
    let new: Option<QueueAttributes> =
        if new.is_null() { None } else { Some(current.mm.read(new).await?) };
    if new.is_some_and(|new| new.flags & !non_blocking != 0) {
        return Err(Errno::EINVAL);
    }
    let open = open_queue(current, descriptor)?;
    let queue = queue_of(&open)?;
    let flags = open.flags();
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let before = QueueAttributes {
        flags: i64::from((flags & OpenFlags::NON_BLOCKING).bits()),
        max_messages: number(queue.max_messages),
        max_size: number(queue.max_size),
        messages: number(queue.len()),
        reserved: [0; 4],
    };
    if let Some(new) = new {
        let mut changed = flags;
        changed.set(OpenFlags::NON_BLOCKING, new.flags & non_blocking != 0);
        open.set_status_flags(changed);
    }
    if !old.is_null() {
        current.mm.write(old, &before).await?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_depend_on_privilege() {
        let wish = |max_messages, max_size| QueueAttributes {
            max_messages,
            max_size,
            ..QueueAttributes::default()
        };
        assert_eq!(wish(10, 8192).bounds(&Settings::default(), false), Ok((10, 8192)));
        assert_eq!(wish(11, 8192).bounds(&Settings::default(), false), Err(Errno::EINVAL));
        assert_eq!(wish(11, 8193).bounds(&Settings::default(), true), Ok((11, 8193)));
        assert_eq!(wish(0, 1).bounds(&Settings::default(), true), Err(Errno::EINVAL));
        assert_eq!(wish(1, -1).bounds(&Settings::default(), true), Err(Errno::EINVAL));
        assert_eq!(size_of::<QueueAttributes>(), 64);
    }
}
