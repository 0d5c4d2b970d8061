use proptest::prelude::*;

use super::*;
use crate::fs::testing::Sink;

fn type_in(line: &mut LineDiscipline, bytes: &[u8]) -> Vec<Signal> {
    bytes.iter().filter_map(|byte| line.receive(*byte)).collect()
}

fn screen(line: &mut LineDiscipline) -> Vec<u8> {
    let mut sink = Sink::new(10_000);
    line.output.ring.drain_into(&mut sink, usize::MAX).unwrap();
    sink.bytes
}

fn read(line: &mut LineDiscipline) -> Vec<u8> {
    let bytes = line.input.peek(usize::MAX, line.is_canonical());
    line.input.consume(bytes.len());
    bytes
}

#[test]
fn lines_come_whole_and_echoed() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"one\rtw");
    assert_eq!(screen(&mut line), b"one\r\ntw");
    assert_eq!(read(&mut line), b"one\n");
    assert!(!line.input.has_line());
    type_in(&mut line, b"o\n");
    assert_eq!(read(&mut line), b"two\n");
}

#[test]
fn erases_characters_words_and_lines() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"abx\x7fc");
    assert_eq!(screen(&mut line), b"abx\x08 \x08c");
    type_in(&mut line, b" hello  \x17d\n");
    assert_eq!(read(&mut line), b"abc d\n");
    screen(&mut line);
    type_in(&mut line, b"x\x01\x15y\n");
    let erased = b"x^A\x08 \x08\x08 \x08\x08 \x08y\r\n";
    assert_eq!(screen(&mut line), erased);
    assert_eq!(read(&mut line), b"y\n");
}

#[test]
fn erasing_a_tab_goes_back_to_where_it_began() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"abc\t");
    screen(&mut line);
    type_in(&mut line, b"\x7f");
    assert_eq!(screen(&mut line), b"\x08 \x08".repeat(5));
}

#[test]
fn end_of_file_ends_a_line_without_a_character() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"ab\x04\x04c\n");
    assert_eq!(read(&mut line), b"ab");
    assert!(line.input.has_line());
    assert_eq!(read(&mut line), b"");
    assert_eq!(read(&mut line), b"c\n");
}

#[test]
fn signals_flush_what_was_typed() {
    let mut line = LineDiscipline::default();
    assert_eq!(type_in(&mut line, b"half\x03"), [Signal::INT]);
    assert_eq!(screen(&mut line), b"^C");
    type_in(&mut line, b"\n");
    assert_eq!(read(&mut line), b"\n");
    assert_eq!(type_in(&mut line, b"\x1c\x1a"), [Signal::QUIT, Signal::TSTP]);
    assert_eq!(type_in(&mut line, b"\x16\x03\n"), []);
    assert_eq!(read(&mut line), b"\x03\n");
}

#[test]
fn raw_mode_passes_everything() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"typed");
    line.set_termios(Termios::default().with_local(LocalFlags::empty()));
    screen(&mut line);
    assert_eq!(type_in(&mut line, b"\x03\x7f"), []);
    assert_eq!(read(&mut line), b"typed\x03\x7f");
    assert_eq!(screen(&mut line), b"");
    type_in(&mut line, b"rest");
    line.set_termios(Termios::default());
    assert_eq!(read(&mut line), b"rest");
}

#[test]
fn stop_and_start_hold_output() {
    let mut line = LineDiscipline::default();
    type_in(&mut line, b"\x13");
    assert!(line.stopped);
    type_in(&mut line, b"\x11");
    assert!(!line.stopped);
    assert_eq!(line.input.len(), 0);
}

#[test]
fn an_endless_line_loses_its_end_but_can_be_finished() {
    let mut line = LineDiscipline::default();
    for _ in 0..5000 {
        assert!(line.input_room() > 0);
        line.receive(b'x');
    }
    line.receive(b'\n');
    assert_eq!(read(&mut line).len(), 4096);
}

proptest! {
    #[test]
    fn any_input_keeps_the_queues_consistent(bytes: Vec<u8>, raw: bool) {
        let mut line = LineDiscipline::default();
        for (index, byte) in bytes.iter().enumerate() {
            if raw && index == bytes.len() / 2 {
                line.set_termios(Termios::default().with_local(LocalFlags::ECHO));
            }
            line.receive(*byte);
            prop_assert!(line.input.complete_len() <= line.input.len());
            if index % 5 == 0 {
                read(&mut line);
            }
        }
    }
}
