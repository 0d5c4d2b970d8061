//! Making and ending stub processes. All of this runs on the keeper's thread.

use std::{io, os::fd::BorrowedFd};

use crate::{
    config::Error,
    stub::{BatchEnd, Command, CommandPages, Tracee, USER_ADDRESS_LIMIT, give_birth},
    sys::{self, Report, Resume, Tid},
};

/// Command page of the template.
const TEMPLATE_PAGE: u32 = 0;

/// Makes the template: a stub process whose memory is empty. It never runs user code.
pub fn make_template(memory: BorrowedFd<'_>, commands: &CommandPages) -> Result<Tid, Error> {
    let page = commands.allocate();
    debug_assert_eq!(page, Ok(TEMPLATE_PAGE), "the template comes first");
    let template = give_birth(memory, commands.file()).map_err(Error::host("fork"))?;
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
    for &thread in threads {
        while sys::wait(thread) != Report::Ended {}
    }
    // The leader can be reaped once no thread is left. One more may belong to the keeper, unknown,
    // if the process was killed in the middle of clone(2).
    while sys::is_child(leader) {
        if let Err(error) = sys::reap_any_of_this_thread()
            && error.kind() != io::ErrorKind::Interrupted
        {
            return;
        }
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
