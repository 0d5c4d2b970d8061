//! VM exits by reason: the cost that the design avoids, so it must be countable.
//!
//! KVM counts them for each vCPU, those too that never reach the VMM, and offers the counts as a
//! binary file (Linux, Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD). Those that the sentry's
//! interrupt controller causes have no count of their own there; the sentry counts them itself.

use std::{
    collections::BTreeMap,
    ffi::CStr,
    fmt,
    fs::File,
    os::{fd::FromRawFd, unix::fs::FileExt},
};

use kvm_bindings::{KVMIO, kvm_stats_desc, kvm_stats_header};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::{ioctl::ioctl, ioctl_io_nr};

ioctl_io_nr!(KVM_GET_STATS_FD, KVMIO, 0xce);

/// The number of all exits.
const TOTAL: &str = "exits";

/// Counts besides those whose name ends in [`TOTAL`]: guest memory that the host had to provide,
/// and calls of the hypervisor.
const OTHER_REASONS: [&str; 2] = ["pf_taken", "hypercalls"];

/// Longest name of a count, and most counts, that are believed.
const MAX_NAME_BYTES: usize = 256;
const MAX_COUNTS: usize = 1024;

/// Counts by KVM's name of the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitCounts(pub BTreeMap<String, u64>);

impl fmt::Display for ExitCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().filter(|(_, count)| **count > 0);
        let words: Vec<_> = shown.map(|(reason, count)| format!("{reason}={count}")).collect();
        formatter.write_str(&words.join(" "))
    }
}

impl ExitCounts {
    /// Adds `count` to what is counted as `reason`.
    pub fn add(&mut self, reason: &str, count: u64) {
        let sum = self.0.entry(reason.to_owned()).or_default();
        *sum = sum.wrapping_add(count);
    }
}

/// The counts of one vCPU, which go on while it runs.
#[derive(Debug)]
pub struct ExitCounter {
    file: File,
    /// Reason, and where in the file its count is.
    counts: Vec<(String, u64)>,
}

impl ExitCounter {
    /// The counter of `vcpu`; none if this kernel has none (before Linux 5.14).
    pub fn of(vcpu: &VcpuFd) -> Option<Self> {
        // SAFETY: the call takes no argument, and returns a descriptor that nobody else owns.
        let file = unsafe {
            let descriptor = ioctl(vcpu, KVM_GET_STATS_FD());
            (descriptor >= 0).then(|| File::from_raw_fd(descriptor))?
        };
        let counts = read_reasons(&file)?;
        Some(Self { file, counts })
    }

    /// Adds the counts so far to `sum`.
    pub fn add_to(&self, sum: &mut ExitCounts) {
        for (reason, offset) in &self.counts {
            let mut count = [0; 8];
            if self.file.read_exact_at(&mut count, *offset).is_ok() {
                sum.add(reason, u64::from_ne_bytes(count));
            }
        }
    }
}

/// The reasons that the header of `file` describes.
fn read_reasons(file: &File) -> Option<Vec<(String, u64)>> {
    let mut header = [0; size_of::<kvm_stats_header>()];
    file.read_exact_at(&mut header, 0).ok()?;
    let field = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| header[at + byte]));
    let name_bytes = usize::try_from(field(4)).ok()?.min(MAX_NAME_BYTES);
    let count = usize::try_from(field(8)).ok()?.min(MAX_COUNTS);
    let (first, data) = (u64::from(field(16)), u64::from(field(20)));
    let mut reasons = Vec::new();
    let mut descriptor = vec![0; size_of::<kvm_stats_desc>() + name_bytes];
    for index in 0..count {
        let offset = first + (index * descriptor.len()) as u64;
        file.read_exact_at(&mut descriptor, offset).ok()?;
        let name = CStr::from_bytes_until_nul(&descriptor[size_of::<kvm_stats_desc>()..]).ok()?;
        let name = name.to_str().ok()?;
        if name.ends_with(TOTAL) || OTHER_REASONS.contains(&name) {
            let position = [8, 9, 10, 11].map(|byte| descriptor[byte]);
            reasons.push((name.to_owned(), data + u64::from(u32::from_ne_bytes(position))));
        }
    }
    Some(reasons)
}
