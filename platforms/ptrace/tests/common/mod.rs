//! A platform with a little memory, and tiny programs in it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;

use platform_ptrace::{Config, PtracePlatform, create_sandbox_memory};
use sentry::{
    memory::{Frame, PAGE_SIZE},
    platform::{AddressSpaceId, ExecutorId, Platform, Protection, Trap, UserContext},
};

pub const EXECUTOR: ExecutorId = ExecutorId(0);
pub const CODE: u64 = 0x40_0000;
pub const DATA: u64 = 0x80_0000;
pub const CODE_FRAME: Frame = Frame(1);
pub const DATA_FRAME: Frame = Frame(16);
pub const READ_EXECUTE: Protection = Protection::READ.union(Protection::EXECUTE);
pub const READ_WRITE: Protection = Protection::READ.union(Protection::WRITE);

pub const SYSCALL: [u8; 2] = [0x0f, 0x05];
pub const JUMP_TO_SELF: [u8; 2] = [0xeb, 0xfe];

pub fn config(executors: u16) -> Config {
    let memory_size = 64 << 20;
    let memory = create_sandbox_memory(memory_size).unwrap();
    Config {
        memory,
        memory_size,
        windows: vec![],
        executors,
        trusts_tsc: true,
        hands_over_calls: true,
        kicks: vec![],
        calls: vec![],
    }
}

pub fn platform(executors: u16) -> Arc<PtracePlatform> {
    PtracePlatform::new(config(executors)).unwrap()
}

/// An address space with `code` mapped at [`CODE`].
pub fn space(platform: &PtracePlatform, code: &[u8]) -> AddressSpaceId {
    platform.memory().write(CODE_FRAME.address(), code).unwrap();
    let space = platform.create_address_space(Frame(0)).unwrap();
    platform.map(space, CODE, CODE_FRAME, code.len().div_ceil(PAGE_SIZE), READ_EXECUTE);
    space
}

/// A task that starts at [`CODE`].
pub fn task(platform: &PtracePlatform) -> UserContext {
    let mut context = UserContext::new(platform.extended_state_size());
    context.registers.rip = CODE;
    context.registers.rflags = 0x202;
    context
}

/// Runs until something other than an interrupt.
pub fn run(
    platform: &PtracePlatform,
    executor: ExecutorId,
    space: AddressSpaceId,
    context: &mut UserContext,
) -> Trap {
    loop {
        match platform.run_user(executor, space, context, None) {
            Trap::Interrupted => {}
            trap => return trap,
        }
    }
}
