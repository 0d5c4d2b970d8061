//! Interpreter scripts: `#!interpreter [argument]` (execve(2)).

use crate::errno::{Errno, Result};

/// Bytes of a file that are looked at to find out what it is (BINPRM_BUF_SIZE).
pub const LOOKAHEAD: usize = 256;

/// The first line of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// The program that is to run it.
    pub interpreter: &'a [u8],
    /// One argument for that, which may contain blanks.
    pub argument: Option<&'a [u8]>,
}

impl<'a> Script<'a> {
    /// Reads the first bytes of a file; `None` if it is no script.
    ///
    /// # Errors
    /// ENOEXEC if the line names no interpreter, or its name is cut off.
    pub fn parse(start: &'a [u8]) -> Result<Option<Self>> {
        let Some(rest) = start.strip_prefix(b"#!") else { return Ok(None) };
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | 0));
        let line = trim(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
        let blank = line.iter().position(|byte| is_blank(*byte));
        // Without an end of line, the name is only known to be whole if something follows it.
        if line.is_empty() || (end.is_none() && blank.is_none() && start.len() >= LOOKAHEAD) {
            return Err(Errno::ENOEXEC);
        }
        let (interpreter, rest) = line.split_at(blank.unwrap_or(line.len()));
        let argument = trim(rest);
        Ok(Some(Self { interpreter, argument: (!argument.is_empty()).then_some(argument) }))
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_once() {
        let script = Script::parse(b"#! /usr/bin/env  -S a b \necho").unwrap().unwrap();
        assert_eq!(script.interpreter, b"/usr/bin/env");
        assert_eq!(script.argument, Some(&b"-S a b"[..]));
        let script = Script::parse(b"#!/bin/sh").unwrap().unwrap();
        assert_eq!((script.interpreter, script.argument), (&b"/bin/sh"[..], None));
    }

    #[test]
    fn refuses_lines_without_a_whole_name() {
        assert_eq!(Script::parse(b"#!  \n"), Err(Errno::ENOEXEC));
        let mut long = [b'x'; LOOKAHEAD];
        long[..2].copy_from_slice(b"#!");
        assert_eq!(Script::parse(&long), Err(Errno::ENOEXEC));
        assert_eq!(Script::parse(b"\x7fELF"), Ok(None));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..LOOKAHEAD)) {
            let _ = Script::parse(&[b"#!", &bytes[..]].concat());
        }
    }
}
