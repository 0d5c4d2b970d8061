//! Making and ending stub processes. All of this runs on the keeper's thread.

use std::io;

use crate::{
    config::Error,
    stub::{BatchEnd, Command, CommandPages, Descriptors, Tracee, USER_ADDRESS_LIMIT, give_birth},
    sys::{self, Report, Resume, Tid},
};

/// Command page of the template.
const TEMPLATE_PAGE: u32 = 0;

/// Makes the template: a stub process whose memory is empty. It never runs user code.
pub fn make_template(files: Descriptors<'_>, commands: &CommandPages) -> Result<Tid, Error> {
    let page = commands.allocate();
    debug_assert_eq!(page, Ok(TEMPLATE_PAGE), "the template comes first");
    let template = give_birth(files).map_err(Error::host("fork"))?;
    if sys::wait(template) != Report::Signal(libc::SIGTRAP) {
        end_process(template, &[]);
        return Err(Error::Template("its setup"));
    }
    let emptied = sys::set_options(template).is_ok() && empty(template, commands);
    if emptied {
        return Ok(template);
    }
    end_process(template, &[]);
    Err(Error::Template("unmapping"))
}

/// Unmaps all that the template inherited. Before, the host must forget the area of restartable
/// sequences that the C library registered, else it would kill the process over it.
fn empty(template: Tid, commands: &CommandPages) -> bool {
    let registered = sys::rseq_configuration(template).ok();
    let unregister = registered.filter(|rseq| rseq.address != 0).map(Command::unregister_rseq);
    let unmap = Command::unmap(0, USER_ADDRESS_LIMIT);
    run(template, commands, TEMPLATE_PAGE, unregister.into_iter().chain([unmap]))
}

/// Makes a stub process with command page `page`; its leader's id.
pub fn fork_process(template: Tid, commands: &CommandPages, page: u32) -> Option<Tid> {
    commands.write(TEMPLATE_PAGE, [Command::fork()].into_iter());
    let child = make_child(Tracee(template).bring()).ok()??;
    // It sees the template's page up to the last command.
    let own = [Command::die_with_parent(), Command::map_commands(page)];
    if run(child, commands, TEMPLATE_PAGE, own) {
        return Some(child);
    }
    end_process(child, &[]);
    None
}

/// Makes a thread in the process of `leader`, whose command page is `page`. It waits for a tracer.
pub fn clone_thread(leader: Tid, commands: &CommandPages, page: u32) -> Option<Tid> {
    commands.write(page, [Command::clone_thread()].into_iter());
    let thread = make_child(Tracee(leader).bring()).ok()??;
    if Tracee(thread).release().is_err() {
        // Only a process that is being killed gets here.
        sys::kill(leader);
    }
    Some(thread)
}

/// Executes the one command of the command page, which makes a process or thread, and waits for
/// that to stop. `None` if the host refuses, or the parent is gone.
///
/// All else that the keeper traces is stopped, so only two can report here, or the dead. Waiting
/// for the parent alone could last forever: a dead leader is reported after its last thread.
fn make_child(parent: Tracee) -> io::Result<Option<Tid>> {
    parent.start_batch(1)?;
    let (mut child, mut stopped, mut dead, mut done) = (None, None, Vec::new(), false);
    while !done || stopped.is_none() {
        let (tid, report) = sys::wait_for_any()?;
        match report {
            Report::Ended => dead.push(tid),
            Report::Event if tid == parent.0 => {
                child = Some(sys::event_message(tid)?);
                sys::resume(tid, Resume::Executing)?;
            }
            _ if tid == parent.0 => match parent.batch_end(1, report)? {
                None => {}
                Some(BatchEnd::Done) => done = true,
                Some(BatchEnd::Failed { .. } | BatchEnd::Lost) => return Ok(None),
            },
            _ => stopped = Some(tid),
        }
        if dead.iter().any(|tid| *tid == parent.0 || Some(*tid) == child) {
            return Ok(None);
        }
    }
    Ok(stopped)
}

/// Kills the process of `leader` and reaps it and the `threads` that executors trace.
pub fn end_process(leader: Tid, threads: &[Tid]) {
    sys::kill(leader);
    if reap_threads(threads).is_err() {
        return;
    }
    // The leader can be reaped once no thread is left. One more may belong to the keeper, unknown,
    // if the process was killed in the middle of clone(2).
    while sys::is_child(leader) {
        if sys::reap_any_of_this_thread().is_err() {
            return;
        }
    }
}

/// Waits until `threads`, which executors trace, have ended, and reaps them.
fn reap_threads(threads: &[Tid]) -> io::Result<()> {
    let mut left = threads.to_vec();
    loop {
        left.retain(|thread| !sys::reap(*thread));
        if left.is_empty() {
            return Ok(());
        }
        // For the end of any: that of a thread whose tracer ended first is reported to nobody, but
        // that of the process, which follows, is.
        sys::wait_for_any_end()?;
    }
}

/// Runs `batch` in `tid`; whether all of it succeeded.
fn run(
    tid: Tid,
    commands: &CommandPages,
    page: u32,
    batch: impl IntoIterator<Item = Command>,
) -> bool {
    let count = commands.write(page, batch.into_iter());
    Tracee(tid).run_batch(count) == BatchEnd::Done
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use rustix::thread::gettid;

    use super::*;
    use crate::{create_sandbox_memory, spaces::Spaces};

    /// Whether thread `tid` of this process waits for something (proc_pid_stat(5), state).
    fn sleeps(tid: Tid) -> bool {
        let status = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap();
        status.rsplit_once(") ").unwrap().1.starts_with('S')
    }

    #[test]
    fn a_thread_whose_tracer_ends_is_not_waited_for_in_vain() {
        let memory = create_sandbox_memory(1 << 20).unwrap();
        let spaces = Arc::new(Spaces::new(&memory, [].into(), &[], None).unwrap());
        let process = spaces.get(spaces.create().unwrap()).unwrap();
        let (made, thread) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let executor = {
            let (spaces, process) = (spaces.clone(), process.clone());
            std::thread::spawn(move || {
                made.send(spaces.make_thread(&process, 0).unwrap().tid()).unwrap();
                ended.recv().unwrap_err();
            })
        };
        let thread = thread.recv().unwrap();
        let (tell, told) = mpsc::channel();
        let (finish, finished) = mpsc::channel();
        spaces.keeper().post(move || {
            tell.send(gettid().as_raw_nonzero().get()).unwrap();
            finish.send(reap_threads(&[thread])).unwrap();
        });
        let keeper = told.recv().unwrap();
        while !sleeps(keeper) {
            std::thread::yield_now();
        }
        drop(end);
        assert!(finished.recv().unwrap().is_ok());
        executor.join().unwrap();
    }
}
