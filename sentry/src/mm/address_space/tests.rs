use std::vec::Vec;

use super::*;
use crate::{
    memory::Frame,
    mm::{PageCache, UserAddress},
    platform::{
        Access, FaultAround,
        mock::{Call, MockPlatform},
    },
};

const RW: Protection = Protection::READ.union(Protection::WRITE);

struct Rig {
    platform: Arc<MockPlatform>,
    frames: Arc<FrameAllocator>,
    mm: Arc<Mm>,
}

fn rig() -> Rig {
    let platform = MockPlatform::new(512);
    let frames = FrameAllocator::new(platform.clone(), Frame(1));
    let mm = Mm::new(platform.clone(), frames.clone(), 0x1234_5678_9abc).unwrap();
    Rig { platform, frames, mm }
}

impl Rig {
    fn map(&self, pages: u64, protection: Protection) -> u64 {
        self.mm.map(MapRequest::new(pages * PAGE, protection, MapSource::Anonymous)).unwrap()
    }

    fn map_file(&self, cache: &Arc<PageCache>, protection: Protection, flags: VmaFlags) -> u64 {
        let source = MapSource::File { cache: cache.clone(), offset: 0, file: None };
        let length = cache.size().max(PAGE);
        self.mm.map(MapRequest::new(length, protection, source).with_flags(flags)).unwrap()
    }
}

fn load(mm: &Mm, address: u64) -> u8 {
    let mut byte = [0];
    mm.try_copy_in(UserAddress(address), &mut byte).unwrap();
    byte[0]
}

fn store(mm: &Mm, address: u64, value: u8) {
    mm.try_copy_out(UserAddress(address), &[value]).unwrap();
}

fn fault(mm: &Mm, address: u64, access: Access) -> Option<Fault> {
    match mm.try_fault(address, Some(access)) {
        Ok(()) => None,
        Err(TryFault::Failed(fault)) => Some(fault),
        Err(TryFault::Fetch { .. }) => panic!("would wait"),
    }
}

#[test]
fn anonymous_memory_is_zero_and_keeps_what_is_written() {
    let rig = rig();
    let free = rig.frames.free_frames();
    let address = rig.map(4, RW);
    assert_eq!(load(&rig.mm, address), 0);
    rig.mm.try_copy_out(UserAddress(address + PAGE - 2), b"across").unwrap();
    assert_eq!(load(&rig.mm, address + PAGE + 3), b's');
    // The two that were touched, and one more because they were touched in sequence.
    assert_eq!(rig.mm.statistics().resident_private, 3);
    assert_eq!(rig.mm.statistics().tables, 4);
    rig.mm.unmap(address, 4 * PAGE).unwrap();
    assert_eq!(rig.mm.statistics().tables, 3);
    assert_eq!(fault(&rig.mm, address, Access::Read), Some(Fault::NotMapped));
    drop(rig.mm);
    assert_eq!(rig.frames.free_frames(), free + 1);
}

#[test]
fn the_platform_hears_of_faults_in_runs_and_of_unmapping_before_frames_are_freed() {
    let rig = rig();
    rig.platform.set_fault_around(FaultAround { zeros: 8, file: 8, copies: 1 });
    let address = rig.mm.map(MapRequest::new(16 * PAGE, RW, MapSource::Anonymous).fixed(0x10_0000));
    let address = address.unwrap();
    rig.platform.take_calls();
    assert_eq!(fault(&rig.mm, address + 9 * PAGE, Access::Write), None);
    let calls = rig.platform.take_calls();
    let [Call::Map { address: start, pages: 8, protection: RW, .. }] = calls[..] else {
        panic!("{calls:?}")
    };
    assert_eq!(start, address + 8 * PAGE);
    rig.mm.unmap(address, 16 * PAGE).unwrap();
    let space = rig.mm.space();
    // Before the pages are freed; what follows is about the page table itself.
    let first = rig.platform.take_calls().into_iter().next();
    assert_eq!(first, Some(Call::Unmap { space, address: start, pages: 8 }));
}

