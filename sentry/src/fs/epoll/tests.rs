use super::*;
use crate::{
    fs::{
        event_fd::EventFd,
        testing::{Bytes, Sink},
    },
    vfs::{OpenFlags, WritePosition},
};

const FD: FileDescriptor = FileDescriptor(5);
const IN: u32 = PollEvents::IN.bits();

fn open(file: Arc<dyn File>) -> Arc<OpenFile> {
    OpenFile::new(file, None, OpenFlags::READ_WRITE)
}

fn event(events: u32) -> EpollEvent {
    EpollEvent { events, data: 42 }
}

fn write(file: &OpenFile) {
    let one = 1_u64.to_ne_bytes();
    file.file.try_write(WritePosition::At(0), &mut Bytes::new(&one)).unwrap();
}

#[test]
fn level_triggered_reports_until_consumed() {
    let epoll = Epoll::new();
    let file = open(EventFd::new(0, false));
    epoll.add(FD, &file, event(IN)).unwrap();
    assert!(epoll.collect(8).is_empty());
    write(&file);
    assert_eq!(epoll.collect(8), [event(IN)]);
    assert_eq!(epoll.collect(8), [event(IN)]);
    file.file.try_read(0, &mut Sink::new(8)).unwrap();
    assert!(epoll.collect(8).is_empty());
}

#[test]
fn edge_triggered_reports_each_change_once() {
    let epoll = Epoll::new();
    let file = open(EventFd::new(1, false));
    epoll.add(FD, &file, event(IN | ItemFlags::EDGE_TRIGGERED.bits())).unwrap();
    assert_eq!(epoll.collect(8).len(), 1);
    assert!(epoll.collect(8).is_empty());
    write(&file);
    assert_eq!(epoll.collect(8).len(), 1);
}

#[test]
fn one_shot_waits_for_modify() {
    let epoll = Epoll::new();
    let file = open(EventFd::new(1, false));
    let asked = event(IN | ItemFlags::ONE_SHOT.bits());
    epoll.add(FD, &file, asked).unwrap();
    assert_eq!(epoll.collect(8).len(), 1);
    write(&file);
    assert!(epoll.collect(8).is_empty());
    epoll.modify(FD, &file, asked).unwrap();
    assert_eq!(epoll.collect(8).len(), 1);
}

#[test]
fn a_closed_file_is_forgotten() {
    let epoll = Epoll::new();
    let file = open(EventFd::new(1, false));
    epoll.add(FD, &file, event(IN)).unwrap();
    assert_eq!(epoll.add(FD, &file, event(IN)), Err(Errno::EEXIST));
    drop(file);
    assert!(epoll.collect(8).is_empty());
    assert!(epoll.watched().is_empty());
}

#[test]
fn many_ready_files_take_turns() {
    let epoll = Epoll::new();
    let files: Vec<_> = (0..4).map(|_| open(EventFd::new(1, false))).collect();
    for (data, file) in (0..).zip(&files) {
        epoll.add(FD, file, EpollEvent { events: IN, data }).unwrap();
    }
    let seen: Vec<u64> = (0..4).flat_map(|_| epoll.collect(1)).map(|event| event.data).collect();
    assert_eq!(seen, [0, 1, 2, 3]);
}

#[test]
fn instances_nest_but_not_in_circles() {
    let inner = Epoll::new();
    let outer = Epoll::new();
    let file = open(EventFd::new(0, false));
    let (inner_file, outer_file) = (open(inner.clone()), open(outer.clone()));
    inner.add(FD, &file, event(IN)).unwrap();
    outer.add(FD, &inner_file, event(IN)).unwrap();
    assert_eq!(inner.add(FD, &outer_file, event(IN)), Err(Errno::ELOOP));
    assert_eq!(outer.add(FD, &outer_file, event(IN)), Err(Errno::EINVAL));
    write(&file);
    assert_eq!(outer.collect(8), [event(IN)]);
}

#[test]
fn chains_have_a_largest_length() {
    let chain: Vec<_> = (0..7).map(|_| open(Epoll::new())).collect();
    let link = |index: usize| {
        let upper = chain[index].downcast::<Epoll>().unwrap();
        upper.add(FD, &chain[index + 1], event(IN))
    };
    let results: Vec<_> = (0..6).map(link).collect();
    assert_eq!(results[..4], [Ok(()); 4]);
    assert_eq!(results[4], Err(Errno::ELOOP));
}
