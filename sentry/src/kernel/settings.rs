//! Settings of namespaces that a container may have its own values of (sysctl(8)): System V IPC,
//! message queues, network. They are the files of the same names below /proc/sys.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use spin::RwLock;

use crate::errno::{Errno, Result};

/// Largest message of a System V queue, in bytes.
pub const MESSAGE_SIZE: &str = "kernel/msgmax";
/// Most bytes in a System V queue.
pub const MESSAGE_QUEUE_BYTES: &str = "kernel/msgmnb";
/// Most System V queues.
pub const MESSAGE_QUEUES: &str = "kernel/msgmni";
/// Semaphores of a set, of all sets, operations of a call, sets.
pub const SEMAPHORES: &str = "kernel/sem";
/// Pages of all segments together.
pub const SHARED_PAGES: &str = "kernel/shmall";
/// Largest segment, in bytes.
pub const SHARED_SIZE: &str = "kernel/shmmax";
/// Most segments.
pub const SHARED_SEGMENTS: &str = "kernel/shmmni";
/// Most POSIX queues.
pub const POSIX_QUEUES: &str = "fs/mqueue/queues_max";
/// Messages of a POSIX queue whose maker does not say, and most of one without privilege.
pub const POSIX_MESSAGES: [&str; 2] = ["fs/mqueue/msg_default", "fs/mqueue/msg_max"];
/// The same of the bytes of a message.
pub const POSIX_MESSAGE_SIZE: [&str; 2] = ["fs/mqueue/msgsize_default", "fs/mqueue/msgsize_max"];

/// One setting: its name, its default values, and the largest value of each.
type Definition = (&'static str, &'static [u64], u64);

/// An int.
const INT: u64 = 0x7fff_ffff;

/// All of them, by name. Those of the network are kept for programs and for a network stack; the
/// loopback of today asks for none.
const DEFINITIONS: &[Definition] = &[
    (POSIX_MESSAGES[0], &[10], 65536),
    (POSIX_MESSAGES[1], &[10], 65536),
    (POSIX_MESSAGE_SIZE[0], &[8192], 16 << 20),
    (POSIX_MESSAGE_SIZE[1], &[8192], 16 << 20),
    (POSIX_QUEUES, &[256], INT),
    (MESSAGE_SIZE, &[8192], 1 << 20),
    (MESSAGE_QUEUE_BYTES, &[16384], INT),
    (MESSAGE_QUEUES, &[1024], 32768),
    (SEMAPHORES, &[4096, 4096 * 1024, 500, 1024], INT),
    ("kernel/shm_rmid_forced", &[0], 0),
    (SHARED_PAGES, &[u64::MAX - (1 << 24)], u64::MAX),
    (SHARED_SIZE, &[u64::MAX - (1 << 24)], u64::MAX),
    (SHARED_SEGMENTS, &[4096], 32768),
    ("net/core/rmem_default", &[212_992], INT),
    ("net/core/rmem_max", &[212_992], INT),
    ("net/core/somaxconn", &[4096], INT),
    ("net/core/wmem_default", &[212_992], INT),
    ("net/core/wmem_max", &[212_992], INT),
    ("net/ipv4/conf/all/accept_redirects", &[1], INT),
    ("net/ipv4/conf/all/accept_source_route", &[0], INT),
    ("net/ipv4/conf/all/arp_announce", &[0], INT),
    ("net/ipv4/conf/all/arp_ignore", &[0], INT),
    ("net/ipv4/conf/all/forwarding", &[0], INT),
    ("net/ipv4/conf/all/route_localnet", &[0], INT),
    ("net/ipv4/conf/all/rp_filter", &[0], INT),
    ("net/ipv4/conf/all/send_redirects", &[1], INT),
    ("net/ipv4/conf/default/accept_redirects", &[1], INT),
    ("net/ipv4/conf/default/accept_source_route", &[1], INT),
    ("net/ipv4/conf/default/forwarding", &[0], INT),
    ("net/ipv4/conf/default/rp_filter", &[0], INT),
    ("net/ipv4/conf/default/send_redirects", &[1], INT),
    ("net/ipv4/icmp_echo_ignore_all", &[0], 1),
    ("net/ipv4/icmp_echo_ignore_broadcasts", &[1], 1),
    ("net/ipv4/ip_default_ttl", &[64], 255),
    ("net/ipv4/ip_forward", &[0], INT),
    ("net/ipv4/ip_local_port_range", &[32768, 60999], 65535),
    ("net/ipv4/ip_nonlocal_bind", &[0], 1),
    ("net/ipv4/ip_unprivileged_port_start", &[1024], 65535),
    ("net/ipv4/ping_group_range", &[1, 0], INT),
    ("net/ipv4/tcp_ecn", &[2], INT),
    ("net/ipv4/tcp_fastopen", &[1], INT),
    ("net/ipv4/tcp_fin_timeout", &[60], INT),
    ("net/ipv4/tcp_keepalive_intvl", &[75], INT),
    ("net/ipv4/tcp_keepalive_probes", &[9], 255),
    ("net/ipv4/tcp_keepalive_time", &[7200], INT),
    ("net/ipv4/tcp_max_syn_backlog", &[128], INT),
    ("net/ipv4/tcp_max_tw_buckets", &[16384], INT),
    ("net/ipv4/tcp_mtu_probing", &[0], INT),
    ("net/ipv4/tcp_retries1", &[3], 255),
    ("net/ipv4/tcp_retries2", &[15], 255),
    ("net/ipv4/tcp_rmem", &[4096, 131_072, 6_291_456], INT),
    ("net/ipv4/tcp_sack", &[1], 1),
    ("net/ipv4/tcp_slow_start_after_idle", &[1], 1),
    ("net/ipv4/tcp_syn_retries", &[6], 127),
    ("net/ipv4/tcp_synack_retries", &[5], 255),
    ("net/ipv4/tcp_syncookies", &[1], 2),
    ("net/ipv4/tcp_timestamps", &[1], 2),
    ("net/ipv4/tcp_tw_reuse", &[2], 2),
    ("net/ipv4/tcp_window_scaling", &[1], 1),
    ("net/ipv4/tcp_wmem", &[4096, 16384, 4_194_304], INT),
    ("net/ipv6/conf/all/disable_ipv6", &[1], 1),
    ("net/ipv6/conf/all/forwarding", &[0], 1),
    ("net/ipv6/conf/default/disable_ipv6", &[1], 1),
    ("net/ipv6/conf/default/forwarding", &[0], 1),
    ("net/unix/max_dgram_qlen", &[512], INT),
];

