//! Tests of the standard streams.

use guest_abi::{console::ConsoleQueue, device::DeviceKind};

use super::*;
use crate::{
    drivers::testing::{DeviceQueue, TestMachine, block_on, poll_once},
    errno::Errno,
    kernel::PollEvents,
    vfs::{File, FileKind, OpenFlags},
};

struct Rig {
    console: Arc<Console>,
    input: DeviceQueue,
    output: DeviceQueue,
}

fn rig() -> Rig {
    let machine = TestMachine::with_device(DeviceKind::Console, 16, 1 << 18);
    Rig {
        console: Console::new(&machine.platform(), 0, &machine.device).unwrap(),
        input: machine.device_queue(ConsoleQueue::Input as u16),
        output: machine.device_queue(ConsoleQueue::Output as u16),
    }
}

/// Returns everything that was sent, taking it as the host would.
fn drain(rig: &Rig) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chain) = rig.output.pop() {
        rig.output.answer(&chain, &[]);
        bytes.extend(chain.readable);
        rig.console.poll();
    }
    bytes
}

#[test]
fn input_is_asked_for_only_when_wanted_and_read_in_parts() {
    let rig = rig();
    assert!(rig.input.pop().is_none());
    let mut bytes = [0; 3];
    let mut read = Box::pin(rig.console.input().read(&mut bytes));
    assert!(poll_once(&mut read).is_pending());
    let chain = rig.input.pop().unwrap();
    rig.input.answer(&chain, b"hello");
    assert_eq!(block_on(&[&*rig.console], read), Ok(3));
    assert_eq!(&bytes, b"hel");
    assert_eq!(rig.console.input().poll(), PollEvents::IN | PollEvents::READ_NORMAL);
    let read = block_on(&[], rig.console.input().read(&mut bytes));
    assert_eq!((read, &bytes[..2]), (Ok(2), &b"lo"[..]));
    assert!(rig.input.pop().is_none());
}

#[test]
fn output_streams_are_released_when_nobody_has_them_and_all_is_taken() {
    let Rig { console, input: _input, output: queue } = rig();
    let released = console.released().clone();
    let mut wait = Box::pin(async { released.wait().await });
    let (output, error) = (console.output().clone(), console.error().clone());
    assert_eq!(output.push(b"last words"), Ok(10));
    let lines = output.queue().clone();
    drop((console, error));
    assert!(poll_once(&mut wait).is_pending());
    drop(output);
    // The host has them still.
    assert!(poll_once(&mut wait).is_pending());
    let chain = queue.pop().unwrap();
    queue.answer(&chain, &[]);
    lines.poll();
    assert!(poll_once(&mut wait).is_ready());
}

#[test]
fn input_ends_for_good() {
    let rig = rig();
    assert_eq!(rig.console.input().poll(), PollEvents::empty());
    let chain = rig.input.pop().unwrap();
    rig.input.answer(&chain, b"");
    rig.console.poll();
    assert_eq!(rig.console.input().poll(), PollEvents::HANG_UP);
    assert_eq!(block_on(&[], rig.console.input().read(&mut [0; 9])), Ok(0));
    assert!(rig.input.pop().is_none());
}

#[test]
fn an_impossible_input_length_is_an_error() {
    let rig = rig();
    rig.console.input().poll();
    let chain = rig.input.pop().unwrap();
    rig.input.push_used(chain.head.into(), u32::MAX);
    rig.console.poll();
    let read = block_on(&[], rig.console.input().read(&mut [0; 9]));
    assert_eq!(read, Err(Errno::EIO));
}

#[test]
fn short_writes_gather_while_the_host_is_busy() {
    let rig = rig();
    for line in 0..1000 {
        let line = format!("{line}\n");
        assert_eq!(rig.console.output().push(line.as_bytes()), Ok(line.len()));
    }
    let mut buffers = 0;
    let mut bytes = Vec::new();
    while let Some(chain) = rig.output.pop() {
        rig.output.answer(&chain, &[]);
        bytes.extend(chain.readable);
        rig.console.poll();
        buffers += 1;
    }
    assert_eq!(buffers, 3);
    let expected: String = (0..1000).map(|line| format!("{line}\n")).collect();
    assert_eq!(bytes, expected.as_bytes());
}

#[test]
fn output_is_bounded_and_flush_waits_for_the_host() {
    let rig = rig();
    let output = rig.console.output();
    let bytes = vec![7; 100_000];
    assert_eq!(output.push(&bytes), Ok(OUTPUT_SLOTS * SLOT_SIZE));
    assert_eq!(output.poll(), PollEvents::empty());
    let mut flush = Box::pin(rig.console.flush());
    assert!(poll_once(&mut flush).is_pending());
    assert_eq!(drain(&rig).len(), OUTPUT_SLOTS * SLOT_SIZE);
    assert!(poll_once(&mut flush).is_ready());
    assert!(output.poll().contains(PollEvents::OUT));
}

#[test]
fn a_reader_that_is_gone_is_epipe() {
    let rig = rig();
    let output = rig.console.output();
    assert_eq!(output.push(b"x"), Ok(1));
    let chain = rig.output.pop().unwrap();
    let closed = guest_abi::console::OUTPUT_CLOSED;
    rig.output.push_used(chain.head.into(), closed);
    rig.console.poll();
    assert_eq!(output.push(b"x"), Err(Errno::EPIPE));
    assert!(output.poll().contains(PollEvents::ERROR));
    block_on(&[&*rig.console], rig.console.flush());
}

#[test]
fn each_stream_is_a_pipe_of_its_own_that_can_be_opened_again() {
    let rig = rig();
    let streams: [Arc<dyn File>; 3] =
        [rig.console.input().clone(), rig.console.output().clone(), rig.console.error().clone()];
    let numbers = streams.each_ref().map(|stream| stream.anonymous().inode);
    assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2]);
    for (stream, access) in
        streams.iter().zip([OpenFlags::empty(), OpenFlags::WRITE_ONLY, OpenFlags::WRITE_ONLY])
    {
        assert_eq!(stream.anonymous().kind, FileKind::Fifo);
        let again = stream.clone().reopen(access).unwrap();
        assert_eq!(again.anonymous(), stream.anonymous());
    }
    let backwards = streams[0].clone().reopen(OpenFlags::WRITE_ONLY);
    assert_eq!(backwards.err(), Some(Errno::EACCES));
}
