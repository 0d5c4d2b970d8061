use alloc::{sync::Arc, vec, vec::Vec};

use super::*;
use crate::{
    errno::Errno,
    fs::{
        event_fd::EventFd,
        testing::{Bytes, Sink},
    },
    io::{TryError, TryResult},
    kernel::PollEvents,
    net::{
        PeerCredentials, Shutdown, Socket, SocketFile, SocketKind, Target,
        message::{Control, MessageFlags, Received},
    },
    vfs::{OpenFile, OpenFlags},
};

const ME: PeerCredentials = PeerCredentials { pid: 5, uid: 1000, gid: 100 };

fn pair(kind: SocketKind) -> (Arc<UnixSocket>, Arc<UnixSocket>) {
    UnixSocket::pair(&Arc::default(), kind, ME)
}

fn send(socket: &UnixSocket, bytes: &[u8]) -> TryResult<usize> {
    socket.try_send(None, &mut Bytes::new(bytes), &mut Control::default())
}

fn receive(socket: &UnixSocket, room: usize) -> TryResult<Vec<u8>> {
    receive_with(socket, room, MessageFlags::empty()).map(|(bytes, _)| bytes)
}

fn receive_with(
    socket: &UnixSocket,
    room: usize,
    flags: MessageFlags,
) -> TryResult<(Vec<u8>, Received)> {
    let mut sink = Sink::new(room);
    let received = socket.try_receive(&mut sink, flags)?;
    Ok((sink.bytes, received))
}

fn file(socket: Arc<UnixSocket>) -> Arc<OpenFile> {
    OpenFile::new(Arc::new(SocketFile::new(socket)), None, OpenFlags::READ_WRITE)
}

fn send_files(socket: &UnixSocket, bytes: &[u8], files: Vec<Arc<OpenFile>>) -> TryResult<usize> {
    let mut control = Control { files, credentials: None, in_flight_limit: 10_000 };
    socket.try_send(None, &mut Bytes::new(bytes), &mut control)
}

#[test]
fn streams_join_and_split() {
    let (one, other) = pair(SocketKind::Stream);
    assert_eq!(receive(&other, 9), Err(TryError::WouldBlock));
    send(&one, b"hello ").unwrap();
    send(&one, b"world").unwrap();
    assert_eq!(receive(&other, 8).unwrap(), b"hello wo");
    assert_eq!(other.waiting_input(), 3);
    let peeked = receive_with(&other, 9, MessageFlags::PEEK).unwrap();
    assert_eq!(peeked.0, b"rld");
    assert_eq!(receive(&other, 9).unwrap(), b"rld");
}

#[test]
fn messages_keep_their_bounds() {
    let (one, other) = pair(SocketKind::SequencedPacket);
    send(&one, b"first").unwrap();
    send(&one, b"").unwrap();
    send(&one, b"third").unwrap();
    let (bytes, received) = receive_with(&other, 3, MessageFlags::empty()).unwrap();
    assert_eq!((&bytes[..], received.count, received.length), (&b"fir"[..], 3, 5));
    assert_eq!(receive(&other, 9).unwrap(), b"");
    assert_eq!(receive(&other, 9).unwrap(), b"third");
}

#[test]
fn a_full_stream_blocks_until_it_is_read() {
    let (one, other) = pair(SocketKind::Stream);
    let mut sent = 0;
    while let Ok(count) = send(&one, &[1; 70_000]) {
        sent += count;
    }
    assert_eq!(sent, one.options().lock().send_buffer);
    assert!(!one.poll().contains(PollEvents::OUT));
    assert_eq!(receive(&other, 1000).unwrap().len(), 1000);
    assert_eq!(send(&one, &[2; 5000]), Ok(1000));
}

#[test]
fn the_end_comes_after_the_data() {
    let (one, other) = pair(SocketKind::Stream);
    send(&one, b"last words").unwrap();
    drop(one);
    assert_eq!(receive(&other, 99).unwrap(), b"last words");
    assert_eq!(receive(&other, 99).unwrap(), b"");
    assert_eq!(send(&other, b"x"), Err(Errno::EPIPE.into()));
    assert!(other.poll().contains(PollEvents::HANG_UP | PollEvents::READ_HANG_UP));
}

#[test]
fn closing_with_unread_data_resets() {
    let (one, other) = pair(SocketKind::Stream);
    send(&other, b"unread").unwrap();
    drop(one);
    assert_eq!(receive(&other, 9), Err(Errno::ECONNRESET.into()));
    assert_eq!(receive(&other, 9).unwrap(), b"");
}

#[test]
fn halves_shut_down_separately() {
    let (one, other) = pair(SocketKind::Stream);
    one.shutdown(Shutdown::from_number(1).unwrap()).unwrap();
    assert_eq!(receive(&other, 9).unwrap(), b"");
    assert_eq!(send(&one, b"x"), Err(Errno::EPIPE.into()));
    send(&other, b"still open").unwrap();
    assert_eq!(receive(&one, 99).unwrap(), b"still open");
    one.shutdown(Shutdown::from_number(0).unwrap()).unwrap();
    assert_eq!(send(&other, b"x"), Err(Errno::EPIPE.into()));
}

