//! The initial stack of a program: arguments, environment and the auxiliary vector (getauxval(3),
//! System V ABI, AMD64 supplement 3.4.1).

use alloc::vec::Vec;

use crate::errno::{Errno, Result};

/// Longest argument or environment string in bytes (MAX_ARG_STRLEN).
pub const MAX_STRING: usize = 32 * 4096;
/// Room for strings that every program has, in bytes, whatever its stack limit.
const MIN_ROOM: u64 = 32 * 4096;
/// Room that no program exceeds: three quarters of the default stack limit.
const MAX_ROOM: u64 = 6 << 20;

/// Keys of the auxiliary vector.
#[allow(missing_docs, reason = "the names are those of getauxval(3)")]
pub mod key {
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const PLATFORM: u64 = 15;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const HWCAP2: u64 = 26;
    pub const EXECFN: u64 = 31;
    pub const SYSINFO_EHDR: u64 = 33;
    pub const MINSIGSTKSZ: u64 = 51;
}

/// What goes on the stack.
pub struct Contents<'a> {
    /// Arguments, without final NULs.
    pub arguments: &'a [Vec<u8>],
    /// Environment.
    pub environment: &'a [Vec<u8>],
    /// The name the program was executed by (AT_EXECFN).
    pub file_name: &'a [u8],
    /// Random bytes (AT_RANDOM).
    pub random: [u8; 16],
    /// Pairs of the auxiliary vector, without those that point into the stack and the final one.
    pub auxiliary: Vec<(u64, u64)>,
}

/// An initial stack, ready to be copied.
#[derive(Debug, PartialEq, Eq)]
pub struct InitialStack {
    /// Where its first byte goes, and the stack pointer points.
    pub address: u64,
    /// Its bytes, up to the top of the stack.
    pub bytes: Vec<u8>,
    /// Where the strings are.
    pub strings: StringRanges,
}

/// Where what a program starts with is in its memory: first address, and that after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StringRanges {
    /// Arguments (/proc/PID/cmdline).
    pub arguments: (u64, u64),
    /// Environment (/proc/PID/environ).
    pub environment: (u64, u64),
    /// The auxiliary vector with its end (/proc/PID/auxv).
    pub auxiliary: (u64, u64),
    /// The stack pointer that the program started with.
    pub stack_start: u64,
}

/// Strings at the top of the stack, being laid out.
struct Strings {
    base: u64,
    bytes: Vec<u8>,
}

impl Strings {
    fn push(&mut self, string: &[u8]) -> u64 {
        let address = self.base + self.bytes.len() as u64;
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        address
    }
}

