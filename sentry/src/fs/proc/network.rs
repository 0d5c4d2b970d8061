//! /proc/PID/net: what is there before a network stack is.

use super::process::ProcessSubject;
use crate::fs::pseudo::Entry;

const DEVICES: &str = "Inter-|   Receive                                                |  Transmit\n \
    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop \
    fifo colls carrier compressed\n";

const INTERNET: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
    uid  timeout inode\n";

/// The directory.
pub(super) const DIRECTORY: Entry<ProcessSubject> = Entry::directory(
    "net",
    &[
        Entry::text("dev", DEVICES),
        Entry::text("if_inet6", ""),
        Entry::text(
            "route",
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n",
        ),
        Entry::text("tcp", INTERNET),
        Entry::text("tcp6", INTERNET),
        Entry::text("udp", INTERNET),
        Entry::text("udp6", INTERNET),
    ],
);
