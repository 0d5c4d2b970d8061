//! What a task leaves behind in user memory when it ends: robust futexes (get_robust_list(2),
//! Documentation/locking/robust-futex-ABI.rst) and the word that pthread_join(3) waits for.

use core::sync::atomic::Ordering;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Current, futex::MATCH_ANY};
use crate::{
    errno::{Errno, Result},
    mm::UserAddress,
};

/// Entries looked at, so that a circular list ends (ROBUST_LIST_LIMIT).
const MAX_ENTRIES: usize = 2048;
/// Bits of a robust futex that hold its owner's thread id.
const OWNER_MASK: u32 = 0x3fff_ffff;
/// Its owner has died.
const OWNER_DIED: u32 = 0x4000_0000;
/// Somebody waits for it.
const WAITERS: u32 = 0x8000_0000;

/// `struct robust_list_head`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    next: u64,
    futex_offset: u64,
    pending: u64,
}

/// Size of `struct robust_list_head`, which set_robust_list(2) requires.
pub const ROBUST_HEAD_SIZE: usize = size_of::<Head>();

impl Current {
    /// Marks the robust futexes that this task holds as left by a dead owner. A list that cannot
    /// be read ends there: the task may have corrupted it.
    pub(super) async fn release_robust_futexes(&mut self) {
        let head = self.task.robust_list.swap(0, Ordering::Relaxed);
        if head != 0 {
            let _ = self.walk_robust_list(UserAddress(head)).await;
        }
    }

    async fn walk_robust_list(&self, address: UserAddress) -> Result<()> {
        let head: Head = self.mm.read(address).await?;
        let mut entry = head.next;
        for _ in 0..MAX_ENTRIES {
            if entry & !1 == address.0 {
                break;
            }
            // Read first: whoever takes the futex may reuse the entry.
            let next: Result<u64> = self.mm.read(UserAddress(entry & !1)).await;
            if entry != head.pending {
                self.release_robust_futex(entry, head.futex_offset, false).await?;
            }
            entry = next?;
        }
        if head.pending != 0 {
            self.release_robust_futex(head.pending, head.futex_offset, true).await?;
        }
        Ok(())
    }

    /// Releases one futex; a `pending` one may already be free with its waiter not yet woken.
    async fn release_robust_futex(&self, entry: u64, offset: u64, pending: bool) -> Result<()> {
        let address = UserAddress((entry & !1).wrapping_add(offset));
        if !address.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        loop {
            let value: u32 = self.mm.read(address).await?;
            if pending && value & OWNER_MASK == 0 {
                return self.wake_shared(address).await;
            }
            if value & OWNER_MASK != self.task.tid() {
                return Ok(());
            }
            let released = (value & WAITERS) | OWNER_DIED;
            if self.mm.compare_exchange_u32(address, value, released).await? == value {
                return if value & WAITERS != 0 { self.wake_shared(address).await } else { Ok(()) };
            }
        }
    }

    /// Clears the word at `address` and wakes one waiter.
    pub(super) async fn clear_and_wake(&self, address: u64) -> Result<()> {
        let address = UserAddress(address);
        self.mm.write(address, &0_u32).await?;
        self.wake_shared(address).await
    }

    async fn wake_shared(&self, address: UserAddress) -> Result<()> {
        let key = self.mm.futex_key(address, false).await?;
        self.kernel.futexes.wake(&key, 1, MATCH_ANY);
        Ok(())
    }
}
