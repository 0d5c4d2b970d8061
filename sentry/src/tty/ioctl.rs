//! ioctl_tty(2).

use alloc::format;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Master, Terminal, Termios, Termios2, WindowSize};
use crate::{
    errno::{Errno, Result},
    kernel::{
        Current, Resource, WaitReason,
        signal::{Signal, SignalInfo},
    },
    mm::UserAddress,
    vfs::{Caller, OpenFile, OpenFlags, WalkContext, WalkFlags, operations, walk},
};

/// Commands (`<asm-generic/ioctls.h>`).
#[allow(missing_docs, reason = "the names are those of ioctl_tty(2)")]
mod command {
    pub const TCGETS: u32 = 0x5401;
    pub const TCSETS: u32 = 0x5402;
    pub const TCSETSW: u32 = 0x5403;
    pub const TCSETSF: u32 = 0x5404;
    pub const TCSBRK: u32 = 0x5409;
    pub const TCXONC: u32 = 0x540a;
    pub const TCFLSH: u32 = 0x540b;
    pub const TIOCSCTTY: u32 = 0x540e;
    pub const TIOCGPGRP: u32 = 0x540f;
    pub const TIOCSPGRP: u32 = 0x5410;
    pub const TIOCOUTQ: u32 = 0x5411;
    pub const TIOCGWINSZ: u32 = 0x5413;
    pub const TIOCSWINSZ: u32 = 0x5414;
    pub const FIONREAD: u32 = 0x541b;
    pub const TIOCNOTTY: u32 = 0x5422;
    pub const TIOCSETD: u32 = 0x5423;
    pub const TIOCGETD: u32 = 0x5424;
    pub const TCSBRKP: u32 = 0x5425;
    pub const TIOCGSID: u32 = 0x5429;
    pub const TCGETS2: u32 = 0x802c_542a;
    pub const TCSETS2: u32 = 0x402c_542b;
    pub const TCSETSW2: u32 = 0x402c_542c;
    pub const TCSETSF2: u32 = 0x402c_542d;
    pub const TIOCGPTN: u32 = 0x8004_5430;
    pub const TIOCSPTLCK: u32 = 0x4004_5431;
    pub const TIOCGDEV: u32 = 0x8004_5432;
    pub const TIOCSIG: u32 = 0x4004_5436;
    pub const TIOCGPTLCK: u32 = 0x8004_5439;
    pub const TIOCGPTPEER: u32 = 0x5441;
}

/// Speed that a line without a real one reports, in bits a second.
const SPEED: u32 = 38_400;

/// When a change of settings takes effect (tcsetattr(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Now,
    /// After output was sent.
    Drained,
    /// After output was sent; unread input is dropped.
    Flushed,
}

/// Commands of the task side.
///
/// # Errors
/// ENOTTY for an unknown one; as ioctl_tty(2).
pub(super) async fn terminal(
    terminal: &Terminal,
    current: &mut Current,
    command: u32,
    argument: u64,
) -> Result<u64> {
    use command::{
        FIONREAD, TCFLSH, TCSBRK, TCSBRKP, TCXONC, TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCOUTQ,
        TIOCSCTTY, TIOCSPGRP,
    };
    let user = UserAddress(argument);
    match command {
        TCSBRK | TCSBRKP => {
            terminal.check_foreground(current, Signal::TTOU)?;
            drain(terminal, current).await?;
        }
        TCXONC => {
            terminal.check_foreground(current, Signal::TTOU)?;
            flow(terminal, argument)?;
        }
        TCFLSH => {
            terminal.check_foreground(current, Signal::TTOU)?;
            flush(terminal, argument)?;
        }
        TIOCSCTTY => terminal.become_controlling(&current.task, argument == 1)?,
        TIOCNOTTY => terminal.give_up(current.process())?,
        TIOCGPGRP | TIOCGSID if !terminal.controls(current.process()) => {
            return Err(Errno::ENOTTY);
        }
        TIOCSPGRP => {
            let group = current.mm.read(user).await?;
            terminal.set_foreground(current, group)?;
        }
        FIONREAD => put_number(current, user, terminal.waiting_input()).await?,
        TIOCOUTQ => put_number(current, user, terminal.waiting_output()).await?,
        _ => return common(terminal, current, command, argument).await,
    }
    Ok(0)
}

/// Commands of the master.
///
/// # Errors
/// ENOTTY for an unknown one; as ioctl_tty(2).
pub(super) async fn master(
    master: &Master,
    current: &mut Current,
    command: u32,
    argument: u64,
) -> Result<u64> {
    use command::{
        FIONREAD, TCFLSH, TIOCGPTLCK, TIOCGPTN, TIOCGPTPEER, TIOCOUTQ, TIOCSIG, TIOCSPTLCK,
    };
    let user = UserAddress(argument);
    let terminal = master.terminal();
    match command {
        TIOCGPTN => current.mm.write(user, &master.number()).await?,
        TIOCSPTLCK => {
            let lock: i32 = current.mm.read(user).await?;
            master.set_locked(lock != 0);
        }
        TIOCGPTLCK => current.mm.write(user, &i32::from(master.is_locked())).await?,
        TIOCGPTPEER => return open_peer(master, current, argument).await,
        TIOCSIG => {
            let signal = i32::try_from(argument).map_err(|_| Errno::EINVAL)?;
            let info = SignalInfo::kernel(Signal::from_number(signal)?);
            terminal.foreground().map(|group| group.send(info));
        }
        TCFLSH => flush(terminal, argument)?,
        // What one side has written the other can read.
        FIONREAD => put_number(current, user, terminal.waiting_output()).await?,
        TIOCOUTQ => put_number(current, user, terminal.waiting_input()).await?,
        _ => return common(terminal, current, command, argument).await,
    }
    Ok(0)
}

