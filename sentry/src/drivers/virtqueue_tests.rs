//! Tests of the virtqueue driver against a device that behaves, and one that does not.

use alloc::sync::Arc;

use guest_abi::device::DeviceKind;
use proptest::prelude::*;

use super::{
    BufferArea, BufferPool, Chain, Part, SubmitError, Virtqueue,
    testing::{DeviceQueue, TestMachine, block_on, poll_once},
};
use crate::{errno::Errno, kernel::Driver};

struct Rig {
    machine: TestMachine,
    queue: Arc<Virtqueue>,
    pool: Arc<BufferPool>,
    device: DeviceQueue,
}

fn rig() -> Rig {
    let machine = TestMachine::with_device(DeviceKind::FileSystem, 4, 1 << 16);
    let platform = machine.platform();
    let queue = Virtqueue::new(&platform, 0, &machine.device, 0).unwrap();
    let mut area = BufferArea::of(&machine.device).unwrap();
    let pool = area.cut(&platform, 256, 16).unwrap();
    let device = machine.device_queue(0);
    Rig { machine, queue, pool, device }
}

impl Rig {
    fn chain(&self, request: &[u8], reply: usize) -> Chain {
        let buffer = self.pool.try_allocate().unwrap();
        buffer.write(0, request).unwrap();
        Chain::of(Part::new(buffer, request.len(), reply).unwrap())
    }
}

#[test]
fn a_request_carries_bytes_there_and_back() {
    let rig = rig();
    let mut request = rig.queue.try_submit(rig.chain(b"ping", 16)).unwrap();
    assert!(poll_once(&mut request).is_pending());
    let chain = rig.device.pop().unwrap();
    assert_eq!((&chain.readable[..], chain.room()), (&b"ping"[..], 16));
    rig.device.answer(&chain, b"pong!");
    let completion = block_on(&[&*rig.queue], request).unwrap();
    assert_eq!(completion.written(), Ok(5));
    let mut bytes = [0; 5];
    let part = &completion.chain.parts[0];
    part.buffer().read(part.writable_offset(), &mut bytes).unwrap();
    assert_eq!(&bytes, b"pong!");
}

#[test]
fn kicks_unless_the_device_is_awake() {
    let rig = rig();
    drop(rig.queue.try_submit(rig.chain(b"a", 0)).unwrap());
    assert_eq!(rig.machine.kicks(), 1);
    rig.device.suppress_kicks(true);
    drop(rig.queue.try_submit(rig.chain(b"b", 0)).unwrap());
    assert_eq!(rig.machine.kicks(), 1);
}

#[test]
fn a_full_queue_gives_the_chain_back_and_waiters_get_their_turn() {
    let rig = rig();
    let first = rig.queue.try_submit(rig.chain(b"a", 8)).unwrap();
    let second = rig.queue.try_submit(rig.chain(b"b", 8)).unwrap();
    let refused = rig.queue.try_submit(rig.chain(b"c", 8));
    assert!(matches!(refused, Err(SubmitError::Full(_))));
    let mut third = Box::pin(rig.queue.submit(rig.chain(b"c", 8)));
    assert!(poll_once(&mut third).is_pending());
    let chain = rig.device.pop().unwrap();
    rig.device.answer(&chain, b"");
    rig.queue.poll();
    assert!(poll_once(&mut third).is_pending(), "the head is still named");
    block_on(&[&*rig.queue], first).unwrap();
    assert!(poll_once(&mut third).is_ready());
    drop(second);
}

#[test]
fn an_abandoned_request_keeps_its_buffers_until_the_device_returns_them() {
    let rig = rig();
    let before = rig.pool.free_count();
    drop(rig.queue.try_submit(rig.chain(b"a", 8)).unwrap());
    assert_eq!(rig.pool.free_count(), before - 1);
    let chain = rig.device.pop().unwrap();
    rig.device.answer(&chain, b"late");
    rig.queue.poll();
    assert_eq!(rig.pool.free_count(), before);
}

