//! Making and ending stub processes. All of this runs on the keeper's thread.

use std::os::fd::BorrowedFd;

use crate::{
    config::Error,
    stub::{BatchEnd, Command, CommandPages, Tracee, USER_ADDRESS_LIMIT, give_birth},
    sys::{self, Report, Tid},
};

/// Command page of the template.
const TEMPLATE_PAGE: u32 = 0;

/// Makes the template: a stub process whose memory is empty. It never runs user code.
pub fn make_template(memory: BorrowedFd<'_>, commands: &CommandPages) -> Result<Tid, Error> {
    let page = commands.allocate();
    debug_assert_eq!(page, Ok(TEMPLATE_PAGE), "the template comes first");
    let template = give_birth(memory, commands.file()).map_err(Error::host("fork"))?;
    if sys::wait(template) != Report::Signal(libc::SIGTRAP) {
        end_process(&[template]);
        return Err(Error::Template("its setup"));
    }
    let emptied = sys::set_options(template).is_ok() && empty(template, commands);
    if emptied {
        return Ok(template);
    }
    end_process(&[template]);
    Err(Error::Template("unmapping"))
}

/// Unmaps all that the template inherited. Before, the host must forget the area of restartable
/// sequences that the C library registered, else it would kill the process over it.
fn empty(template: Tid, commands: &CommandPages) -> bool {
    let registered = sys::rseq_configuration(template).ok();
    let unregister = registered.filter(|rseq| rseq.address != 0).map(Command::unregister_rseq);
    let unmap = Command::unmap(0, USER_ADDRESS_LIMIT);
    run(template, commands, TEMPLATE_PAGE, unregister.into_iter().chain([unmap])).is_some()
}

/// Makes a stub process with command page `page`; its leader's id.
pub fn fork_process(template: Tid, commands: &CommandPages, page: u32) -> Option<Tid> {
    let child = run(template, commands, TEMPLATE_PAGE, [Command::fork()])??;
    let stopped = sys::wait(child) != Report::Ended;
    // It sees the template's page up to the last command.
    let own = [Command::die_with_parent(), Command::map_commands(page)];
    if stopped && run(child, commands, TEMPLATE_PAGE, own).is_some() {
        return Some(child);
    }
    end_process(&[child]);
    None
}

/// Makes a thread in the process of `leader`, whose command page is `page`. It waits for a tracer.
pub fn clone_thread(leader: Tid, commands: &CommandPages, page: u32) -> Option<Tid> {
    let thread = run(leader, commands, page, [Command::clone_thread()])??;
    if sys::wait(thread) == Report::Ended || Tracee(thread).release().is_err() {
        // Only a process that is being killed gets here.
        sys::kill(leader);
    }
    Some(thread)
}

/// Kills a process and reaps its `threads`, the leader last.
pub fn end_process(threads: &[Tid]) {
    if let Some(&leader) = threads.last() {
        sys::kill(leader);
    }
    for &thread in threads {
        while sys::wait(thread) != Report::Ended {}
    }
}

/// Runs `batch` in `tid`; `None` if it failed, else the child it made.
fn run(
    tid: Tid,
    commands: &CommandPages,
    page: u32,
    batch: impl IntoIterator<Item = Command>,
) -> Option<Option<Tid>> {
    let count = commands.write(page, batch.into_iter());
    match Tracee(tid).run_batch(count) {
        BatchEnd::Done { child } => Some(child),
        BatchEnd::Failed { .. } | BatchEnd::Lost => None,
    }
}
