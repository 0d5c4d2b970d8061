//! `process.rlimits` to resource numbers.

use guest_abi::container::RlimitSpec;
use oci_spec::runtime::{PosixRlimit, PosixRlimitType};
use rustix::process::{Resource, getrlimit};

use super::field::invalid;
use crate::error::Result;

/// `fs.nr_open` inside.
const MAX_OPEN_FILES: u64 = 1 << 20;

/// The limits, each resource at most once and no soft limit above its hard limit. Of open files the
/// caller's if none is given, as from runc.
pub fn convert(limits: &[PosixRlimit]) -> Result<Vec<RlimitSpec>> {
    let mut converted: Vec<RlimitSpec> = Vec::with_capacity(limits.len());
    for limit in limits {
        let resource = resource_number(limit.typ());
        if converted.iter().any(|known| known.resource == resource) {
            let what = format_args!("has {} twice", limit.typ());
            return Err(invalid("process.rlimits", what, "remove one of them"));
        }
        if limit.soft() > limit.hard() {
            let what = format_args!("has a soft {} above its hard limit", limit.typ());
            return Err(invalid("process.rlimits", what, "lower soft or raise hard"));
        }
        converted.push(RlimitSpec { resource, soft: limit.soft(), hard: limit.hard() });
    }
    if converted.iter().all(|limit| limit.resource != libc::RLIMIT_NOFILE) {
        converted.push(callers_open_files());
    }
    Ok(converted)
}

/// The caller's limit of open files. Others of its limits are about the host.
fn callers_open_files() -> RlimitSpec {
    let limit = getrlimit(Resource::Nofile);
    let value =
        |value: Option<u64>| value.map_or(MAX_OPEN_FILES, |value| value.min(MAX_OPEN_FILES));
    RlimitSpec {
        resource: libc::RLIMIT_NOFILE,
        soft: value(limit.current),
        hard: value(limit.maximum),
    }
}

/// Number of a resource in `<asm-generic/resource.h>`.
const fn resource_number(resource: PosixRlimitType) -> u32 {
    match resource {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_the_callers_unless_given() {
        let [limit] = convert(&[]).unwrap()[..] else { panic!("one limit") };
        let own = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert_eq!((limit.resource, limit.soft), (7, own.min(MAX_OPEN_FILES)));
        assert!(limit.soft <= limit.hard);
    }

    fn limits(json: &str) -> Vec<PosixRlimit> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn converts_names_and_infinity() {
        let limits = limits(
            r#"[{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}]"#,
        );
        assert_eq!(
            convert(&limits).unwrap(),
            [
                RlimitSpec { resource: 7, soft: 1024, hard: 4096 },
                RlimitSpec { resource: 4, soft: 0, hard: u64::MAX },
            ]
        );
    }

    #[test]
    fn refuses_duplicates_and_inverted_limits() {
        let twice = r#"[{"type": "RLIMIT_CPU", "soft": 1, "hard": 1},
                        {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]"#;
        assert!(convert(&limits(twice)).is_err());
        assert!(convert(&limits(r#"[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]"#)).is_err());
    }
}
