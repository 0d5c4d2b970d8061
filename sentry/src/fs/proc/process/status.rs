//! status.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use super::{
    ProcessSubject,
    numbers::{dispositions, resident},
    task_name,
};
use crate::{
    kernel::{Credentials, Kernel, Process, StopState, WaitReason, signal::SignalSet},
    memory::PAGE_SIZE,
};

/// The letter of its state (proc_pid_stat(5)).
pub(super) fn state_letter(subject: &ProcessSubject) -> char {
    if subject.process.exit_status().is_some() {
        return 'Z';
    }
    if matches!(subject.process.stop_state(), StopState::Stopped(_)) {
        return 'T';
    }
    match subject.task.as_ref().map(|task| task.wait_reason()) {
        Some(WaitReason::Running) => 'R',
        Some(WaitReason::Device | WaitReason::Vfork) => 'D',
        _ => 'S',
    }
}

fn state_word(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'D' => "disk sleep",
        'T' => "stopped",
        'Z' => "zombie",
        _ => "sleeping",
    }
}

/// /proc/PID/status.
pub(super) fn status(subject: &ProcessSubject, kernel: &Kernel, reader: &Credentials) -> Vec<u8> {
    let mut text = b"Name:\t".to_vec();
    text.extend(task_name(subject));
    text.extend(identity(subject, reader).into_bytes());
    if subject.mm().is_ok() {
        text.extend(memory(subject).into_bytes());
    }
    text.extend(signals(subject, kernel).into_bytes());
    text.extend(rights(subject, kernel).into_bytes());
    text
}

fn identity(subject: &ProcessSubject, reader: &Credentials) -> String {
    let process = &subject.process;
    let letter = state_letter(subject);
    let umask = subject.fs().map_or(0, |fs| fs.umask());
    let pid = process.pid();
    let tid = subject.task.as_ref().map_or(pid, |task| task.tid());
    let mut text = format!(
        "\nUmask:\t{umask:04o}\nState:\t{letter} ({})\nTgid:\t{pid}\nNgid:\t0\nPid:\t{tid}\n\
         PPid:\t{}\nTracerPid:\t0\n",
        state_word(letter),
        process.parent_pid(),
    );
    let credentials = subject.task.as_ref().map(|task| task.credentials()).unwrap_or_default();
    let c = &credentials;
    let users = [c.uid, c.effective_uid, c.saved_uid, c.fs_uid];
    let [uid, effective, saved, fs] = users.map(|uid| reader.shown_user(uid));
    text += &format!("Uid:\t{uid}\t{effective}\t{saved}\t{fs}\n");
    let groups = [c.gid, c.effective_gid, c.saved_gid, c.fs_gid];
    let [gid, effective, saved, fs] = groups.map(|gid| reader.shown_group(gid));
    text += &format!("Gid:\t{gid}\t{effective}\t{saved}\t{fs}\n");
    let descriptors = subject.task.as_ref().and_then(|task| task.files());
    let slots = descriptors.map_or(0, |files| files.descriptors().len().next_multiple_of(64));
    text += &format!("FDSize:\t{slots}\nGroups:\t");
    c.groups.iter().for_each(|group| text += &format!("{} ", reader.shown_group(*group)));
    let (group, session) = (process.group().id(), process.session().id());
    text += &format!("\nNStgid:\t{pid}\nNSpid:\t{tid}\nNSpgid:\t{group}\nNSsid:\t{session}\n");
    text
}

fn memory(subject: &ProcessSubject) -> String {
    let statistics = subject.statistics();
    let lines = [
        ("VmSize", statistics.total),
        ("VmLck", statistics.locked),
        ("VmPin", 0),
        ("VmHWM", statistics.resident_peak),
        ("VmRSS", resident(&statistics)),
        ("RssAnon", statistics.resident_private),
        ("RssFile", statistics.resident_file),
        ("VmData", statistics.data),
        ("VmStk", statistics.stack),
        ("VmExe", statistics.code),
        ("VmPTE", statistics.tables),
        ("VmSwap", 0),
    ];
    let kib = |pages: u64| pages * (PAGE_SIZE as u64 >> 10);
    let line = |(name, pages): &(&str, u64)| format!("{name}:\t{:>8} kB\n", kib(*pages));
    lines.iter().map(line).collect::<String>() + "CoreDumping:\t0\n"
}

