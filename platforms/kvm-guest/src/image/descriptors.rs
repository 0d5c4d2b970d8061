//! Segments, the task state with its stacks, and the interrupt table (Intel SDM volume 3, 3 to 6).

use x86_64::{
    PrivilegeLevel, VirtAddr,
    instructions::{
        segmentation::{CS, DS, ES, SS, Segment},
        tables::load_tss,
    },
    registers::segmentation::SegmentSelector,
    structures::{
        gdt::{Descriptor, GlobalDescriptorTable},
        idt::InterruptDescriptorTable,
        tss::TaskStateSegment,
    },
};

use super::{entry, per_cpu::PerCpu};

/// Ring 0 code.
pub const KERNEL_CODE: u16 = 0x08;
/// User data; SYSRET demands it just below user code.
pub const USER_DATA: u16 = 0x18 | 3;
/// User code.
pub const USER_CODE: u16 = 0x20 | 3;

const EMERGENCY_STACK_BYTES: usize = 8192;

/// Where a trap from ring 3 pushes its frame; the entry code goes on with the stack of the executor,
/// which is in use below `enter_user`.
const TRAP_STACK_BYTES: usize = 512;

/// Index in the interrupt stack table of the stack for #DF, #MC and NMI, which may come at any
/// instruction, even before the entry code has changed stacks.
const EMERGENCY_STACK: u16 = 0;

/// One vCPU's tables.
#[repr(C, align(16))]
pub struct Descriptors {
    gdt: GlobalDescriptorTable,
    tss: TaskStateSegment,
    idt: InterruptDescriptorTable,
    emergency_stack: Stack<EMERGENCY_STACK_BYTES>,
    trap_stack: Stack<TRAP_STACK_BYTES>,
}

#[repr(C, align(16))]
struct Stack<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Stack<BYTES> {
    /// First address above it.
    fn top(&self) -> VirtAddr {
        VirtAddr::from_ptr(self.0.as_ptr_range().end)
    }
}

impl Descriptors {
    /// Before [`load`].
    pub const EMPTY: Self = Self {
        gdt: GlobalDescriptorTable::empty(),
        tss: TaskStateSegment::new(),
        idt: InterruptDescriptorTable::new(),
        emergency_stack: Stack([0; EMERGENCY_STACK_BYTES]),
        trap_stack: Stack([0; TRAP_STACK_BYTES]),
    };
}

/// Fills `per_cpu`'s tables and makes the processor use them.
///
/// # Safety
/// Called once on each vCPU with its own structure, which lives for ever.
pub unsafe fn load(per_cpu: *mut PerCpu) {
    // SAFETY: only this vCPU uses its structure.
    let tables: &'static mut Descriptors = unsafe { &mut (*per_cpu).descriptors };
    tables.tss.privilege_stack_table[0] = tables.trap_stack.top();
    tables.tss.interrupt_stack_table[usize::from(EMERGENCY_STACK)] = tables.emergency_stack.top();
    fill_idt(&mut tables.idt);
    let tables: &'static Descriptors = tables;
    // SAFETY: as above; nothing changes the tables from here on but the processor.
    let gdt: &'static mut GlobalDescriptorTable = unsafe { &mut (*per_cpu).descriptors.gdt };
    gdt.append(Descriptor::kernel_code_segment());
    gdt.append(Descriptor::kernel_data_segment());
    gdt.append(Descriptor::user_data_segment());
    gdt.append(Descriptor::user_code_segment());
    let tss = gdt.append(Descriptor::tss_segment(&tables.tss));
    gdt.load();
    tables.idt.load();
    // SAFETY: the selectors name the descriptors appended above.
    unsafe {
        CS::set_reg(SegmentSelector::new(1, PrivilegeLevel::Ring0));
        SS::set_reg(SegmentSelector::new(2, PrivilegeLevel::Ring0));
        DS::set_reg(SegmentSelector::NULL);
        ES::set_reg(SegmentSelector::NULL);
        load_tss(tss);
    }
}

/// Points every vector to its entry stub. Breakpoint and overflow may be raised from ring 3.
fn fill_idt(idt: &mut InterruptDescriptorTable) {
    let address = |vector: u8| VirtAddr::new(entry::stub_address(vector));
    // SAFETY: each stub handles its vector, with or without an error code.
    unsafe {
        idt.divide_error.set_handler_addr(address(0));
        idt.debug.set_handler_addr(address(1));
        idt.non_maskable_interrupt.set_handler_addr(address(2)).set_stack_index(EMERGENCY_STACK);
        idt.breakpoint.set_handler_addr(address(3)).set_privilege_level(PrivilegeLevel::Ring3);
        idt.overflow.set_handler_addr(address(4)).set_privilege_level(PrivilegeLevel::Ring3);
        idt.bound_range_exceeded.set_handler_addr(address(5));
        idt.invalid_opcode.set_handler_addr(address(6));
        idt.device_not_available.set_handler_addr(address(7));
        idt.double_fault.set_handler_addr(address(8)).set_stack_index(EMERGENCY_STACK);
        idt.invalid_tss.set_handler_addr(address(10));
        idt.segment_not_present.set_handler_addr(address(11));
        idt.stack_segment_fault.set_handler_addr(address(12));
        idt.general_protection_fault.set_handler_addr(address(13));
        idt.page_fault.set_handler_addr(address(14));
        idt.x87_floating_point.set_handler_addr(address(16));
        idt.alignment_check.set_handler_addr(address(17));
        idt.machine_check.set_handler_addr(address(18)).set_stack_index(EMERGENCY_STACK);
        idt.simd_floating_point.set_handler_addr(address(19));
        for vector in 32..=255 {
            idt[vector].set_handler_addr(address(vector));
        }
    }
}
