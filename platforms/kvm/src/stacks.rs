//! How deep the sentry's stacks have ever been: their memory is zero until it is used.

use guest_abi::kvm::STACK_STRIDE;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Size of a stack in bytes; below it is a hole, so that one that is too deep faults.
pub const STACK_BYTES: u64 = STACK_STRIDE - 4096;

/// Physical address of the stack of the vCPU at `index`, where all of them start at `stacks`.
pub fn stack_address(stacks: u64, index: u16) -> u64 {
    stacks + u64::from(index) * STACK_STRIDE + 4096
}

/// Bytes of the stack of the vCPU at `index` that were used at any time; none if it cannot be read.
pub fn used_bytes(memory: &GuestMemoryMmap, stacks: u64, index: u16) -> Option<usize> {
    let mut stack = vec![0; usize::try_from(STACK_BYTES).ok()?];
    memory.read_slice(&mut stack, GuestAddress(stack_address(stacks, index))).ok()?;
    let untouched = stack.iter().take_while(|byte| **byte == 0).count();
    Some(stack.len() - untouched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_byte_that_was_written_counts() {
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 4 << 20)]).unwrap();
        assert_eq!(used_bytes(&memory, 0x20_0000, 1), Some(0));
        let top = stack_address(0x20_0000, 1) + STACK_BYTES;
        memory.write_obj(1_u8, GuestAddress(top - 5000)).unwrap();
        memory.write_obj(1_u8, GuestAddress(top - 8)).unwrap();
        assert_eq!(used_bytes(&memory, 0x20_0000, 1), Some(5000));
        assert_eq!(used_bytes(&memory, 4 << 20, 1), None);
    }
}
