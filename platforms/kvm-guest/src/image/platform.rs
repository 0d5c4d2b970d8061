//! `sentry::Platform` on bare (virtual) metal.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use guest_abi::{device::QueueId, kvm};
use sentry::{
    errno::{Errno, Result},
    memory::{Frame, PhysicalMemory},
    platform::{
        AddressSpaceId, ClockParameters, Exception, ExecutorId, FaultAround, Platform, Protection,
        Trap, UserContext,
    },
};

use super::{
    address_spaces, apic, clock, entry, extended, idle,
    per_cpu::{self, Mode},
    ports, processor, shootdown, trap,
};

/// Bytes of the half of a root page table that maps the sentry.
const KERNEL_HALF_BYTES: usize = 2048;

/// The guest half of the KVM platform.
pub struct KvmPlatform {
    memory: PhysicalMemory,
    vcpus: u16,
}

impl KvmPlatform {
    /// The platform on `memory` with `vcpus` vCPUs.
    pub fn new(memory: PhysicalMemory, vcpus: u16) -> Arc<Self> {
        Arc::new(Self { memory, vcpus })
    }
}

impl Platform for KvmPlatform {
    fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    fn executor_count(&self) -> u16 {
        self.vcpus
    }

    fn user_address_limit(&self) -> u64 {
        kvm::USER_ADDRESS_LIMIT
    }

    fn fault_around(&self) -> FaultAround {
        FaultAround { zeros: 16, file: 64, copies: 1 }
    }

    /// The space's name is the physical address of its root, which gets the sentry's half.
    fn create_address_space(&self, root: Frame) -> Result<AddressSpaceId> {
        let half = KERNEL_HALF_BYTES as u64;
        self.memory
            .copy(kvm::BOOT_PAGE_TABLES + half, root.address() + half, KERNEL_HALF_BYTES)
            .map_err(|_| Errno::EFAULT)?;
        Ok(AddressSpaceId(root.address()))
    }

    fn destroy_address_space(&self, space: AddressSpaceId) {
        if per_cpu::current().loaded_root.load(Ordering::Relaxed) == space.0 {
            address_spaces::load(kvm::BOOT_PAGE_TABLES);
        }
        // The frame of the root may become another space's.
        address_spaces::advance(space.0);
    }

    /// Nothing to do: a processor caches no absent entries, and a fault on an entry that has gained
    /// access drops the stale one (Intel SDM volume 3, 5.10.4.1).
    fn map(&self, _: AddressSpaceId, _: u64, _: Frame, _: usize, _: Protection) {}

    fn unmap(&self, space: AddressSpaceId, address: u64, pages: usize) {
        shootdown::drop_translations(self.vcpus, space.0, address, pages);
    }

    fn protect(&self, space: AddressSpaceId, address: u64, pages: usize, _: Protection) {
        shootdown::drop_translations(self.vcpus, space.0, address, pages);
    }

    fn run_user(
        &self,
        _executor: ExecutorId,
        space: AddressSpaceId,
        context: &mut UserContext,
        deadline: Option<u64>,
    ) -> Trap {
        let own = per_cpu::current();
        context.user_nanoseconds = 0;
        // First of all: when this returns, the space is the one that is loaded.
        if own.loaded_root.load(Ordering::Relaxed) != space.0 {
            address_spaces::load(space.0);
        }
        if !trap::prepare(&mut context.registers) {
            return Trap::Exception(Exception::GeneralProtection);
        }
        if let Some(deadline) = deadline {
            set_timer_before(deadline);
        }
        extended::load(context);
        if own.has_fsgsbase == 0 {
            let registers = &context.registers;
            processor::set_user_bases(registers.fs_base, registers.gs_base);
        }
        own.set_mode(Mode::User);
        if own.interrupt_pending.load(Ordering::SeqCst) {
            own.interrupt_pending.store(false, Ordering::SeqCst);
            own.set_mode(Mode::Sentry);
            return Trap::Interrupted;
        }
        shootdown::drop_if_requested(own);
        let entered = clock::counter();
        // SAFETY: interrupts are off in ring 0, the registers outlive the call, and `prepare` has
        // judged RIP and RFLAGS.
        let kind = unsafe { entry::enter_user(&raw mut context.registers) };
        own.set_mode(Mode::Sentry);
        context.user_nanoseconds =
            clock::duration_nanoseconds(clock::counter().saturating_sub(entered));
        if kind == entry::TRAP_SYSCALL {
            return Trap::Syscall;
        }
        trap::user_trap(own.trap_vector, own.trap_error)
    }

    fn save_extended_state(&self, _executor: ExecutorId, context: &mut UserContext) {
        extended::save(context);
    }

    fn extended_state_size(&self) -> usize {
        extended::area_bytes()
    }

    fn extended_state_features(&self) -> u64 {
        extended::features()
    }

    fn interrupt(&self, executor: ExecutorId) {
        let Some(other) = per_cpu::get(executor.0) else { return };
        other.interrupt_pending.store(true, Ordering::SeqCst);
        if other.index != per_cpu::current().index && other.needs_interrupt() {
            apic::send_wake(other.index);
        }
    }

    fn leave_address_space(&self, _executor: ExecutorId) {
        if per_cpu::current().loaded_root.load(Ordering::Relaxed) != kvm::BOOT_PAGE_TABLES {
            address_spaces::load(kvm::BOOT_PAGE_TABLES);
        }
    }

    fn idle(&self, _executor: ExecutorId, deadline: Option<u64>) {
        let own = per_cpu::current();
        if let Some(deadline) = deadline {
            set_timer_before(deadline);
        }
        idle::wait(own);
    }

    fn monotonic_nanoseconds(&self) -> u64 {
        clock::monotonic_nanoseconds()
    }

    fn realtime_nanoseconds(&self) -> u64 {
        clock::realtime_nanoseconds()
    }

    fn clock_parameters(&self) -> Option<ClockParameters> {
        Some(clock::parameters())
    }

    fn kick(&self, queue: QueueId) {
        if let Some(port) = kvm::doorbell_port(queue) {
            ports::write(port, 0);
        }
    }

    fn release_frames(&self, first: Frame, count: usize) {
        if let Ok(count) = u32::try_from(count) {
            ports::release_frames(first.0, count);
        }
    }

    fn emergency_log(&self, line: &str) {
        ports::log(line);
    }

    fn halt(&self) {
        for index in 0..self.vcpus {
            self.interrupt(ExecutorId(index));
        }
    }
}

/// Sets the timer to `deadline` (CLOCK_MONOTONIC, nanoseconds), unless it fires earlier anyway. One
/// setting serves many entries of ring 3, for each is an exit.
fn set_timer_before(deadline: u64) {
    per_cpu::with_own(|own| {
        if deadline < own.timer_deadline {
            own.timer_deadline = deadline;
            apic::set_timer(clock::counter_at(deadline));
        }
    });
}
