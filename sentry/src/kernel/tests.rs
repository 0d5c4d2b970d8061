//! The whole kernel under scripted user code, in virtual time.
//!
//! A script is a list of steps; "instruction" N is at address 2N, so that going back two bytes, as
//! an interrupted call does, makes it again. A step makes a system call or ends the script.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};
use core::future::Future;

use guest_abi::{
    container::{ContainerSpec, SharedNamespaces},
    control::ProcessNumber,
};
use spin::mutex::SpinMutex;

use super::{
    Container, Credentials, Kernel, Limits, WaitStatus,
    clone::{self, FirstTask},
    run, run_executor,
    signal::Signal,
};
use crate::{
    fs::{
        testing,
        tmpfs::{Options, Tmpfs},
    },
    mm::{MapRequest, MapSource, Mm, UserAddress},
    platform::{ExecutorId, Protection, Registers, Trap, UserContext, mock::MockPlatform},
    vfs::{FdTable, FsContext, Mount, MountFlags, Namespace},
};

const NANOSLEEP: u64 = 35;
const PAUSE: u64 = 34;
const CLONE: u64 = 56;
const EXIT: u64 = 60;
const WAIT4: u64 = 61;
const KILL: u64 = 62;
const SIGACTION: u64 = 13;
const GETPID: u64 = 39;
const GETPPID: u64 = 110;
const FUTEX: u64 = 202;
const EXIT_GROUP: u64 = 231;

/// Where every script has a page of memory.
const DATA: u64 = 0x10_0000;
/// CLONE_VM, FS, FILES, SIGHAND, THREAD.
const THREAD_FLAGS: u64 = 0x1_0f00;

/// A system call: number and arguments.
type Call = (u64, [u64; 3]);
/// What a step does, given the registers; it may change them (the next step is in `rip`).
type Step = Box<dyn Fn(&mut Registers) -> Call + Send>;
/// Result registers that steps have seen, in order.
type Seen = Arc<SpinMutex<Vec<i64>>>;

fn call(number: u64, arguments: [u64; 3]) -> Step {
    Box::new(move |_| (number, arguments))
}

/// Notes the result of the step before and makes the call.
fn note(seen: &Seen, number: u64, arguments: [u64; 3]) -> Step {
    let seen = seen.clone();
    Box::new(move |registers| {
        seen.lock().push(registers.rax.cast_signed());
        (number, arguments)
    })
}

/// After a clone: the child goes on at `child`, the parent makes the call.
fn unless_child(child: u64, number: u64, arguments: [u64; 3], at_child: Call) -> Step {
    Box::new(move |registers| {
        if registers.rax != 0 {
            return (number, arguments);
        }
        registers.rip = 2 * child;
        at_child
    })
}

/// Runs `script` as the first process; answers its status, and the time it ended.
fn run_script(script: Vec<Step>) -> (WaitStatus, u64) {
    let (kernel, platform) = testing::kernel();
    set_script(&platform, script);
    run::start(first_task(&kernel));
    run_executor(&kernel, ExecutorId(0));
    let status = kernel.containers.sandbox.first_process().unwrap().exit_status().unwrap();
    (status, kernel.platform.monotonic_nanoseconds())
}

fn set_script(platform: &MockPlatform, script: Vec<Step>) {
    platform.set_user_code(Box::new(move |_, context| {
        let registers = &mut context.registers;
        let step = &script[usize::try_from(registers.rip / 2).unwrap()];
        let (number, [rdi, rsi, rdx]) = step(registers);
        registers.rip += 2;
        (registers.original_rax, registers.rax) = (number, number);
        (registers.rdi, registers.rsi, registers.rdx, registers.r10) = (rdi, rsi, rdx, 0);
        Trap::Syscall
    }));
}

fn first_task(kernel: &Arc<Kernel>) -> super::Current {
    first_task_of(kernel, &kernel.containers.sandbox)
}

fn first_task_of(kernel: &Arc<Kernel>, container: &Arc<Container>) -> super::Current {
    let tmpfs = Tmpfs::new(kernel, Options::default());
    let flags = MountFlags::empty();
    let namespace = Namespace::new(Mount::new(tmpfs, &kernel.vfs.dentries, "tmpfs", flags));
    let mm = Mm::new(kernel.platform.clone(), kernel.frames.clone(), 0).unwrap();
    let protection = Protection::READ | Protection::WRITE;
    mm.map(MapRequest::new(4096, protection, MapSource::Anonymous).fixed(DATA)).unwrap();
    let first = FirstTask {
        container: container.clone(),
        mm,
        files: FdTable::new(),
        fs: FsContext::new(namespace, 0),
        context: UserContext::new(kernel.platform.extended_state_size()),
        credentials: Arc::new(Credentials::kernel()),
        limits: Limits::default(),
        call_filters: None,
    };
    clone::first_task(kernel, first).unwrap()
}

/// Writes `words` to user memory at [`DATA`] before the script runs.
fn with_data(kernel_task: &super::Current, words: &[u64]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let copy = core::pin::pin!(kernel_task.mm.copy_out(UserAddress(DATA), &bytes));
    // Anonymous memory is there at once.
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    assert!(copy.poll(&mut context).is_ready());
}

#[test]
fn a_child_is_waited_for() {
    let seen = Seen::default();
    let script = vec![
        call(CLONE, [u64::from(Signal::CHLD.number()), 0, 0]),
        unless_child(3, WAIT4, [u64::MAX, 0, 0], (GETPPID, [0; 3])),
        note(&seen, EXIT_GROUP, [7, 0, 0]),
        call(EXIT, [0, 0, 0]),
        note(&seen, EXIT, [5, 0, 0]),
    ];
    assert_eq!(run_script(script).0, WaitStatus::exited(7));
    // The child's parent is 1; the parent waited for 2.
    assert_eq!(*seen.lock(), [1, 2]);
}

