//! What is known of one sent signal: the kernel's `siginfo_t`.

use super::Signal;
use crate::kernel::Credentials;

/// Values of `si_code` (sigaction(2)).
#[allow(missing_docs, reason = "the names are those of sigaction(2), without prefix where unique")]
pub mod code {
    pub const SI_USER: i32 = 0;
    pub const SI_KERNEL: i32 = 0x80;
    pub const SI_QUEUE: i32 = -1;
    pub const SI_TIMER: i32 = -2;
    pub const SI_MESGQ: i32 = -3;
    pub const SI_TKILL: i32 = -6;
    pub const ILL_ILLOPN: i32 = 2;
    pub const FPE_INTDIV: i32 = 1;
    pub const FPE_FLTINV: i32 = 7;
    pub const SEGV_MAPERR: i32 = 1;
    pub const SEGV_ACCERR: i32 = 2;
    pub const BUS_ADRALN: i32 = 1;
    pub const BUS_ADRERR: i32 = 2;
    pub const TRAP_BRKPT: i32 = 1;
    pub const TRAP_TRACE: i32 = 2;
    pub const SYS_SECCOMP: i32 = 1;
    pub const CLD_EXITED: i32 = 1;
    pub const CLD_KILLED: i32 = 2;
    pub const CLD_DUMPED: i32 = 3;
    pub const CLD_STOPPED: i32 = 5;
    pub const CLD_CONTINUED: i32 = 6;
}

/// Size of the user `siginfo_t` in bytes.
pub const SIGINFO_SIZE: usize = 128;

const HEADER_SIZE: usize = 16;
const PAYLOAD_SIZE: usize = 32;

/// One sent signal. As Linux's `kernel_siginfo`, it keeps the 48 bytes that any kind of signal
/// uses; the rest of the 128 bytes that user code sees is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    /// The signal.
    pub signal: Signal,
    /// `si_errno`.
    pub errno: i32,
    /// `si_code`; see [`code`].
    pub code: i32,
    /// The part that depends on the kind of signal, from offset 16 on.
    payload: [u8; PAYLOAD_SIZE],
}

impl SignalInfo {
    /// A signal of the kernel itself, without further information.
    pub const fn kernel(signal: Signal) -> Self {
        Self { signal, errno: 0, code: code::SI_KERNEL, payload: [0; PAYLOAD_SIZE] }
    }

    /// A signal from process `pid` of user `uid`; `code` is `SI_USER` or `SI_TKILL`.
    pub fn from_process(signal: Signal, code: i32, pid: u32, uid: u32) -> Self {
        Self { code, ..Self::kernel(signal) }.with_u32(0, pid).with_u32(4, uid)
    }

    /// A signal from POSIX timer `id`, which expired `overrun` further times unnoticed, carrying
    /// `value`.
    pub fn timer(signal: Signal, id: u32, overrun: u32, value: u64) -> Self {
        let info = Self { code: code::SI_TIMER, ..Self::kernel(signal) };
        info.with_u32(0, id).with_u32(4, overrun).with_u64(8, value)
    }

    /// A signal that tells of a message of a POSIX queue; `sender` is its process and user.
    pub fn message_queue(signal: Signal, sender: (u32, u32), value: u64) -> Self {
        Self::from_process(signal, code::SI_MESGQ, sender.0, sender.1).with_u64(8, value)
    }

    /// A fault at `address`; `code` says which (`SEGV_MAPERR`, ...).
    pub fn fault(signal: Signal, code: i32, address: u64) -> Self {
        Self { code, ..Self::kernel(signal) }.with_u64(0, address)
    }

    /// SIGSYS for the call `number` of `architecture` at address `at`, which a filter refused with
    /// `errno` (seccomp(2), SECCOMP_RET_TRAP).
    pub fn refused_call(at: u64, number: u32, architecture: u32, errno: i32) -> Self {
        let info = Self { code: code::SYS_SECCOMP, errno, ..Self::kernel(Signal::SYS) };
        info.with_u64(0, at).with_u32(8, number).with_u32(12, architecture)
    }