fn signals(subject: &ProcessSubject, kernel: &Kernel) -> String {
    let threads = subject.process.threads().len();
    let blocked = subject.task.as_ref().map_or(SignalSet::EMPTY, |task| task.blocked_signals());
    let pending = subject.task.as_ref().map_or(SignalSet::EMPTY, |task| task.private_signals());
    let (ignored, caught) = dispositions(subject);
    let uid = subject.process.real_uid();
    let of_user = |process: &Arc<Process>| process.real_uid() == uid;
    let processes = kernel.all_processes().into_iter().filter(of_user);
    let queued: usize = processes.map(|process| process.queued_signals()).sum();
    format!(
        "Threads:\t{threads}\nSigQ:\t{queued}/{}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\n\
         SigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
        subject.process.limit(crate::kernel::Resource::PendingSignals).soft,
        pending.0,
        subject.process.pending_signals().0,
        blocked.0,
        ignored.0,
        caught.0,
    )
}

fn rights(subject: &ProcessSubject, kernel: &Kernel) -> String {
    let credentials = subject.task.as_ref().map(|task| task.credentials()).unwrap_or_default();
    let c = &credentials;
    let usage = subject.task.as_ref().map(|task| task.accounting.usage(0)).unwrap_or_default();
    let seccomp = subject.task.as_ref().map(|task| &task.seccomp);
    let mode = seccomp.map_or(0, |seccomp| seccomp.mode() as u8);
    let filters = seccomp.map_or(0, |seccomp| seccomp.filters().count());
    let (processors, list) = allowed_processors(subject, kernel);
    format!(
        "CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\n\
         NoNewPrivs:\t{}\nSeccomp:\t{mode}\nSeccomp_filters:\t{filters}\nCpus_allowed:\t{processors}\n\
         Cpus_allowed_list:\t{list}\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t{}\n\
         nonvoluntary_ctxt_switches:\t{}\n",
        c.inheritable.bits(),
        c.permitted.bits(),
        c.effective.bits(),
        c.bounding.bits(),
        c.ambient.bits(),
        u8::from(c.no_new_privileges),
        usage.voluntary_switches,
        usage.involuntary_switches,
    )
}

/// The processors the thread may run on, as a mask and as a list (cpuset(7), "Formats").
fn allowed_processors(subject: &ProcessSubject, kernel: &Kernel) -> (String, String) {
    let count = u32::from(kernel.platform.executor_count()).min(64);
    let affinity = subject.task.as_ref().map_or(u64::MAX, |task| task.scheduling.lock().affinity);
    let bits = affinity & u64::MAX.checked_shr(64 - count).unwrap_or(0);
    let digits = count.div_ceil(4) as usize;
    let mask = match u32::try_from(bits >> 32) {
        Ok(high @ 1..) => format!("{high:x},{:08x}", bits & 0xffff_ffff),
        _ => format!("{bits:0digits$x}"),
    };
    (mask, list_of(bits))
}

/// The numbers of the bits that are set, with dashes for runs.
fn list_of(bits: u64) -> String {
    let mut runs: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(rest) = bits.checked_shr(at).filter(|rest| *rest != 0) {
        let first = at + rest.trailing_zeros();
        let length = bits.checked_shr(first).unwrap_or(0).trailing_ones();
        runs.push(match length {
            1 => format!("{first}"),
            _ => format!("{first}-{}", first + length - 1),
        });
        at = first + length;
    }
    runs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_processors_are_joined() {
        assert_eq!(list_of(0b1), "0");
        assert_eq!(list_of(0b1101_1100), "2-4,6-7");
        assert_eq!(list_of(u64::MAX), "0-63");
        assert_eq!(list_of(0), "");
    }
}
