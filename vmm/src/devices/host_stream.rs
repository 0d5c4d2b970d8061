//! One of the host's standard streams, read or written without ever blocking.
//!
//! The descriptors were made by somebody else and their file descriptions are shared with other
//! processes, so O_NONBLOCK must not be set on them (fcntl(2), F_SETFL). A pipe or terminal is
//! instead opened a second time, as a description of our own; a socket has per-call flags; for the
//! rest poll(2) is asked first.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags, fcntl_getfl, fstat, open},
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the host to the container.
    Input,
    /// From the container to the host.
    Output,
}

/// Bytes that a pipe takes without blocking whenever poll(2) says it is writable (pipe(7),
/// PIPE_BUF).
const ATOMIC_PIPE_WRITE: usize = 4096;

/// How not to block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// Reading and writing never wait for anybody: a file, or a description with O_NONBLOCK.
    Direct,
    /// MSG_DONTWAIT.
    Socket,
    /// Ask poll(2) first, and move little.
    PollFirst,
}

/// A stream of the host.
#[derive(Debug)]
pub struct HostStream {
    descriptor: OwnedFd,
    direction: Direction,
    method: Method,
}

impl HostStream {
    /// The stream behind `descriptor`, which stays open and as it is.
    ///
    /// # Errors
    /// Those of fstat(2) and dup(2).
    pub fn open(descriptor: BorrowedFd<'_>, direction: Direction) -> io::Result<Self> {
        Self::of_own(own_description(descriptor, direction)?, direction)
    }

    /// The stream behind `descriptor`, one of [`own_descriptions`], made in whatever process.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn of_own(descriptor: OwnedFd, direction: Direction) -> io::Result<Self> {
        let method = match FileType::from_raw_mode(fstat(&descriptor)?.st_mode) {
            FileType::RegularFile | FileType::BlockDevice | FileType::Directory => Method::Direct,
            FileType::Socket => Method::Socket,
            FileType::Fifo | FileType::CharacterDevice if is_own(&descriptor)? => Method::Direct,
            _ => Method::PollFirst,
        };
        Ok(Self { descriptor, direction, method })
    }

    /// Reads into `buffer`: 0 is end of file.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] if there is nothing yet; else those of read(2).
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self.method {
            Method::Direct => rustix::io::read(&self.descriptor, buffer),
            Method::Socket => {
                recv(&self.descriptor, buffer, RecvFlags::DONTWAIT).map(|(count, _)| count)
            }
            Method::PollFirst => {
                self.check_ready(PollFlags::IN)?;
                rustix::io::read(&self.descriptor, buffer)
            }
        }
    }

    /// Writes a part of `bytes` (not empty).
    ///
    /// # Errors
    /// [`Errno::AGAIN`] if nothing fits now; else those of write(2).
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self.method {
            Method::Direct => rustix::io::write(&self.descriptor, bytes),
            Method::Socket => {
                send(&self.descriptor, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            }
            Method::PollFirst => {
                self.check_ready(PollFlags::OUT)?;
                let length = bytes.len().min(ATOMIC_PIPE_WRITE);
                rustix::io::write(&self.descriptor, bytes.get(..length).unwrap_or(bytes))
            }
        }
    }

    /// Which way the bytes go.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    fn check_ready(&self, flags: PollFlags) -> Result<(), Errno> {
        let mut polled = [PollFd::new(&self.descriptor, flags)];
        let ready = poll(&mut polled, Some(&Timespec::default()))?;
        if ready == 0 { Err(Errno::AGAIN) } else { Ok(()) }
    }
}

impl AsRawFd for HostStream {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_fd().as_raw_fd()
    }
}

/// A description of their own for each of a process's standard streams, for somebody in a jail.
///
/// # Errors
/// Those of fstat(2) and dup(2).
pub fn own_descriptions([input, output, error]: &[OwnedFd; 3]) -> io::Result<[OwnedFd; 3]> {
    Ok([
        own_description(input.as_fd(), Direction::Input)?,
        own_description(output.as_fd(), Direction::Output)?,
        own_description(error.as_fd(), Direction::Output)?,
    ])
}

