//! Who may look into a process (ptrace(2), "Ptrace access mode checking").

use alloc::sync::Arc;

use super::{Capabilities, Credentials, Current, Process};

impl Process {
    /// Whether `current` may read and change what is in this process (PTRACE_MODE_ATTACH_REALCREDS).
    pub fn may_be_inspected(self: &Arc<Self>, current: &Current) -> bool {
        let credentials = current.credentials();
        let ids = (credentials.uid, credentials.gid);
        Arc::ptr_eq(self, current.process()) || self.is_open_to(&credentials, ids)
    }

    /// Whether another process with these credentials, that acts as this user and group, may look
    /// into it.
    pub fn is_open_to(&self, credentials: &Credentials, (uid, gid): (u32, u32)) -> bool {
        let Some(task) = self.first_thread() else {
            return credentials.has(Capabilities::SYS_PTRACE);
        };
        let target = task.credentials();
        if credentials.has_over(&target, Capabilities::SYS_PTRACE) {
            return true;
        }
        let same_user = [target.uid, target.effective_uid, target.saved_uid] == [uid; 3];
        let same_group = [target.gid, target.effective_gid, target.saved_gid] == [gid; 3];
        let within = credentials.user_namespace == target.user_namespace
            && credentials.permitted.contains(target.permitted);
        same_user && same_group && within && self.is_dumpable()
    }
}