#[test]
fn a_signal_ends_a_sleeping_child() {
    let seen = Seen::default();
    let script = vec![
        call(CLONE, [u64::from(Signal::CHLD.number()), 0, 0]),
        unless_child(4, KILL, [2, 15, 0], (PAUSE, [0; 3])),
        note(&seen, WAIT4, [2, 0, 0]),
        note(&seen, EXIT, [0; 3]),
        call(EXIT, [99, 0, 0]),
    ];
    assert_eq!(run_script(script).0, WaitStatus::exited(0));
    assert_eq!(*seen.lock(), [0, 2]);
}

#[test]
fn sleeping_takes_virtual_time_only() {
    let (kernel, platform) = testing::kernel();
    let current = first_task(&kernel);
    with_data(&current, &[3, 500_000_000]);
    platform.set_user_code(Box::new(|_, context| {
        let registers = &mut context.registers;
        let number = if registers.rip == 0 { NANOSLEEP } else { EXIT };
        registers.rip += 2;
        (registers.original_rax, registers.rdi, registers.rsi) = (number, DATA, 0);
        Trap::Syscall
    }));
    run::start(current);
    run_executor(&kernel, ExecutorId(0));
    assert!(kernel.platform.monotonic_nanoseconds() >= 3_500_000_000);
}

#[test]
fn threads_meet_at_a_futex() {
    let seen = Seen::default();
    let private_wait = 128;
    let private_wake = 129;
    let script = vec![
        call(CLONE, [THREAD_FLAGS, 0x5000, 0]),
        // The parent waits; the thread, which runs later, wakes it and exits.
        unless_child(3, FUTEX, [DATA, private_wait, 0], (FUTEX, [DATA, private_wake, 1])),
        note(&seen, EXIT_GROUP, [3, 0, 0]),
        call(EXIT, [0; 3]),
        note(&seen, EXIT, [0; 3]),
    ];
    assert_eq!(run_script(script).0, WaitStatus::exited(3));
    assert_eq!(*seen.lock(), [1, 0]);
}

#[test]
fn the_first_process_is_safe_from_itself() {
    let seen = Seen::default();
    let script =
        vec![call(KILL, [1, 9, 0]), note(&seen, KILL, [1, 15, 0]), note(&seen, EXIT, [4, 0, 0])];
    assert_eq!(run_script(script).0, WaitStatus::exited(4));
    assert_eq!(*seen.lock(), [0, 0]);
}

#[test]
fn a_bad_action_is_refused() {
    let seen = Seen::default();
    let script = vec![call(SIGACTION, [9, DATA, 0]), note(&seen, EXIT, [0; 3])];
    run_script(script);
    assert_eq!(*seen.lock(), [-22]);
}

/// Runs the sandbox's first process, which sleeps a second and looks for process 2, and that of a
/// further container, which makes one and exits; answers what both have seen, and the container.
fn run_two_containers(spec: ContainerSpec) -> (Vec<i64>, Arc<Container>) {
    const FURTHER: u64 = 3;
    let (kernel, platform) = testing::kernel();
    let seen = Seen::default();
    let script = vec![
        call(NANOSLEEP, [DATA, 0, 0]),
        call(KILL, [2, 0, 0]),
        note(&seen, EXIT_GROUP, [0, 0, 0]),
        call(CLONE, [u64::from(Signal::CHLD.number()), 0, 0]),
        unless_child(6, GETPID, [0; 3], (PAUSE, [0; 3])),
        note(&seen, EXIT_GROUP, [5, 0, 0]),
        call(EXIT, [0, 0, 0]),
    ];
    set_script(&platform, script);
    let sandbox = first_task(&kernel);
    with_data(&sandbox, &[1, 0]);
    let container = Container::beside(&kernel.containers.sandbox, ProcessNumber(1), spec);
    kernel.containers.add(&container);
    let mut further = first_task_of(&kernel, &container);
    further.context.registers.rip = 2 * FURTHER;
    run::start(sandbox);
    run::start(further);
    run_executor(&kernel, ExecutorId(0));
    let seen = seen.lock().clone();
    (seen, container)
}

#[test]
fn a_container_has_a_pid_namespace_that_ends_with_its_init() {
    let spec = ContainerSpec { has_init: true, ..ContainerSpec::default() };
    let (seen, container) = run_two_containers(spec);
    // It is process 1 for itself, and nobody else finds its process 2 (ESRCH).
    assert_eq!(seen, [1, -3]);
    assert!(container.has_ended());
    let child = container.processes.process(2).unwrap();
    assert_eq!(child.exit_status(), Some(WaitStatus::killed(Signal::KILL, false)));
}

#[test]
fn a_shared_pid_namespace_shows_the_processes_of_both_containers() {
    let shared = SharedNamespaces { pid: true, ..SharedNamespaces::default() };
    let spec = ContainerSpec { shared, has_init: true, ..ContainerSpec::default() };
    let (seen, container) = run_two_containers(spec);
    // Process 1 is the other's; process 2 has ended, its child 3 has not.
    assert_eq!(seen, [2, -3]);
    let members: Vec<u32> = container.members().iter().map(|process| process.pid()).collect();
    assert_eq!(members, [3]);
    assert_eq!(container.task_count(), 1);
}
