use core::{
    future::Future,
    pin::{Pin, pin},
    sync::atomic::AtomicBool,
    task::{Context, Poll, Waker},
};
use std::vec::Vec;

use super::*;
use crate::{
    errno::Errno,
    io::{Buffer, Bytes, TryError, TryResult},
    mm::{MapRequest, MapSource, Mm, UserAddress, VmaFlags},
    platform::{
        Access, FaultAround, Protection,
        mock::{Call, MockPlatform},
    },
    vfs::{WritePosition, Written},
};

const RW: Protection = Protection::READ.union(Protection::WRITE);

/// A file in memory that answers when it is allowed to.
struct Backing {
    platform: Arc<MockPlatform>,
    bytes: SpinMutex<Vec<u8>>,
    reads: SpinMutex<Vec<(u64, usize)>>,
    writes: SpinMutex<Vec<(u64, usize)>>,
    is_slow: AtomicBool,
    fails: AtomicBool,
}

impl Backing {
    async fn answer(&self) -> Result<()> {
        core::future::poll_fn(|_| {
            if self.is_slow.load(Ordering::Relaxed) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        if self.fails.load(Ordering::Relaxed) { Err(Errno::EIO) } else { Ok(()) }
    }

    fn memory(&self) -> &crate::memory::PhysicalMemory {
        crate::platform::Platform::memory(&*self.platform)
    }
}

#[async_trait]
impl PageBacking for Backing {
    async fn read_pages(&self, index: u64, frames: &[FrameRef]) -> Result<()> {
        self.reads.lock().push((index, frames.len()));
        for (index, frame) in (index..).zip(frames) {
            let bytes = self.bytes.lock();
            let start = bytes.len().min((index * PAGE) as usize);
            let end = bytes.len().min(start + PAGE_SIZE);
            self.memory().write(frame.address(), &bytes[start..end]).unwrap();
        }
        self.answer().await
    }

    async fn write_pages(&self, index: u64, frames: &[FrameRef], length: usize) -> Result<()> {
        self.answer().await?;
        self.writes.lock().push((index, length));
        let mut contents = std::vec![0; frames.len() * PAGE_SIZE];
        for (page, frame) in contents.chunks_mut(PAGE_SIZE).zip(frames) {
            self.memory().read(frame.address(), page).unwrap();
        }
        let start = (index * PAGE) as usize;
        let mut bytes = self.bytes.lock();
        let size = bytes.len().max(start + length);
        bytes.resize(size, 0);
        bytes[start..start + length].copy_from_slice(&contents[..length]);
        Ok(())
    }
}

struct Rig {
    platform: Arc<MockPlatform>,
    frames: Arc<FrameAllocator>,
    backing: Arc<Backing>,
    cache: Arc<PageCache>,
}

/// A file of `pages` pages, each full of its own number plus one.
fn backed(pages: u8) -> Rig {
    let platform = MockPlatform::new(256);
    let frames = FrameAllocator::new(platform.clone(), Frame(1));
    let bytes: Vec<u8> = (1..=pages).flat_map(|page| [page; PAGE_SIZE]).collect();
    let size = bytes.len() as u64;
    let backing = Arc::new(Backing {
        platform: platform.clone(),
        bytes: SpinMutex::new(bytes),
        reads: SpinMutex::default(),
        writes: SpinMutex::default(),
        is_slow: AtomicBool::new(false),
        fails: AtomicBool::new(false),
    });
    let cache = PageCache::new(frames.clone(), size, Some(backing.clone()));
    Rig { platform, frames, backing, cache }
}

fn unbacked() -> Rig {
    let rig = backed(0);
    Rig { cache: PageCache::new(rig.frames.clone(), 0, None), ..rig }
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The result of a future that need not wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match poll(pin!(future)) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

impl Rig {
    fn read(&self, offset: u64, length: usize) -> TryResult<Vec<u8>> {
        let mut bytes = std::vec![0xee; length];
        let mut buffer = Buffer::new(self.backing.memory(), &mut bytes);
        let count = self.cache.try_read(offset, &mut buffer)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    fn write(&self, position: WritePosition, bytes: &[u8]) -> TryResult<Written> {
        self.cache.try_write(position, &mut Bytes::new(self.backing.memory(), bytes))
    }

    fn mm(&self) -> Arc<Mm> {
        Mm::new(self.platform.clone(), self.frames.clone(), 1).unwrap()
    }

    fn map_shared(&self, mm: &Mm) -> u64 {
        let source = MapSource::File { cache: self.cache.clone(), offset: 0, file: None };
        let request = MapRequest::new(self.cache.size(), RW, source);
        mm.map(request.with_flags(VmaFlags::SHARED)).unwrap()
    }
}

#[test]
fn a_file_without_backing_has_holes_and_grows() {
    let rig = unbacked();
    let end = rig.write(WritePosition::At(3 * PAGE - 2), b"abcd").unwrap();
    assert_eq!(end, Written { count: 4, end: 3 * PAGE + 2 });
    assert_eq!(rig.write(WritePosition::End, b"!").unwrap().end, 3 * PAGE + 3);
    assert_eq!(rig.cache.resident_pages(), 2);
    let all = rig.read(0, 5 * PAGE_SIZE).unwrap();
    assert_eq!(all.len() as u64, 3 * PAGE + 3);
    assert!(all[..3 * PAGE_SIZE - 2].iter().all(|&byte| byte == 0));
    assert_eq!(&all[3 * PAGE_SIZE - 2..], b"abcd!");
    assert_eq!(rig.cache.seek_data(0, true), Some(2 * PAGE));
    assert_eq!(rig.cache.seek_data(2 * PAGE + 5, false), Some(3 * PAGE + 3));
    assert_eq!(rig.cache.seek_data(4 * PAGE, true), None);
}

#[test]
fn truncation_forgets_for_good() {
    let rig = unbacked();
    rig.write(WritePosition::At(0), &[7; 2 * PAGE_SIZE]).unwrap();
    rig.cache.truncate(10);
    rig.cache.truncate(2 * PAGE);
    let all = rig.read(0, 3 * PAGE_SIZE).unwrap();
    assert_eq!(all.iter().filter(|&&byte| byte == 7).count(), 10);
    assert_eq!(all.len(), 2 * PAGE_SIZE);
    let free = rig.frames.free_frames();
    rig.cache.truncate(0);
    assert_eq!(rig.frames.free_frames(), free + 1);
}

#[test]
fn what_is_mapped_past_the_end_does_not_become_part_of_the_file() {
    let rig = unbacked();
    rig.write(WritePosition::At(0), b"short").unwrap();
    let mm = rig.mm();
    let address = rig.map_shared(&mm);
    mm.try_copy_out(UserAddress(address + 5), b"beyond").unwrap();
    rig.write(WritePosition::At(8), b"end").unwrap();
    assert_eq!(rig.read(0, 100).unwrap(), b"short\0\0\0end");
}

#[test]
fn holes_can_be_punched() {
    let rig = unbacked();
    rig.write(WritePosition::At(0), &[7; 3 * PAGE_SIZE]).unwrap();
    rig.cache.punch_hole(PAGE - 1, PAGE + 2);
    assert_eq!(rig.cache.resident_pages(), 2);
    let all = rig.read(0, 3 * PAGE_SIZE).unwrap();
    let zeros = all.iter().enumerate().filter(|(_, byte)| **byte == 0);
    assert_eq!(
        zeros.map(|(at, _)| at as u64).collect::<Vec<_>>(),
        (PAGE - 1..2 * PAGE + 1).collect::<Vec<_>>()
    );
}

#[test]
fn missing_pages_are_fetched_once_and_ahead() {
    let rig = backed(40);
    let missing = rig.read(PAGE, 10);
    assert_eq!(missing, Err(TryError::NotResident { offset: PAGE, length: 10 }));
    now(rig.cache.fetch(PAGE, 10)).unwrap();
    assert_eq!(rig.read(PAGE, 2), Ok(std::vec![2, 2]));
    assert_eq!(*rig.backing.reads.lock(), [(1, 16)]);
    now(rig.cache.fetch(5 * PAGE, PAGE_SIZE)).unwrap();
    assert_eq!(rig.backing.reads.lock().len(), 1);
    // Going on where it stopped doubles the window, up to the end of the file.
    now(rig.cache.fetch(17 * PAGE, 1)).unwrap();
    assert_eq!(rig.backing.reads.lock()[1], (17, 23));
    assert_eq!(rig.read(39 * PAGE + 4000, 1000), Ok(std::vec![40; 96]));
}

#[test]
fn two_readers_of_a_page_cause_one_read_and_a_dropped_one_hands_over() {
    let rig = backed(1);
    rig.backing.is_slow.store(true, Ordering::Relaxed);
    let mut second = pin!(rig.cache.fetch(0, 1));
    {
        let mut first = pin!(rig.cache.fetch(0, 1));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(rig.backing.reads.lock().len(), 1);
    }
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(rig.backing.reads.lock().len(), 2);
    rig.backing.is_slow.store(false, Ordering::Relaxed);
    assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(rig.read(0, 1), Ok(std::vec![1]));
}

#[test]
fn what_was_read_before_a_truncation_is_not_used() {
    let rig = backed(2);
    rig.backing.is_slow.store(true, Ordering::Relaxed);
    let mut fetch = pin!(rig.cache.fetch(0, 2 * PAGE_SIZE));
    assert!(poll(fetch.as_mut()).is_pending());
    rig.cache.truncate(PAGE);
    rig.backing.bytes.lock().truncate(PAGE_SIZE);
    rig.cache.truncate(2 * PAGE);
    rig.backing.is_slow.store(false, Ordering::Relaxed);
    assert_eq!(poll(fetch.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(rig.read(PAGE, 1), Ok(std::vec![0]));
}

#[test]
fn partial_writes_need_the_page_and_whole_ones_do_not() {
    let rig = backed(2);
    let missing = TryError::NotResident { offset: 0, length: PAGE_SIZE };
    assert_eq!(rig.write(WritePosition::At(5), b"x"), Err(missing));
    rig.write(WritePosition::At(0), &[9; PAGE_SIZE]).unwrap();
    rig.write(WritePosition::End, b"tail").unwrap();
    assert!(rig.backing.reads.lock().is_empty());
    now(rig.cache.flush(0..u64::MAX)).unwrap();
    assert_eq!(*rig.backing.writes.lock(), [(0, PAGE_SIZE), (2, 4)]);
    let bytes = rig.backing.bytes.lock();
    assert_eq!((bytes[0], bytes[PAGE_SIZE], &bytes[2 * PAGE_SIZE..]), (9, 2, &b"tail"[..]));
}

#[test]
fn writes_through_shared_mappings_are_noticed_each_time() {
    let rig = backed(1);
    let mm = rig.mm();
    let address = rig.map_shared(&mm);
    now(mm.fault(address, Some(Access::Read))).unwrap();
    assert!(!rig.cache.is_dirty());
    for value in [5, 6] {
        mm.try_copy_out(UserAddress(address), &[value]).unwrap();
        assert!(rig.cache.is_dirty());
        now(rig.cache.flush(0..u64::MAX)).unwrap();
        assert!(!rig.cache.is_dirty());
        assert_eq!(rig.backing.bytes.lock()[0], value);
    }
}

#[test]
fn a_failed_or_dropped_flush_leaves_pages_dirty() {
    let rig = backed(1);
    rig.write(WritePosition::At(0), &[9; PAGE_SIZE]).unwrap();
    rig.backing.fails.store(true, Ordering::Relaxed);
    assert_eq!(now(rig.cache.flush(0..u64::MAX)), Err(Errno::EIO));
    assert!(rig.cache.is_dirty());
    rig.backing.fails.store(false, Ordering::Relaxed);
    rig.backing.is_slow.store(true, Ordering::Relaxed);
    assert!(poll(pin!(rig.cache.flush(0..u64::MAX))).is_pending());
    assert!(rig.cache.is_dirty());
}

#[test]
fn clean_unmapped_pages_give_way_under_pressure() {
    let rig = backed(200);
    for page in 0..200 {
        now(rig.cache.fetch(page * PAGE, 1)).unwrap();
    }
    rig.write(WritePosition::At(0), b"dirty").unwrap();
    let mm = rig.mm();
    let address = rig.map_shared(&mm);
    now(mm.fault(address + PAGE, Some(Access::Read))).unwrap();
    let held: Vec<FrameRef> = core::iter::from_fn(|| rig.frames.allocate_one().ok()).collect();
    assert!(held.len() > 190);
    assert_eq!(rig.cache.resident_pages(), 2);
    assert_eq!(rig.read(0, 5), Ok(b"dirty".to_vec()));
}

#[test]
fn a_file_larger_than_memory_can_be_read() {
    let rig = backed(200);
    let held: Vec<FrameRef> = (0..200).map(|_| rig.frames.allocate_one().unwrap()).collect();
    for page in 0..200 {
        now(rig.cache.fetch(page * PAGE, PAGE_SIZE)).unwrap();
        assert_eq!(rig.read(page * PAGE, 1), Ok(vec![page as u8 + 1]));
    }
    assert!(rig.cache.resident_pages() <= 255 - held.len() as u64);
}

#[test]
fn dirty_and_mapped_pages_give_way_to_who_can_wait() {
    let rig = backed(200);
    let mm = rig.mm();
    let address = rig.map_shared(&mm);
    for page in 0..200 {
        let access = if page % 2 == 0 { Access::Write } else { Access::Read };
        now(mm.fault(address + page * PAGE, Some(access))).unwrap();
    }
    let held: Vec<FrameRef> = core::iter::from_fn(|| rig.frames.allocate_one().ok()).collect();
    assert_eq!(rig.cache.resident_pages(), 200);
    assert!(now(rig.frames.relieve()));
    assert!(!rig.cache.is_dirty());
    assert!(rig.cache.resident_pages() <= 136);
    assert_eq!(rig.backing.writes.lock().len(), 100);
    // What nobody can do without is all that is left: memory has run out.
    let rest: Vec<FrameRef> = core::iter::from_fn(|| rig.frames.allocate_one().ok()).collect();
    assert!(!now(rig.frames.relieve()));
    drop((held, rest));
    now(mm.fault(address, Some(Access::Read))).unwrap();
}

#[test]
fn faults_take_little_of_what_is_cached() {
    let rig = backed(240);
    rig.platform.set_fault_around(FaultAround { zeros: 16, file: 64, copies: 1 });
    let mm = rig.mm();
    let request = |pages| MapRequest::new(pages * PAGE, RW, MapSource::Anonymous);
    let scattered = mm.map(request(200)).unwrap();
    for start in (0..240).step_by(8) {
        now(rig.cache.fetch(start * PAGE, 8 * PAGE_SIZE)).unwrap();
    }
    let held: Vec<_> = core::iter::from_fn(|| rig.frames.allocate_free(0).ok()).collect();
    let before = rig.cache.resident_pages();
    mm.try_fault(scattered, Some(Access::Write)).ok().unwrap();
    // One batch for the page and its tables.
    assert!(rig.cache.resident_pages() >= before - 64);
    // What was given up last is not what is given up next.
    assert!(rig.cache.is_resident(before - 1));
    drop(held);
}

#[test]
fn a_first_touch_of_a_private_file_copies_the_page_and_maps_what_is_around_it() {
    let rig = backed(64);
    rig.platform.set_fault_around(FaultAround { zeros: 2, file: 8, copies: 1 });
    now(rig.cache.fetch(0, 64 * PAGE_SIZE)).unwrap();
    let mm = rig.mm();
    let source = MapSource::File { cache: rig.cache.clone(), offset: 0, file: None };
    let address = mm.map(MapRequest::new(64 * PAGE, RW, source).fixed(0x10_0000)).unwrap();
    rig.platform.take_calls();
    // The platform does not know whether it was a write.
    now(mm.fault(address + 9 * PAGE, None)).unwrap();
    let mut mapped: Vec<_> = rig.platform.take_calls().into_iter().map(mapping).collect();
    mapped.sort_unstable();
    let pages: usize = mapped.iter().map(|(_, pages, _)| pages).sum();
    assert_eq!((mapped[0].0, pages), (address + 8 * PAGE, 8));
    mapped.retain(|(_, _, is_writable)| *is_writable);
    assert_eq!(mapped, [(address + 9 * PAGE, 1, true)]);
}

#[test]
fn a_write_to_a_private_file_copies_what_is_beside_it_if_faults_are_expensive() {
    let rig = backed(64);
    rig.platform.set_fault_around(FaultAround { zeros: 1, file: 16, copies: 4 });
    now(rig.cache.fetch(0, 64 * PAGE_SIZE)).unwrap();
    let mm = rig.mm();
    let source = MapSource::File { cache: rig.cache.clone(), offset: 0, file: None };
    let address = mm.map(MapRequest::new(64 * PAGE, RW, source).fixed(0x10_0000)).unwrap();
    now(mm.fault(address, Some(Access::Read))).unwrap();
    rig.platform.take_calls();
    let writable = || {
        let calls = rig.platform.take_calls().into_iter();
        let mut mapped: Vec<_> =
            calls.filter(|call| matches!(call, Call::Map { .. })).map(mapping).collect();
        mapped.retain(|(_, _, is_writable)| *is_writable);
        mapped.iter().map(|(address, pages, _)| (*address, *pages)).collect::<Vec<_>>()
    };
    let pages_of = |runs: Vec<(u64, usize)>| -> usize { runs.iter().map(|(_, pages)| pages).sum() };
    // Mapped before, and not.
    now(mm.fault(address + 5 * PAGE, Some(Access::Write))).unwrap();
    assert_eq!(pages_of(writable()), 4);
    now(mm.fault(address + 33 * PAGE, Some(Access::Write))).unwrap();
    assert_eq!(pages_of(writable()), 4);
    assert_eq!(mm.statistics().resident_private, 8);
    // What is written to a copy is not in the file.
    mm.try_copy_out(UserAddress(address + 6 * PAGE), b"own").unwrap();
    assert_ne!(rig.read(6 * PAGE, 3), Ok(b"own".to_vec()));
}

/// Where and how much the platform was told to map, and whether it may be written.
fn mapping(call: Call) -> (u64, usize, bool) {
    let Call::Map { address, pages, protection, .. } = call else { panic!("{call:?}") };
    (address, pages, protection.contains(Protection::WRITE))
}

#[test]
fn nothing_outlives_the_cache() {
    let rig = backed(20);
    let free = rig.frames.free_frames();
    now(rig.cache.fetch(0, 20 * PAGE_SIZE)).unwrap();
    rig.cache.invalidate();
    assert_eq!(rig.cache.resident_pages(), 0);
    now(rig.cache.fetch(0, 20 * PAGE_SIZE)).unwrap();
    drop(rig.cache);
    assert_eq!(rig.frames.free_frames(), free);
}
