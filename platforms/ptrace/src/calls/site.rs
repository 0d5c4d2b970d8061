//! Sites: the places in user code that make system calls.

use super::gate;

/// Bytes of a site: `MOV eax, imm32` and SYSCALL, or the jump that replaces both.
pub const SITE_BYTES: u64 = 7;

/// Offset of SYSCALL in a site.
const SYSCALL_OFFSET: u64 = 5;

/// A place in user code that makes one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Address of its first byte.
    pub address: u64,
    /// The number of the call.
    pub number: u32,
}

impl Site {
    /// The site whose SYSCALL is followed by `rip`, if `bytes`, those before `rip`, are one.
    pub fn recognise(rip: u64, bytes: [u8; SITE_BYTES as usize]) -> Option<Self> {
        let [0xb8, a, b, c, d, 0x0f, 0x05] = bytes else { return None };
        let number = u32::from_le_bytes([a, b, c, d]);
        Some(Self { address: rip.checked_sub(SITE_BYTES)?, number })
    }

    /// Where user code goes on after the call.
    pub const fn after(self) -> u64 {
        self.address + SITE_BYTES
    }

    /// Where its SYSCALL was: what the sentry continues at to restart a call. In a patched site
    /// there is an invalid instruction.
    pub const fn syscall(self) -> u64 {
        self.address + SYSCALL_OFFSET
    }

    /// The bytes that send user code through `slot` instead: `JMP [entry]`. The entry is below
    /// 2^24 and [`super::GATE`] is such that byte 5 is 06, which 64-bit mode does not know (Intel
    /// SDM volume 2, table A-2).
    pub fn patch(slot: usize) -> [u8; SITE_BYTES as usize] {
        let [a, b, c, d, ..] = gate::entry(slot).to_le_bytes();
        [0xff, 0x24, 0x25, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_pattern_is_a_site() {
        let site = Site::recognise(0x1007, [0xb8, 3, 0, 0, 0, 0x0f, 0x05]).unwrap();
        assert_eq!(site, Site { address: 0x1000, number: 3 });
        assert_eq!((site.syscall(), site.after()), (0x1005, 0x1007));
        assert_eq!(Site::recognise(0x1007, [0x89, 3, 0, 0, 0, 0x0f, 0x05]), None);
        assert_eq!(Site::recognise(0x1007, [0xb8, 3, 0, 0, 0, 0x0f, 0x34]), None);
        assert_eq!(Site::recognise(3, [0xb8, 3, 0, 0, 0, 0x0f, 0x05]), None);
    }

    #[test]
    fn a_patched_site_faults_where_the_call_was() {
        for slot in [0, gate::SLOTS - 1] {
            let bytes = Site::patch(slot);
            assert_eq!(bytes[..3], [0xff, 0x24, 0x25]);
            assert_eq!(bytes[5..], [0x06, 0x00], "PUSH es is no instruction in 64-bit mode");
        }
    }
}