/// A pipe or terminal opened a second time, non-blocking, so that nobody else has the description.
/// Everything else, and what the caller may not open (a pipe of another user, or one that nobody
/// reads), is only duplicated. It takes /proc, so it is done outside the jail.
///
/// # Errors
/// Those of fstat(2) and dup(2).
fn own_description(descriptor: BorrowedFd<'_>, direction: Direction) -> io::Result<OwnedFd> {
    let kind = FileType::from_raw_mode(fstat(descriptor)?.st_mode);
    let reopened = match kind {
        FileType::Fifo | FileType::CharacterDevice => reopen(descriptor, direction).ok(),
        _ => None,
    };
    reopened.map_or_else(|| descriptor.try_clone_to_owned(), Ok)
}

/// Whether it was opened by [`own_description`]. Somebody who shares a non-blocking description of
/// his own could make it block again: that is his container's output.
fn is_own(descriptor: &OwnedFd) -> io::Result<bool> {
    Ok(fcntl_getfl(descriptor)?.contains(OFlags::NONBLOCK))
}

fn reopen(descriptor: BorrowedFd<'_>, direction: Direction) -> Result<OwnedFd, Errno> {
    let access = match direction {
        Direction::Input => OFlags::RDONLY,
        Direction::Output => OFlags::WRONLY,
    };
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    open(path, access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::{
        net::{AddressFamily, SocketFlags, SocketType, socketpair},
        pipe::pipe,
    };

    use super::*;

    #[test]
    fn a_full_pipe_refuses_and_its_description_stays_blocking() {
        let (read_end, write_end) = pipe().unwrap();
        let stream = HostStream::open(write_end.as_fd(), Direction::Output).unwrap();
        let bytes = [7; 8192];
        let written: usize = std::iter::from_fn(|| stream.write(&bytes).ok()).sum();
        assert!(written >= 8192);
        assert_eq!(stream.write(&bytes), Err(Errno::AGAIN));
        let flags = fcntl_getfl(&write_end).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK));
        drop(read_end);
        assert_eq!(stream.write(&bytes), Err(Errno::PIPE));
    }

    #[test]
    fn an_empty_pipe_refuses_and_a_closed_one_ends() {
        let (read_end, write_end) = pipe().unwrap();
        let stream = HostStream::open(read_end.as_fd(), Direction::Input).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(stream.read(&mut buffer), Err(Errno::AGAIN));
        rustix::io::write(&write_end, b"abc").unwrap();
        assert_eq!(stream.read(&mut buffer), Ok(3));
        drop(write_end);
        assert_eq!(stream.read(&mut buffer), Ok(0));
    }

    #[test]
    fn sockets_and_files_work_too() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)
                .unwrap();
        let input = HostStream::open(ours.as_fd(), Direction::Input).unwrap();
        let output = HostStream::open(theirs.as_fd(), Direction::Output).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(input.read(&mut buffer), Err(Errno::AGAIN));
        assert_eq!(output.write(b"socket"), Ok(6));
        assert_eq!(input.read(&mut buffer), Ok(6));

        let null = File::open("/dev/null").unwrap();
        let input = HostStream::open(null.as_fd(), Direction::Input).unwrap();
        assert_eq!(input.read(&mut buffer), Ok(0));
    }

    #[test]
    fn without_a_second_description_poll_is_asked_first() {
        let (read_end, write_end) = pipe().unwrap();
        let descriptor = write_end.as_fd().try_clone_to_owned().unwrap();
        let stream =
            HostStream { descriptor, direction: Direction::Output, method: Method::PollFirst };
        let bytes = [7; 65536];
        assert_eq!(stream.write(&bytes), Ok(ATOMIC_PIPE_WRITE));
        while stream.write(&bytes).is_ok() {}
        assert_eq!(stream.write(&bytes), Err(Errno::AGAIN));
        drop(read_end);
    }
}