/// The values that differ from their defaults.
#[derive(Debug, Default)]
pub struct Settings(RwLock<BTreeMap<&'static str, Vec<u64>>>);

fn definition(name: &str) -> Result<&'static Definition> {
    DEFINITIONS.iter().find(|(known, ..)| *known == name).ok_or(Errno::ENOENT)
}

impl Settings {
    /// Names of all settings, in order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        DEFINITIONS.iter().map(|(name, ..)| *name)
    }

    /// Value `position` of the setting `name`; 0 if there is none.
    pub fn number(&self, name: &str, position: usize) -> u64 {
        self.with(name, |numbers| numbers.get(position).copied().unwrap_or(0)).unwrap_or(0)
    }

    /// The same as a size.
    pub fn size(&self, name: &str, position: usize) -> usize {
        usize::try_from(self.number(name, position)).unwrap_or(usize::MAX)
    }

    fn with<T>(&self, name: &str, look: impl FnOnce(&[u64]) -> T) -> Result<T> {
        let (_, default, _) = definition(name)?;
        Ok(look(self.0.read().get(name).map_or(*default, Vec::as_slice)))
    }

    /// The line that its file shows.
    ///
    /// # Errors
    /// ENOENT if there is no such setting.
    pub fn line(&self, name: &str) -> Result<String> {
        let words = |numbers: &[u64]| -> Vec<_> {
            numbers.iter().map(|number| format!("{number}")).collect()
        };
        Ok(self.with(name, words)?.join("\t") + "\n")
    }

    /// Takes the numbers in `text` as its values.
    ///
    /// # Errors
    /// ENOENT if there is no such setting; EINVAL if the numbers are too few, too many or too
    /// large.
    pub fn set(&self, name: &str, text: &[u8]) -> Result<()> {
        let (name, default, most) = definition(name)?;
        let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        let words = text.split([' ', '\t', '\n', '\0']).filter(|word| !word.is_empty());
        let numbers: Vec<u64> =
            words.map(str::parse).collect::<Result<_, _>>().map_err(|_| Errno::EINVAL)?;
        if numbers.len() != default.len() || numbers.iter().any(|number| number > most) {
            return Err(Errno::EINVAL);
        }
        self.0.write().insert(name, numbers);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ascend_and_are_in_a_namespace() {
        assert!(Settings::names().is_sorted());
        let roots = ["fs/mqueue/", "kernel/", "net/"];
        assert!(Settings::names().all(|name| roots.iter().any(|root| name.starts_with(root))));
    }

    #[test]
    fn values_are_numbers_as_many_as_the_setting_has() {
        let settings = Settings::default();
        assert_eq!(settings.line("net/ipv4/tcp_rmem").unwrap(), "4096\t131072\t6291456\n");
        settings.set("net/ipv4/tcp_rmem", b"1 2\t3\n").unwrap();
        assert_eq!(settings.line("net/ipv4/tcp_rmem").unwrap(), "1\t2\t3\n");
        assert_eq!(settings.number("net/ipv4/tcp_rmem", 2), 3);
        for bad in [&b"1 2"[..], b"1 2 3 4", b"a b c", b"1 2 -3", b"1 2 99999999999", b"\xff"] {
            assert_eq!(settings.set("net/ipv4/tcp_rmem", bad), Err(Errno::EINVAL));
        }
        assert_eq!(settings.set("kernel/panic", b"1"), Err(Errno::ENOENT));
    }
}