#[test]
fn an_answer_never_taken_is_released() {
    let rig = rig();
    let before = rig.pool.free_count();
    let request = rig.queue.try_submit(rig.chain(b"a", 8)).unwrap();
    let chain = rig.device.pop().unwrap();
    rig.device.answer(&chain, b"late");
    rig.queue.poll();
    drop(request);
    assert_eq!(rig.pool.free_count(), before);
}

#[test]
fn a_wrong_id_breaks_the_queue() {
    for id in [1, 3, 4, 70_000, u32::MAX] {
        let rig = rig();
        let request = rig.queue.try_submit(rig.chain(b"a", 8)).unwrap();
        rig.device.push_used(id, 0);
        let outcome = block_on(&[&*rig.queue], request);
        assert!(matches!(outcome, Err(Errno::EIO)), "id {id}");
        let next = rig.queue.try_submit(rig.chain(b"b", 8));
        assert!(matches!(next, Err(SubmitError::Failed(Errno::EIO))));
    }
}

#[test]
fn an_id_returned_twice_breaks_the_queue() {
    let rig = rig();
    let first = rig.queue.try_submit(rig.chain(b"a", 8)).unwrap();
    let second = rig.queue.try_submit(rig.chain(b"b", 8)).unwrap();
    let head = rig.device.pop().unwrap().head;
    rig.device.push_used(head.into(), 0);
    rig.device.push_used(head.into(), 0);
    assert!(block_on(&[&*rig.queue], first).is_ok());
    assert!(block_on(&[&*rig.queue], second).is_err());
}

#[test]
fn a_used_index_that_runs_ahead_breaks_the_queue() {
    let rig = rig();
    let request = rig.queue.try_submit(rig.chain(b"a", 8)).unwrap();
    rig.device.set_used_index(2);
    assert!(block_on(&[&*rig.queue], request).is_err());
    assert!(rig.queue.is_broken());
}

#[test]
fn a_used_length_beyond_the_buffers_is_seen() {
    let rig = rig();
    let request = rig.queue.try_submit(rig.chain(b"a", 8)).unwrap();
    let head = rig.device.pop().unwrap().head;
    rig.device.push_used(head.into(), 9);
    let completion = block_on(&[&*rig.queue], request).unwrap();
    assert_eq!(completion.written(), Err(Errno::EIO));
}

#[test]
fn indices_wrap() {
    let rig = rig();
    for round in 0..70_000_u32 {
        let bytes = round.to_le_bytes();
        let request = rig.queue.try_submit(rig.chain(&bytes, 4)).unwrap();
        let chain = rig.device.pop().unwrap();
        rig.device.answer(&chain, &chain.readable);
        assert_eq!(block_on(&[&*rig.queue], request).unwrap().length, 4);
    }
}

#[test]
fn a_layout_outside_memory_is_refused() {
    let machine = TestMachine::new(1 << 16);
    let mut device = machine.device.clone();
    device.queues[0].used_ring = u64::MAX - 2;
    assert!(Virtqueue::new(&machine.platform(), 0, &device, 0).is_err());
    device.queues[0].size = 3;
    assert!(Virtqueue::new(&machine.platform(), 0, &device, 0).is_err());
    assert!(Virtqueue::new(&machine.platform(), 0, &machine.device, 1).is_err());
}

proptest! {
    /// Whatever the device writes into the used ring, nothing panics and every request ends.
    #[test]
    fn any_used_ring_ends_requests_or_leaves_them_waiting(
        elements in proptest::collection::vec((0_u32..6, any::<u32>()), 0..6),
        index in any::<Option<u16>>(),
    ) {
        let rig = rig();
        let mut requests: Vec<_> =
            (0..2).map(|_| rig.queue.try_submit(rig.chain(b"x", 8)).unwrap()).collect();
        for (id, length) in elements {
            rig.device.push_used(id, length);
            rig.queue.poll();
        }
        if let Some(index) = index {
            rig.device.set_used_index(index);
            rig.queue.poll();
        }
        let answers = requests.iter_mut().filter_map(|request| request.try_take()).count();
        prop_assert!(answers == 2 || !rig.queue.is_broken());
        drop(requests);
    }
}