    /// News of a child (`code` is one of `CLD_*`): its `status` is the exit code or the signal, its
    /// times are in clock ticks of 10 ms.
    pub fn child(code: i32, pid: u32, uid: u32, status: i32, user: u64, system: u64) -> Self {
        let info = Self { code, ..Self::kernel(Signal::CHLD) };
        info.with_u32(0, pid)
            .with_u32(4, uid)
            .with_u32(8, status.cast_unsigned())
            .with_u64(16, user)
            .with_u64(24, system)
    }

    /// A `siginfo_t` as rt_sigqueueinfo(2) passes it; the signal number is the argument's.
    pub fn from_user(signal: Signal, bytes: &[u8; SIGINFO_SIZE]) -> Self {
        let word = |offset: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[offset..offset + 4]);
            i32::from_le_bytes(word)
        };
        let mut payload = [0; PAYLOAD_SIZE];
        payload.copy_from_slice(&bytes[HEADER_SIZE..HEADER_SIZE + PAYLOAD_SIZE]);
        Self { signal, errno: word(4), code: word(8), payload }
    }

    /// The `siginfo_t` that user code sees.
    pub fn to_user(&self) -> [u8; SIGINFO_SIZE] {
        let mut bytes = [0; SIGINFO_SIZE];
        bytes[0..4].copy_from_slice(&u32::from(self.signal.number()).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.errno.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.code.to_le_bytes());
        bytes[HEADER_SIZE..HEADER_SIZE + PAYLOAD_SIZE].copy_from_slice(&self.payload);
        bytes
    }

    /// As `reader` sees it: with the user id that the sender, or the child, has in its user namespace.
    #[must_use]
    pub fn seen_by(&self, reader: &Credentials) -> Self {
        let tells_user = match self.code {
            code::SI_TIMER => false,
            ..=code::SI_USER => true,
            code => self.signal == Signal::CHLD && code != code::SI_KERNEL,
        };
        if tells_user { self.with_u32(4, reader.shown_user(self.uid())) } else { *self }
    }

    /// `si_pid`, where the kind has one.
    pub fn pid(&self) -> u32 {
        self.u32(0)
    }

    /// `si_uid`, where the kind has one.
    pub fn uid(&self) -> u32 {
        self.u32(4)
    }

    /// `si_addr` of a fault.
    pub fn address(&self) -> u64 {
        self.u64(0)
    }

    /// `si_status` of news of a child.
    pub fn status(&self) -> i32 {
        self.u32(8).cast_signed()
    }

    /// `si_utime` and `si_stime` of news of a child, in clock ticks.
    pub fn times(&self) -> (u64, u64) {
        (self.u64(16), self.u64(24))
    }

    /// `si_value` of a queued signal or a timer's.
    pub fn value(&self) -> u64 {
        self.u64(8)
    }

    /// `si_overrun` of a timer's signal.
    pub fn overrun(&self) -> u32 {
        self.u32(4)
    }

    /// `si_timerid` of a timer's signal.
    pub fn timer_id(&self) -> u32 {
        self.u32(0)
    }

    /// The same as another signal (clone(2), exit signal).
    pub const fn with_signal(self, signal: Signal) -> Self {
        Self { signal, ..self }
    }

    fn with_u32(mut self, offset: usize, value: u32) -> Self {
        self.payload[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn with_u64(mut self, offset: usize, value: u64) -> Self {
        self.payload[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.payload[offset..offset + 4]);
        u32::from_le_bytes(bytes)
    }

    fn u64(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.payload[offset..offset + 8]);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_that_of_siginfo_t() {
        let bytes = SignalInfo::child(code::CLD_EXITED, 7, 8, 9, 10, 11).to_user();
        let word = |offset: usize| bytes[offset];
        assert_eq!([word(0), word(4), word(8)], [17, 0, 1]);
        assert_eq!([word(16), word(20), word(24), word(32), word(40)], [7, 8, 9, 10, 11]);
    }

    #[test]
    fn user_bytes_survive() {
        let info = SignalInfo::timer(Signal::ALRM, 1, 2, 0x1234_5678_9abc);
        assert_eq!(SignalInfo::from_user(Signal::ALRM, &info.to_user()), info);
    }
}
