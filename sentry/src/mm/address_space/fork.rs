//! Copying an address space for a child (fork(2)).

use super::*;

impl Mm {
    /// A copy of the address space. Private pages are shared until either side writes; pages of
    /// files are found in the page cache when touched.
    ///
    /// # Errors
    /// ENOMEM, EAGAIN.
    pub fn fork(&self) -> Result<Arc<Self>> {
        let mut state = self.state.write();
        let child = Self::with_layout(
            self.platform.clone(),
            self.frames.clone(),
            state.layout,
            state.limits,
        )?;
        {
            let mut child_state = child.state.write();
            let State { vmas, table, .. } = &mut *state;
            for vma in vmas.iter().filter(|vma| !vma.flags.contains(VmaFlags::DONT_FORK)) {
                child.inherit(&mut child_state, vma);
                if vma.is_private() && !vma.flags.contains(VmaFlags::WIPE_ON_FORK) {
                    self.share_pages(table, vma, &mut child_state.table)?;
                }
            }
        }
        Ok(child)
    }

    /// Adds `vma` to the child. Memory locks are not inherited (mlock(2)).
    fn inherit(&self, state: &mut State, vma: &Vma) {
        if let VmaSource::Cache { cache, .. } = &vma.source {
            cache.add_mapper(self.space, self.itself.clone());
        }
        let flags = vma.flags - VmaFlags::LOCKED;
        state.vmas.insert(Vma { flags, ..vma.clone() });
    }

    /// Gives the child references to the private pages of `vma`, and takes the right to write them
    /// from both.
    fn share_pages(
        &self,
        table: &mut PageTable,
        vma: &Vma,
        child_table: &mut PageTable,
    ) -> Result<()> {
        let read_only = |entry: Entry| entry.protection() - Protection::WRITE;
        let mut outcome = Ok(());
        table.for_each(vma.range.clone(), |address, entry| {
            let Some(frame) = entry.frame().filter(|_| entry.is_private()) else { return };
            if outcome.is_err() {
                return;
            }
            let shared = entry.with_protection(read_only(entry)).with_announced(false);
            outcome = child_table.prepare(address);
            if outcome.is_ok() {
                self.frames.retain(frame);
                outcome = child_table.set(address, shared).map(drop);
            }
        });
        self.change_protection(table, vma.range.clone(), |_, entry| read_only(entry));
        outcome
    }
}