#[test]
fn a_child_sees_what_was_written_before_the_fork_only() {
    let rig = rig();
    let address = rig.map(2, RW);
    store(&rig.mm, address, 1);
    let child = rig.mm.fork().unwrap();
    store(&rig.mm, address, 2);
    assert_eq!((load(&rig.mm, address), load(&child, address)), (2, 1));
    store(&child, address, 3);
    assert_eq!((load(&rig.mm, address), load(&child, address)), (2, 3));
    // The page that nobody shares any more is written in place.
    let before = rig.frames.free_frames();
    store(&child, address, 4);
    assert_eq!(rig.frames.free_frames(), before);
}

#[test]
fn a_copy_replaces_the_old_page_before_it_is_freed() {
    let rig = rig();
    let address = rig.map(1, RW);
    store(&rig.mm, address, 1);
    let child = rig.mm.fork().unwrap();
    rig.platform.take_calls();
    store(&child, address, 2);
    let space = child.space();
    let calls = rig.platform.take_calls();
    assert_eq!(calls[0], Call::Unmap { space, address, pages: 1 });
    assert!(matches!(calls[1], Call::Map { protection: RW, pages: 1, .. }));
}

#[test]
fn shared_anonymous_memory_stays_shared_after_fork() {
    let rig = rig();
    let request = MapRequest::new(PAGE, RW, MapSource::SharedAnonymous);
    let address = rig.mm.map(request).unwrap();
    let child = rig.mm.fork().unwrap();
    store(&child, address, 7);
    assert_eq!(load(&rig.mm, address), 7);
}

#[test]
fn shared_anonymous_memory_is_brought_in_in_runs() {
    let rig = rig();
    rig.platform.set_fault_around(FaultAround { zeros: 8, file: 8, copies: 1 });
    let request = MapRequest::new(64 * PAGE, RW, MapSource::SharedAnonymous);
    let address = rig.mm.map(request).unwrap();
    rig.platform.take_calls();
    let page = (address + 31 * PAGE) & !(8 * PAGE - 1);
    store(&rig.mm, page + PAGE, 7);
    let calls = rig.platform.take_calls();
    assert!(matches!(calls[..], [Call::Map { pages: 8, .. }]), "{calls:?}");
    assert_eq!((load(&rig.mm, page), load(&rig.mm, page + PAGE)), (0, 7));
}

#[test]
fn protection_is_checked_and_narrowed() {
    let rig = rig();
    let address = rig.map(3, RW);
    store(&rig.mm, address + PAGE, 1);
    rig.mm.protect(address + PAGE, PAGE, Protection::READ, false).unwrap();
    assert_eq!(rig.mm.mappings(false).len(), 3);
    assert_eq!(fault(&rig.mm, address + PAGE, Access::Write), Some(Fault::NotPermitted));
    assert_eq!(fault(&rig.mm, address + PAGE, Access::Execute), Some(Fault::NotPermitted));
    rig.mm.protect(address + PAGE, PAGE, Protection::empty(), false).unwrap();
    assert_eq!(fault(&rig.mm, address + PAGE, Access::Read), Some(Fault::NotPermitted));
    rig.mm.protect(address + PAGE, PAGE, RW, false).unwrap();
    assert_eq!(load(&rig.mm, address + PAGE), 1);
    assert_eq!(rig.mm.mappings(false).len(), 1);
    let unmapped = rig.mm.protect(address, 4 * PAGE, RW, false);
    assert_eq!(unmapped, Err(Errno::ENOMEM));
}