impl Contents<'_> {
    /// Checks that strings and pointers fit what `stack_limit` (RLIMIT_STACK, bytes) allows.
    ///
    /// # Errors
    /// E2BIG.
    pub fn check_size(&self, stack_limit: u64) -> Result<()> {
        let all = || self.arguments.iter().chain(self.environment);
        let room = (stack_limit / 4).clamp(MIN_ROOM, MAX_ROOM);
        let size = all().fold(0, |sum: u64, string| sum.saturating_add(string.len() as u64 + 9));
        let too_long = all().any(|string| string.len() >= MAX_STRING);
        if too_long || size > room { Err(Errno::E2BIG) } else { Ok(()) }
    }

    /// Lays the stack out below `top`, which is 16-byte aligned.
    ///
    /// # Errors
    /// E2BIG if it does not fit below `top`.
    pub fn layout(&self, top: u64) -> Result<InitialStack> {
        let lists = || self.arguments.iter().chain(self.environment);
        let strings_size: usize = lists().map(|string| string.len() + 1).sum::<usize>()
            + self.file_name.len()
            + 1
            + b"x86_64\0".len()
            + self.random.len()
            // A final null word, as Linux leaves.
            + 8;
        let base = top.checked_sub(strings_size as u64).ok_or(Errno::E2BIG)? & !15;
        let mut strings = Strings { base, bytes: Vec::with_capacity(strings_size + 16) };
        let random = base;
        strings.bytes.extend_from_slice(&self.random);
        let platform = strings.push(b"x86_64");
        let arguments: Vec<u64> = self.arguments.iter().map(|text| strings.push(text)).collect();
        let environment_start = base + strings.bytes.len() as u64;
        let environment: Vec<u64> =
            self.environment.iter().map(|text| strings.push(text)).collect();
        let environment_end = base + strings.bytes.len() as u64;
        let file_name = strings.push(self.file_name);
        strings.bytes.resize(usize::try_from(top - base).map_err(|_| Errno::E2BIG)?, 0);

        let own = [(key::RANDOM, random), (key::PLATFORM, platform), (key::EXECFN, file_name)];
        let words = self.words(&arguments, &environment, &own);
        let address = base.checked_sub(words.len() as u64 * 8).ok_or(Errno::E2BIG)? & !15;
        let vector_size = 16 * (self.auxiliary.len() + own.len() + 1) as u64;
        let vector_end = address + words.len() as u64 * 8;
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(usize::try_from(base - address).map_err(|_| Errno::E2BIG)?, 0);
        bytes.append(&mut strings.bytes);
        let first = arguments.first().copied().unwrap_or(environment_start);
        Ok(InitialStack {
            address,
            bytes,
            strings: StringRanges {
                arguments: (first, environment_start),
                environment: (environment_start, environment_end),
                auxiliary: (vector_end - vector_size, vector_end),
                stack_start: address,
            },
        })
    }

    /// The words from the stack pointer up: count, arguments, environment, auxiliary vector.
    fn words(&self, arguments: &[u64], environment: &[u64], own: &[(u64, u64)]) -> Vec<u64> {
        let mut words = Vec::new();
        words.push(arguments.len() as u64);
        words.extend_from_slice(arguments);
        words.push(0);
        words.extend_from_slice(environment);
        words.push(0);
        words.extend(self.auxiliary.iter().chain(own).flat_map(|(key, value)| [*key, *value]));
        words.extend([0, 0]);
        words
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn contents<'a>(arguments: &'a [Vec<u8>], environment: &'a [Vec<u8>]) -> Contents<'a> {
        Contents {
            arguments,
            environment,
            file_name: b"/bin/x",
            random: [7; 16],
            auxiliary: vec![(key::PAGESZ, 4096)],
        }
    }

    fn word(stack: &InitialStack, address: u64) -> u64 {
        let at = (address - stack.address) as usize;
        u64::from_le_bytes(stack.bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn pointers_lead_to_the_strings() {
        let arguments = [b"one".to_vec(), b"two".to_vec()];
        let environment = [b"A=b".to_vec()];
        let top = 0x7fff_0000;
        let stack = contents(&arguments, &environment).layout(top).unwrap();
        assert_eq!(stack.address % 16, 0);
        assert_eq!(stack.address + stack.bytes.len() as u64, top);
        assert_eq!(word(&stack, stack.address), 2);
        let two = (word(&stack, stack.address + 16) - stack.address) as usize;
        assert_eq!(&stack.bytes[two..two + 4], b"two\0");
        assert_eq!(word(&stack, stack.address + 24), 0);
        let a = (word(&stack, stack.address + 32) - stack.address) as usize;
        assert_eq!(&stack.bytes[a..a + 4], b"A=b\0");
        let length = stack.strings.arguments.1 - stack.strings.arguments.0;
        assert_eq!(length, 8);
        let (vector, vector_end) = stack.strings.auxiliary;
        assert_eq!((word(&stack, vector), word(&stack, vector_end - 16)), (key::PAGESZ, 0));
    }

    #[test]
    fn too_much_is_refused() {
        let long = [vec![b'x'; MAX_STRING]];
        assert_eq!(contents(&long, &[]).check_size(8 << 20), Err(Errno::E2BIG));
        let many = vec![vec![b'x'; 1000]; 3000];
        assert_eq!(contents(&many, &[]).check_size(8 << 20), Err(Errno::E2BIG));
        assert_eq!(contents(&many[..1000], &[]).check_size(8 << 20), Ok(()));
    }
}
