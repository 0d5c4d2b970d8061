use alloc::{sync::Arc, vec::Vec};

use super::*;
use crate::{
    errno::Errno,
    fs::testing::{Bytes, Sink, kernel, poll_once},
    io::{TryError, TryResult},
    kernel::{Credentials, Kernel, PollEvents},
    platform::mock::MockPlatform,
    vfs::{Caller, File, OpenFlags, WritePosition},
};

struct Fixture {
    kernel: Arc<Kernel>,
    platform: Arc<MockPlatform>,
    master: Arc<Master>,
    slave: Arc<dyn File>,
}

impl Fixture {
    fn new() -> Self {
        let (kernel, platform) = kernel();
        let credentials = Credentials::kernel();
        let caller = Caller { kernel: &kernel, task: None, credentials: &credentials };
        let master = kernel.containers.sandbox.terminals.ptys.open_master(caller).unwrap();
        let slave = |flags| {
            kernel.containers.sandbox.terminals.ptys.open_slave(master.number(), caller, flags)
        };
        assert_eq!(slave(OpenFlags::READ_WRITE).err(), Some(Errno::EIO));
        master.set_locked(false);
        let slave = slave(OpenFlags::READ_WRITE).unwrap();
        Self { kernel, platform, master, slave }
    }

    fn terminal(&self) -> &Arc<Terminal> {
        self.master.terminal()
    }
}

fn read(file: &dyn File, room: usize) -> TryResult<Vec<u8>> {
    let mut sink = Sink::new(room);
    file.try_read(0, &mut sink)?;
    Ok(sink.bytes)
}

fn write(file: &dyn File, bytes: &[u8]) -> TryResult<usize> {
    file.try_write(WritePosition::At(0), &mut Bytes::new(bytes)).map(|written| written.count)
}

#[test]
fn both_ends_talk() {
    let fixture = Fixture::new();
    assert_eq!(write(&*fixture.master, b"date\r"), Ok(5));
    assert_eq!(read(&*fixture.slave, 100).unwrap(), b"date\n");
    assert_eq!(read(&*fixture.slave, 100), Err(TryError::WouldBlock));
    assert_eq!(write(&*fixture.slave, b"today\n"), Ok(6));
    assert_eq!(read(&*fixture.master, 100).unwrap(), b"date\r\ntoday\r\n");
}

#[test]
fn a_full_output_blocks_and_drains() {
    let fixture = Fixture::new();
    let mut written = 0;
    while let Ok(count) = write(&*fixture.slave, &[b'x'; 1000]) {
        written += count;
    }
    assert!(written > 1000);
    assert!(!fixture.slave.poll().contains(PollEvents::OUT));
    assert!(poll_once(fixture.terminal().drained()).is_none());
    assert_eq!(read(&*fixture.master, 1 << 20).unwrap().len(), written);
    assert!(poll_once(fixture.terminal().drained()).is_some());
    assert!(fixture.slave.poll().contains(PollEvents::OUT));
}

#[test]
fn closing_either_end_hangs_up_the_other() {
    let fixture = Fixture::new();
    let Fixture { master, slave, kernel, .. } = fixture;
    let terminal = master.terminal().clone();
    write(&*slave, b"bye").unwrap();
    drop(slave);
    assert_eq!(read(&*master, 10).unwrap(), b"bye");
    assert_eq!(read(&*master, 10), Err(Errno::EIO.into()));
    assert!(master.poll().contains(PollEvents::HANG_UP));
    drop(master);
    assert!(terminal.is_hung_up());
    assert!(kernel.containers.sandbox.terminals.ptys.numbers().is_empty());
}

#[test]
fn a_hung_up_slave_reads_end_of_file_and_cannot_write() {
    let fixture = Fixture::new();
    let Fixture { master, slave, .. } = fixture;
    drop(master);
    assert_eq!(read(&*slave, 10).unwrap(), b"");
    assert_eq!(write(&*slave, b"x"), Err(Errno::EIO.into()));
    assert!(slave.poll().contains(PollEvents::HANG_UP));
}

fn raw(minimum: u8, tenths: u8) -> Termios {
    Termios::default()
        .with_local(LocalFlags::empty())
        .with_character(Control::Minimum, minimum)
        .with_character(Control::Time, tenths)
}

#[test]
fn raw_reads_wait_for_the_minimum() {
    let fixture = Fixture::new();
    fixture.terminal().set_termios(raw(3, 0));
    write(&*fixture.master, b"ab").unwrap();
    assert_eq!(read(&*fixture.slave, 10), Err(TryError::WouldBlock));
    assert_eq!(read(&*fixture.slave, 2).unwrap(), b"ab");
    fixture.terminal().set_termios(raw(0, 0));
    assert_eq!(read(&*fixture.slave, 2).unwrap(), b"");
}

#[test]
fn raw_reads_time_out() {
    let fixture = Fixture::new();
    fixture.terminal().set_termios(raw(0, 2));
    assert_eq!(read(&*fixture.slave, 10), Err(TryError::WouldBlock));
    fixture.platform.advance(199_999_999);
    fixture.kernel.timers.expire(199_999_999);
    assert_eq!(read(&*fixture.slave, 10), Err(TryError::WouldBlock));
    fixture.kernel.timers.expire(200_000_000);
    assert_eq!(read(&*fixture.slave, 10).unwrap(), b"");
    assert_eq!(read(&*fixture.slave, 10), Err(TryError::WouldBlock));
    write(&*fixture.master, b"k").unwrap();
    assert_eq!(read(&*fixture.slave, 10).unwrap(), b"k");
    assert_eq!(fixture.kernel.timers.next_deadline(), None);
}