#[test]
fn protection_changes_reach_over_holes_but_not_over_other_pages() {
    let rig = rig();
    let address = rig.map(8, RW);
    [0, 1, 4, 5, 7].iter().for_each(|page| store(&rig.mm, address + page * PAGE, 1));
    rig.mm.protect(address + 5 * PAGE, PAGE, RW | Protection::EXECUTE, false).unwrap();
    rig.platform.take_calls();
    rig.mm.protect(address, 8 * PAGE, Protection::READ, false).unwrap();
    let space = rig.mm.space();
    let protection = Protection::READ;
    let calls = [Call::Protect { space, address, pages: 8, protection }];
    assert_eq!(rig.platform.take_calls(), calls);
    rig.mm.protect(address + 4 * PAGE, PAGE, RW, false).unwrap();
    rig.platform.take_calls();
    rig.mm.protect(address, 8 * PAGE, RW, false).unwrap();
    let sizes: Vec<(u64, usize)> = rig
        .platform
        .take_calls()
        .iter()
        .filter_map(|call| match call {
            Call::Protect { address, pages, .. } => Some((*address, *pages)),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [(address, 8)]);
    rig.mm
        .protect(address + 4 * PAGE, PAGE, Protection::READ | Protection::EXECUTE, false)
        .unwrap();
    rig.platform.take_calls();
    rig.mm.fork().unwrap();
    let protects = rig.platform.take_calls().into_iter();
    let protects = protects.filter(|call| matches!(call, Call::Protect { .. })).count();
    assert_eq!(protects, 2);
}

#[test]
fn files_are_mapped_privately_and_shared() {
    let rig = rig();
    let cache = PageCache::new(rig.frames.clone(), 2 * PAGE, None);
    let private = rig.map_file(&cache, RW, VmaFlags::empty());
    let shared = rig.map_file(&cache, RW, VmaFlags::SHARED);
    assert_eq!(load(&rig.mm, private), 0);
    store(&rig.mm, shared, 5);
    assert_eq!(load(&rig.mm, private), 5);
    store(&rig.mm, private, 6);
    assert_eq!(load(&rig.mm, shared), 5);
    cache.truncate(PAGE);
    assert_eq!(fault(&rig.mm, shared + PAGE, Access::Read), Some(Fault::BusError));
    cache.truncate(0);
    assert_eq!(fault(&rig.mm, private, Access::Read), Some(Fault::BusError));
    assert_eq!(rig.mm.statistics().resident_private, 0);
}

#[test]
fn stacks_grow_down_to_their_limit_and_keep_their_distance() {
    let rig = rig();
    let top = rig.mm.layout().stack_top;
    let request = MapRequest::new(PAGE, RW, MapSource::Anonymous);
    let stack = request.fixed(top - PAGE).with_flags(VmaFlags::GROWS_DOWN).named("[stack]");
    rig.mm.map(stack).unwrap();
    store(&rig.mm, top - 100 * PAGE, 1);
    assert_eq!(rig.mm.statistics().stack, 100);
    let beyond = top - (8 << 20) - PAGE;
    assert_eq!(fault(&rig.mm, beyond, Access::Write), Some(Fault::NotMapped));
    let wall = MapRequest::new(PAGE, RW, MapSource::Anonymous).fixed(top - 500 * PAGE);
    rig.mm.map(wall).unwrap();
    assert_eq!(fault(&rig.mm, top - 400 * PAGE, Access::Write), Some(Fault::NotMapped));
}

#[test]
fn the_break_moves_both_ways() {
    let rig = rig();
    rig.mm.set_heap_start(0x40_0000);
    assert_eq!(rig.mm.brk(0), 0x40_0000);
    assert_eq!(rig.mm.brk(0x40_2800), 0x40_2800);
    store(&rig.mm, 0x40_2000, 1);
    assert_eq!(rig.mm.brk(0x40_1000), 0x40_1000);
    assert_eq!(rig.mm.brk(0x40_3000), 0x40_3000);
    assert_eq!(load(&rig.mm, 0x40_2000), 0);
    let request = MapRequest::new(PAGE, RW, MapSource::Anonymous).fixed(0x40_5000);
    rig.mm.map(request).unwrap();
    assert_eq!(rig.mm.brk(0x40_6000), 0x40_3000);
}

#[test]
fn remapping_keeps_contents() {
    let rig = rig();
    let address = rig.map(4, RW);
    store(&rig.mm, address, 1);
    store(&rig.mm, address + 3 * PAGE, 4);
    let wall = MapRequest::new(PAGE, RW, MapSource::Anonymous).fixed(address + 4 * PAGE);
    rig.mm.map(wall).unwrap();
    let stays = rig.mm.remap(address, 4 * PAGE, 6 * PAGE, RemapTarget::InPlace, false);
    // The neighbour has the same properties, so the two are one area, but it is occupied.
    assert_eq!(stays, Err(Errno::ENOMEM));
    let moved = rig.mm.remap(address, 4 * PAGE, 6 * PAGE, RemapTarget::Anywhere, false).unwrap();
    assert_eq!((load(&rig.mm, moved), load(&rig.mm, moved + 3 * PAGE)), (1, 4));
    assert_eq!(fault(&rig.mm, address, Access::Read), Some(Fault::NotMapped));
    let shrunk = rig.mm.remap(moved, 6 * PAGE, PAGE, RemapTarget::Fixed(address), false);
    assert_eq!(shrunk, Ok(address));
    assert_eq!(load(&rig.mm, address), 1);
    assert_eq!(fault(&rig.mm, moved + 3 * PAGE, Access::Read), Some(Fault::NotMapped));
    assert_eq!(rig.mm.statistics().resident_private, 1);
}

#[test]
fn advice_drops_pages_and_rules_inheritance() {
    let rig = rig();
    let address = rig.map(3, RW);
    (0..3).for_each(|page| store(&rig.mm, address + page * PAGE, 9));
    rig.mm.advise(address, PAGE, Advice::DontNeed).unwrap();
    assert_eq!((load(&rig.mm, address), load(&rig.mm, address + PAGE)), (0, 9));
    rig.mm.advise(address + PAGE, PAGE, Advice::WipeOnFork).unwrap();
    rig.mm.advise(address + 2 * PAGE, PAGE, Advice::DontFork).unwrap();
    let child = rig.mm.fork().unwrap();
    assert_eq!(load(&child, address + PAGE), 0);
    assert_eq!(fault(&child, address + 2 * PAGE, Access::Read), Some(Fault::NotMapped));
}

#[test]
fn limits_and_nonsense_are_refused() {
    let rig = rig();
    rig.mm.set_limits(Limits { address_space: 8 * PAGE, ..Limits::default() });
    rig.map(8, RW);
    let request = |length| MapRequest::new(length, Protection::READ, MapSource::Anonymous);
    assert_eq!(rig.mm.map(request(PAGE)), Err(Errno::ENOMEM));
    assert_eq!(rig.mm.map(request(0)), Err(Errno::EINVAL));
    assert_eq!(rig.mm.map(request(u64::MAX)), Err(Errno::ENOMEM));
    assert_eq!(rig.mm.map(request(PAGE).fixed(0)), Err(Errno::EPERM));
    assert_eq!(rig.mm.map(request(PAGE).fixed(1 << 47)), Err(Errno::ENOMEM));
    assert_eq!(rig.mm.unmap(0x1001, PAGE), Err(Errno::EINVAL));
    assert_eq!(rig.mm.unmap(u64::MAX - PAGE + 1, PAGE), Err(Errno::EINVAL));
    let mut byte = [0];
    assert!(rig.mm.try_copy_in(UserAddress(u64::MAX), &mut byte).is_err());
    assert!(rig.mm.try_copy_in(UserAddress(0xffff_8000_0000_0000), &mut byte).is_err());
}

#[test]
fn running_out_of_memory_is_reported_and_leaves_nothing_behind() {
    let rig = rig();
    let free = rig.frames.free_frames();
    let address = rig.map(500, RW);
    rig.map(500, RW);
    let faults: Vec<Option<Fault>> =
        (0..520).map(|page| fault(&rig.mm, address + page * PAGE, Access::Write)).collect();
    assert_eq!(faults.last(), Some(&Some(Fault::NotMapped)));
    rig.mm.unmap_all();
    drop(rig.mm);
    assert_eq!(rig.frames.free_frames(), free + 1);
}
