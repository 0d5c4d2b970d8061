//! status.

use alloc::{format, string::String, vec::Vec};

use super::{
    ProcessSubject,
    numbers::{dispositions, resident},
    task_name,
};
use crate::{
    kernel::{StopState, WaitReason, signal::SignalSet},
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
pub(super) fn status(subject: &ProcessSubject) -> Vec<u8> {
    let mut text = b"Name:\t".to_vec();
    text.extend(task_name(subject));
    text.extend(identity(subject).into_bytes());
    if subject.mm().is_ok() {
        text.extend(memory(subject).into_bytes());
    }
    text.extend(signals(subject).into_bytes());
    text.extend(rights(subject).into_bytes());
    text
}

fn identity(subject: &ProcessSubject) -> String {
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
    text += &format!("Uid:\t{}\t{}\t{}\t{}\n", c.uid, c.effective_uid, c.saved_uid, c.fs_uid);
    text += &format!("Gid:\t{}\t{}\t{}\t{}\n", c.gid, c.effective_gid, c.saved_gid, c.fs_gid);
    let descriptors = subject.task.as_ref().and_then(|task| task.files());
    let slots = descriptors.map_or(0, |files| files.descriptors().len().next_multiple_of(64));
    text += &format!("FDSize:\t{slots}\nGroups:\t");
    c.groups.iter().for_each(|group| text += &format!("{group} "));
    let (group, session) = (process.group().id(), process.session().id());
    text += &format!("\nNStgid:\t{pid}\nNSpid:\t{tid}\nNSpgid:\t{group}\nNSsid:\t{session}\n");
    text
}

fn memory(subject: &ProcessSubject) -> String {
    let statistics = subject.statistics();
    let lines = [
        ("VmPeak", statistics.total),
        ("VmSize", statistics.total),
        ("VmLck", statistics.locked),
        ("VmPin", 0),
        ("VmHWM", statistics.resident_peak),
        ("VmRSS", resident(&statistics)),
        ("RssAnon", statistics.resident_private),
        ("RssFile", statistics.resident_file),
        ("RssShmem", 0),
        ("VmData", statistics.data),
        ("VmStk", statistics.stack),
        ("VmExe", statistics.code),
        ("VmLib", 0),
        ("VmPTE", statistics.tables),
        ("VmSwap", 0),
    ];
    let kib = |pages: u64| pages * (PAGE_SIZE as u64 >> 10);
    lines.iter().map(|(name, pages)| format!("{name}:\t{:>8} kB\n", kib(*pages))).collect()
}

fn signals(subject: &ProcessSubject) -> String {
    let threads = subject.process.threads().len();
    let blocked = subject.task.as_ref().map_or(SignalSet::EMPTY, |task| task.blocked_signals());
    let pending = subject.task.as_ref().map_or(SignalSet::EMPTY, |task| task.pending_signals());
    let (ignored, caught) = dispositions(subject);
    format!(
        "Threads:\t{threads}\nSigQ:\t0/{}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\n\
         SigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
        subject.process.limit(crate::kernel::Resource::PendingSignals).soft,
        pending.0,
        0,
        blocked.0,
        ignored.0,
        caught.0,
    )
}

fn rights(subject: &ProcessSubject) -> String {
    let credentials = subject.task.as_ref().map(|task| task.credentials()).unwrap_or_default();
    let c = &credentials;
    let usage = subject.process.usage(0);
    format!(
        "CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\n\
         NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0\nvoluntary_ctxt_switches:\t{}\n\
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