/// Opens the slave without its name, which may lead elsewhere or nowhere for the caller
/// (TIOCGPTPEER).
async fn open_peer(master: &Master, current: &Current, flags: u64) -> Result<u64> {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let flags = OpenFlags::from_bits_truncate(flags);
    let credentials = current.credentials();
    let caller =
        Caller { kernel: &current.kernel, task: Some(&current.task), credentials: &credentials };
    let file = current.container().terminals.ptys.open_slave(master.number(), caller, flags)?;
    let root = current.fs.root();
    let context = WalkContext { caller, root: &root, umask: 0 };
    let name = format!("/dev/pts/{}", master.number());
    // It only shows in /proc/PID/fd, so a container without devpts does without.
    let path = walk(&context, &root, name.as_bytes(), WalkFlags::FOLLOW).await.ok();
    let open = OpenFile::new(file, path, operations::status_flags(flags));
    let limit = current.process().limit(Resource::OpenFiles).soft;
    let close_on_exec = flags.contains(OpenFlags::CLOSE_ON_EXEC);
    let descriptor = current.files.install(open, close_on_exec, limit)?;
    Ok(u64::from(descriptor.0.unsigned_abs()))
}

/// Commands that mean the same on either side.
async fn common(
    terminal: &Terminal,
    current: &Current,
    command: u32,
    argument: u64,
) -> Result<u64> {
    use command::{
        TCGETS, TCGETS2, TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW, TCSETSW2, TIOCGDEV, TIOCGETD,
        TIOCGPGRP, TIOCGSID, TIOCGWINSZ, TIOCSETD, TIOCSWINSZ,
    };
    let user = UserAddress(argument);
    match command {
        TCGETS => put(current, user, &terminal.termios()).await?,
        TCGETS2 => {
            let termios = terminal.termios();
            let extended = Termios2 { termios, input_speed: SPEED, output_speed: SPEED };
            put(current, user, &extended).await?;
        }
        TCSETS => set::<Termios>(terminal, current, user, When::Now).await?,
        TCSETSW => set::<Termios>(terminal, current, user, When::Drained).await?,
        TCSETSF => set::<Termios>(terminal, current, user, When::Flushed).await?,
        TCSETS2 => set::<Termios2>(terminal, current, user, When::Now).await?,
        TCSETSW2 => set::<Termios2>(terminal, current, user, When::Drained).await?,
        TCSETSF2 => set::<Termios2>(terminal, current, user, When::Flushed).await?,
        TIOCGWINSZ => put(current, user, &terminal.window()).await?,
        TIOCSWINSZ => {
            let window: WindowSize = current.mm.read(user).await?;
            terminal.resize(window);
        }
        TIOCGPGRP => {
            let group = terminal.foreground().map_or(0, |group| group.id());
            put(current, user, &group).await?;
        }
        TIOCGSID => {
            let session = terminal.session().ok_or(Errno::ENOTTY)?;
            put(current, user, &session.id()).await?;
        }
        TIOCGDEV => {
            // As `new_encode_dev` of Linux: the user encoding in 32 bits.
            let device =
                u32::try_from(terminal.device().to_user()).map_err(|_| Errno::EOVERFLOW)?;
            put(current, user, &device).await?;
        }
        TIOCGETD => put(current, user, &0_i32).await?,
        TIOCSETD => {
            let discipline: i32 = current.mm.read(user).await?;
            if discipline != 0 {
                return Err(Errno::EINVAL);
            }
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

async fn put<T>(current: &Current, user: UserAddress, value: &T) -> Result<()>
where
    T: IntoBytes + Immutable + Sync,
{
    current.mm.write(user, value).await
}

async fn put_number(current: &Current, user: UserAddress, value: usize) -> Result<()> {
    put(current, user, &i32::try_from(value).unwrap_or(i32::MAX)).await
}

impl From<Termios2> for Termios {
    fn from(extended: Termios2) -> Self {
        extended.termios
    }
}

/// Changes the settings to those at `user`.
async fn set<T>(terminal: &Terminal, current: &Current, user: UserAddress, when: When) -> Result<()>
where
    T: FromBytes + Into<Termios>,
{
    terminal.check_foreground(current, Signal::TTOU)?;
    let termios: Termios = current.mm.read::<T>(user).await?.into();
    if when != When::Now {
        drain(terminal, current).await?;
    }
    if when == When::Flushed {
        terminal.flush(true, false);
    }
    terminal.set_termios(termios);
    Ok(())
}

async fn drain(terminal: &Terminal, current: &Current) -> Result<()> {
    let drained = current.wait(WaitReason::Stream, None, terminal.drained()).await;
    drained.map_err(|_| Errno::ERESTARTSYS)
}

/// tcflow(3). Nobody sends faster than a virtual line takes, so input needs no stopping.
fn flow(terminal: &Terminal, action: u64) -> Result<()> {
    match action {
        0 => terminal.set_stopped(true),
        1 => terminal.set_stopped(false),
        2 | 3 => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// tcflush(3).
fn flush(terminal: &Terminal, queue: u64) -> Result<()> {
    match queue {
        0 => terminal.flush(true, false),
        1 => terminal.flush(false, true),
        2 => terminal.flush(true, true),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