fn listener(shared: &Arc<UnixSockets>, backlog: usize) -> Arc<UnixSocket> {
    let listener = UnixSocket::new(shared.clone(), SocketKind::Stream, ME);
    listener.bind_automatically().unwrap();
    listener.start_listening(backlog, ME).unwrap();
    listener
}

#[test]
fn connections_wait_in_the_backlog() {
    let shared = Arc::<UnixSockets>::default();
    let listener = listener(&shared, 0);
    let client = UnixSocket::new(shared.clone(), SocketKind::Stream, ME);
    let late = UnixSocket::new(shared.clone(), SocketKind::Stream, ME);
    client.try_connect(&listener, ME).unwrap();
    assert_eq!(late.try_connect(&listener, ME), Err(TryError::WouldBlock));
    send(&client, b"before accept").unwrap();
    assert_eq!(listener.poll(), PollEvents::IN | PollEvents::READ_NORMAL);
    let server = listener.accept().unwrap();
    assert_eq!(receive(&server, 99).unwrap(), b"before accept");
    assert_eq!(server.local_address(), listener.local_address());
    assert_eq!(client.peer_address(), Ok(listener.local_address()));
    assert_eq!(client.peer_credentials(), Ok(ME));
    late.try_connect(&listener, ME).unwrap();
    drop(listener);
    assert_eq!(receive(&late, 9), Ok(vec![]));
}

#[test]
fn a_name_lives_as_long_as_its_socket() {
    let shared = Arc::<UnixSockets>::default();
    let socket = listener(&shared, 1);
    assert_eq!(socket.local_address(), b"\x01\0\x0000001");
    assert!(shared.find_abstract(b"00001").is_some());
    let client = UnixSocket::new(shared.clone(), SocketKind::Stream, ME);
    client.try_connect(&socket, ME).unwrap();
    drop(socket.accept().unwrap());
    assert!(shared.find_abstract(b"00001").is_some());
    drop(socket);
    assert!(shared.find_abstract(b"00001").is_none());
}

#[test]
fn datagrams_carry_their_senders_address() {
    let shared = Arc::<UnixSockets>::default();
    let new = || UnixSocket::new(shared.clone(), SocketKind::Datagram, ME);
    let (sender, receiver) = (new(), new());
    sender.bind_automatically().unwrap();
    let to = Target::Unix(receiver.clone());
    let mut control = Control::default();
    sender.try_send(Some(&to), &mut Bytes::new(b"hi"), &mut control).unwrap();
    let (bytes, received) = receive_with(&receiver, 9, MessageFlags::empty()).unwrap();
    assert_eq!(bytes, b"hi");
    assert_eq!(received.address, sender.local_address());
    assert_eq!(send(&sender, b"x"), Err(Errno::ENOTCONN.into()));
    sender.associate(Some(&receiver)).unwrap();
    while send(&sender, b"fill").is_ok() {}
    assert_eq!(send(&sender, b"x"), Err(TryError::WouldBlock));
    drop((to, receiver));
    assert_eq!(send(&sender, b"x"), Err(Errno::ECONNREFUSED.into()));
}

#[test]
fn files_travel_with_their_bytes() {
    let (one, other) = pair(SocketKind::Stream);
    let event = OpenFile::new(EventFd::new(3, false), None, OpenFlags::READ_WRITE);
    send(&one, b"plain").unwrap();
    send_files(&one, b"file", vec![event.clone()]).unwrap();
    send(&one, b"after").unwrap();
    let (bytes, received) = receive_with(&other, 99, MessageFlags::empty()).unwrap();
    assert_eq!(bytes, b"plainfile");
    assert!(Arc::ptr_eq(&received.files[0], &event));
    assert_eq!(receive(&other, 99).unwrap(), b"after");
}

#[test]
fn files_in_flight_are_limited() {
    let (one, _other) = pair(SocketKind::Stream);
    let event = OpenFile::new(EventFd::new(3, false), None, OpenFlags::READ_WRITE);
    let mut control = Control { files: vec![event; 3], credentials: None, in_flight_limit: 2 };
    let result = one.try_send(None, &mut Bytes::new(b"x"), &mut control);
    assert_eq!(result, Err(Errno::ETOOMANYREFS.into()));
}

#[test]
fn a_long_chain_of_sockets_in_sockets_is_closed_flat() {
    let shared = Arc::<UnixSockets>::default();
    let new_pair = || UnixSocket::pair(&shared, SocketKind::Stream, ME);
    let (mut sender, mut receiver) = new_pair();
    for _ in 0..20_000 {
        let (next_sender, next_receiver) = new_pair();
        let inner = vec![file(core::mem::replace(&mut receiver, next_receiver))];
        let mut control = Control { files: inner, credentials: None, in_flight_limit: u64::MAX };
        next_sender.try_send(None, &mut Bytes::new(b"x"), &mut control).unwrap();
        sender = next_sender;
    }
    drop(sender);
    drop(receiver);
    assert_eq!(shared.in_flight.add(1, 1), Ok(()));
}
