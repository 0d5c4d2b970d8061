//! Executing a program (execve(2)): from a loaded program to a task that runs it.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

use super::{
    Current, WaitReason,
    signal::{AlternateStack, SignalSet},
};
use crate::{
    errno::{Errno, Result},
    loader::{self, Loaded, Program},
    platform::{ExtendedState, Registers},
    vfs::{Caller, OpenFile, WalkContext},
};

/// RFLAGS of a new program: interrupts enabled, and the bit that is always one.
const INITIAL_FLAGS: u64 = 0x202;

impl Current {
    /// Executes `file`, which was named `name`. On success the task runs another program.
    ///
    /// # Errors
    /// As execve(2); the task is unchanged then, unless a signal is about to end it.
    pub async fn execute(
        &mut self,
        file: Arc<OpenFile>,
        name: Vec<u8>,
        arguments: Vec<Vec<u8>>,
        environment: Vec<Vec<u8>>,
    ) -> Result<()> {
        let task_name = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let limits = self.process().memory_limits();
        let program = Program { file, name, arguments, environment, limits };
        let loaded = {
            let credentials = self.credentials();
            let (root, directory) = (self.fs.root(), self.fs.working_directory());
            let context = WalkContext {
                caller: Caller {
                    kernel: &self.kernel,
                    task: Some(&self.task),
                    credentials: &credentials,
                },
                root: &root,
                umask: self.fs.umask(),
            };
            loader::load(&context, &directory, program).await?
        };
        self.end_other_threads().await?;
        self.become_program(loaded, &task_name).await;
        Ok(())
    }

    /// Ends all other threads of the process and takes the leader's id.
    async fn end_other_threads(&self) -> Result<()> {
        let process = self.process();
        {
            let mut state = process.state.lock();
            if state.ending.is_some() || state.executing.is_some() {
                return Err(Errno::ERESTARTNOINTR);
            }
            if state.threads.len() > 1 {
                state.executing = Some(self.task.clone());
                let others = state.threads.iter();
                others.filter(|task| !Arc::ptr_eq(task, &self.task)).for_each(|task| task.notify());
            }
        }
        let alone = core::future::poll_fn(|_| {
            let alone = process.state.lock().threads.len() == 1;
            if alone { core::task::Poll::Ready(()) } else { core::task::Poll::Pending }
        });
        let waited = self.wait_killable(WaitReason::Threads, alone).await;
        process.state.lock().executing = None;
        waited.ok_or(Errno::ERESTARTNOINTR)?;
        let (tid, pid) = (self.task.tid(), process.pid());
        if tid != pid {
            let mut tree = self.processes().lock();
            tree.remove_task(tid);
            self.task.set_tid(pid);
            tree.insert_task(&self.task);
        }
        Ok(())
    }

    /// The part that cannot fail.
    async fn become_program(&mut self, loaded: Loaded, task_name: &[u8]) {
        self.release_memory().await;
        let old_mm = core::mem::replace(&mut self.mm, loaded.mm.clone());
        self.task.set_mm(Some(loaded.mm));
        drop(old_mm);
        self.reset_processor(loaded.entry, loaded.stack_pointer);
        self.reset_signals();
        let files = self.files.duplicate();
        files.close_on_exec();
        self.set_files(files);
        self.task.set_name(task_name);
        let process = self.process().clone();
        process.set_executable(loaded.file.path.clone());
        process.set_string_ranges(loaded.strings);
        process.has_executed.store(true, Ordering::Relaxed);
        process.timers.clear_posix(&self.kernel);
        process.barriers.store(0, Ordering::Relaxed);
        if loaded.is_secure {
            process.dumpable.store(0, Ordering::Relaxed);
            process.state.lock().parent_death_signal = None;
        } else {
            process.dumpable.store(1, Ordering::Relaxed);
        }
        self.task.set_credentials(loaded.credentials);
    }

    pub(super) fn reset_processor(&mut self, entry: u64, stack_pointer: u64) {
        // What the platform still holds of the old state must not come back.
        self.save_extended_state();
        let size = self.kernel.platform.extended_state_size();
        self.context.extended = ExtendedState::initial(size);
        self.context.registers = Registers {
            rip: entry,
            rsp: stack_pointer,
            rflags: INITIAL_FLAGS,
            ..Registers::default()
        };
    }

    fn reset_signals(&mut self) {
        let process = self.process();
        let mut actions = process.signal_actions().lock().clone();
        actions.reset_for_exec();
        process.set_signal_actions(actions);
        self.alternate_stack = AlternateStack::default();
        self.saved_mask = None;
        self.task.signals.lock().awaited = SignalSet::EMPTY;
        self.task.recalculate_notified();
    }
}
