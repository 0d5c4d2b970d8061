//! The local APIC in x2APIC mode, by MSRs (Intel SDM volume 3, 11.12).

use core::{
    arch::x86_64::__cpuid,
    mem::offset_of,
    sync::atomic::{AtomicU64, Ordering},
};

use guest_abi::kvm::{
    DIRECT_MAP_BASE, IMAGE_VIRTUAL_OFFSET, SPURIOUS_VECTOR, TIMER_VECTOR, VcpuCounts, WAKE_VECTOR,
    vcpu_counts_address,
};
use x86_64::registers::model_specific::Msr;

use super::per_cpu;

const APIC_BASE: u32 = 0x1b;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const END_OF_INTERRUPT: u32 = 0x80b;
const SPURIOUS: u32 = 0x80f;
const SPURIOUS_ENABLE: u64 = 1 << 8;
const INTERRUPT_COMMAND: u32 = 0x830;
const TIMER: u32 = 0x832;
const TIMER_TSC_DEADLINE: u64 = 2 << 17;
const TSC_DEADLINE: u32 = 0x6e0;
const END_OF_INTERRUPT_BY_MEMORY: u32 = 0x4b56_4d04;
const ENABLED: u64 = 1 << 0;

/// KVM's features in CPUID (Linux, Documentation/virt/kvm/x86/cpuid.rst), and KVM_FEATURE_PV_EOI.
const KVM_FEATURES: u32 = 0x4000_0001;
const FEATURE_END_OF_INTERRUPT_BY_MEMORY: u32 = 1 << 6;
/// Bit of [`per_cpu::PerCpu::end_of_interrupt`]: to clear it ends the interrupt.
const CLEARING_ENDS: u32 = 1 << 0;

/// Adds one to the count at `offset` of this vCPU's [`VcpuCounts`].
fn count(offset: usize) {
    let counts = DIRECT_MAP_BASE + vcpu_counts_address(per_cpu::current().index);
    // SAFETY: the counts lie in the direct map, behind the boot header; nobody else writes them.
    let counter = unsafe { AtomicU64::from_ptr((counts as *mut u64).byte_add(offset)) };
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn write(register: u32, value: u64) {
    // SAFETY: the registers above affect interrupts only, whose handlers are in place.
    unsafe { Msr::new(register).write(value) };
}

/// Turns this vCPU's APIC on, its timer in TSC-deadline mode and not armed.
pub fn initialise() {
    // SAFETY: reading the APIC base has no effect.
    let base = unsafe { Msr::new(APIC_BASE).read() };
    write(APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
    write(SPURIOUS, SPURIOUS_ENABLE | u64::from(SPURIOUS_VECTOR));
    write(TIMER, TIMER_TSC_DEADLINE | u64::from(TIMER_VECTOR));
    if __cpuid(KVM_FEATURES).eax & FEATURE_END_OF_INTERRUPT_BY_MEMORY != 0 {
        let word = &raw const per_cpu::current().end_of_interrupt;
        write(END_OF_INTERRUPT_BY_MEMORY, word as u64 - IMAGE_VIRTUAL_OFFSET | ENABLED);
    }
}

/// Acknowledges the interrupt in service: without an exit if the host has said in memory that this will
/// do, because nothing else waits for it (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_PV_EOI_EN).
pub fn end_of_interrupt() {
    let word = &per_cpu::current().end_of_interrupt;
    if word.fetch_and(!CLEARING_ENDS, Ordering::Relaxed) & CLEARING_ENDS != 0 {
        return;
    }
    count(offset_of!(VcpuCounts, interrupts_ended));
    write(END_OF_INTERRUPT, 0);
}

/// Lets the timer fire when the time-stamp counter reaches `counter`.
pub fn set_timer(counter: u64) {
    count(offset_of!(VcpuCounts, timer_settings));
    write(TSC_DEADLINE, counter);
}

/// Interrupts the vCPU at `index`; the host gives each its index as APIC id.
pub fn send_wake(index: u16) {
    count(offset_of!(VcpuCounts, wakes_sent));
    write(INTERRUPT_COMMAND, u64::from(index) << 32 | u64::from(WAKE_VECTOR));
}
