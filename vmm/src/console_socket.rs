//! A container's terminal when another process shows it: a pseudo-terminal whose master end goes
//! through a socket that the caller names (`--console-socket` of runc).

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::retry_on_intr,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};

use crate::error::{Failure, Result};

/// Makes a terminal of `size` (rows and columns), sends its master end to the socket at `path` and
/// returns the other. That is raw: the sentry has a line discipline of its own.
///
/// # Errors
/// If nobody listens on the socket, or there are no more terminals.
pub fn offer_terminal(path: &Path, size: Option<(u16, u16)>) -> Result<OwnedFd> {
    let failed = |error: io::Error| {
        Failure::new(
            format_args!("cannot set up the terminal on {}: {error}", path.display()),
            "name a unix socket that somebody listens on with --console-socket",
        )
    };
    let socket = UnixStream::connect(path).map_err(failed)?;
    let (master, slave, name) = make_terminal(size).map_err(failed)?;
    send(&socket, &name, &master).map_err(failed)?;
    Ok(slave)
}

fn make_terminal(size: Option<(u16, u16)>) -> io::Result<(OwnedFd, OwnedFd, Vec<u8>)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = open(&name, flags, Mode::empty())?;
    let mut settings = tcgetattr(&slave)?;
    settings.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &settings)?;
    if let Some((ws_row, ws_col)) = size {
        tcsetwinsize(&slave, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })?;
    }
    Ok((master, slave, name.into_bytes()))
}

/// One message: the terminal's name, and its descriptor.
fn send(socket: &UnixStream, name: &[u8], master: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let parts = [IoSlice::new(name)];
    retry_on_intr(|| sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}
