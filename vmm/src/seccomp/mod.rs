//! Filters of system calls, one for each kind of thread (seccomp(2)).
//!
//! A filter lists what its threads do, and kills the process for anything else. The lists are
//! `resources/seccomp/*.json`, with the reason of every rule; the build script compiles them. A
//! thread installs its filter when it has all it needs, before the first guest instruction: no
//! thread starts another one, opens a path (but the gofer's beneath their roots) or executes a
//! program after that.

#[cfg(debug_assertions)]
mod without;

#[cfg(debug_assertions)]
pub use without::VARIABLE as WITHOUT_VARIABLE;

use std::io;

use seccompiler::{apply_filter, sock_filter};

/// The kinds of threads, each with the name of its filter, which is that of its file.
macro_rules! filters {
    ($($(#[$documentation:meta])* $kind:ident = $name:literal,)+) => {
        /// A kind of thread.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Filter {
            $($(#[$documentation])* $kind,)+
        }

        impl Filter {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// Its name, which is that of its file.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// The compiled filter.
            const fn bytes(self) -> &'static [u8] {
                match self {
                    $(Self::$kind => include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bpf")),)+
                }
            }

            /// The list of its rules.
            #[cfg(debug_assertions)]
            const fn source(self) -> &'static str {
                match self {
                    $(Self::$kind => {
                        include_str!(concat!("../../../resources/seccomp/", $name, ".json"))
                    })+
                }
            }
        }
    };
}

filters! {
    /// The sandbox process's main thread: devices, connections, terminal.
    EventLoop = "sandbox-event-loop",
    /// An executor of the ptrace platform.
    ExecutorPtrace = "sandbox-executor-ptrace",
    /// The keeper of the ptrace platform.
    Keeper = "sandbox-keeper",
    /// A vCPU of the kvm platform.
    ExecutorKvm = "sandbox-executor-kvm",
    /// The gofer's main thread, which waits for its end.
    GoferMain = "gofer-main",
    /// A thread of the gofer that serves a tree.
    GoferFileSystem = "gofer-file-system",
    /// The process that stands for one of a container, which has no other thread.
    StandIn = "stand-in",
}

impl Filter {
    fn program(self) -> Vec<sock_filter> {
        #[cfg(debug_assertions)]
        if let Some(program) = without::program(self) {
            return program;
        }
        let instruction = |bytes: &[u8; 8]| {
            let [code_low, code_high, jt, jf, a, b, c, d] = *bytes;
            let code = u16::from_ne_bytes([code_low, code_high]);
            sock_filter { code, jt, jf, k: u32::from_ne_bytes([a, b, c, d]) }
        };
        self.bytes().as_chunks().0.iter().map(instruction).collect()
    }

    /// Confines the calling thread for good, and threads that it makes.
    ///
    /// # Errors
    /// If the kernel has no such filters.
    pub fn install(self) -> io::Result<()> {
        apply_filter(&self.program()).map_err(|error| {
            io::Error::other(format!("the kernel refuses the filter {}: {error}", self.name()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BPF_RET | BPF_K, and what it returns (linux/seccomp.h).
    const RETURN: u16 = 0x06;
    const KILL_PROCESS: u32 = 0x8000_0000;

    #[test]
    fn every_filter_is_compiled_and_kills_what_it_does_not_list() {
        for &filter in Filter::ALL {
            let program = filter.program();
            assert!(program.len() > 10, "{}", filter.name());
            let last = program.iter().rev().find(|it| it.code == RETURN && it.k != 0x7fff_0000);
            assert_eq!(last.map(|it| it.k), Some(KILL_PROCESS), "{}", filter.name());
        }
    }

    /// A channel of the standard library calls sched_yield(2) if the thread at its other end was preempted
    /// in the middle of sending: with one processor that happens.
    #[test]
    fn threads_that_share_channels_may_yield() {
        /// BPF_JMP | BPF_JEQ | BPF_K
        const JUMP_IF_EQUAL: u16 = 0x15;
        let threads = Filter::ALL.iter().filter(|filter| **filter != Filter::StandIn);
        for filter in threads {
            let yields = |it: &sock_filter| {
                it.code == JUMP_IF_EQUAL && i64::from(it.k) == libc::SYS_sched_yield
            };
            assert!(filter.program().iter().any(yields), "{}", filter.name());
        }
    }

    #[test]
    fn a_confined_thread_does_what_is_listed() {
        let thread = std::thread::spawn(|| Filter::EventLoop.install());
        thread.join().unwrap().unwrap();
    }
}
