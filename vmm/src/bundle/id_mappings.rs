//! `linux.uidMappings` and `linux.gidMappings`.

use guest_abi::container::IdMapping;
use oci_spec::runtime::LinuxIdMapping;

use super::field::invalid;
use crate::error::Result;

/// Most runs of a mapping (user_namespaces(7)).
const MAX_RUNS: usize = 340;

/// The runs of ids.
///
/// # Errors
/// If a run is empty or too long, or two runs overlap.
pub fn convert(name: &str, mappings: Option<&[LinuxIdMapping]>) -> Result<Vec<IdMapping>> {
    let mappings = mappings.unwrap_or_default();
    if mappings.len() > MAX_RUNS {
        return Err(invalid(name, "has more than 340 runs", "join some of them"));
    }
    let runs: Vec<IdMapping> = mappings
        .iter()
        .map(|mapping| IdMapping {
            inside: mapping.container_id(),
            outside: mapping.host_id(),
            count: mapping.size(),
        })
        .collect();
    for (index, run) in runs.iter().enumerate() {
        let ends = |first: u32| first.checked_add(run.count).is_some();
        if run.count == 0 || !ends(run.inside) || !ends(run.outside) {
            let what = format_args!("has a run of {} ids", run.count);
            return Err(invalid(format_args!("{name}[{index}]"), what, "correct its size"));
        }
        let earlier = runs.iter().take(index);
        if earlier.into_iter().any(|other| overlap(run, other)) {
            let name = format_args!("{name}[{index}]");
            return Err(invalid(name, "overlaps another run", "map each id once"));
        }
    }
    Ok(runs)
}

fn overlap(one: &IdMapping, other: &IdMapping) -> bool {
    let meet = |one_first: u32, other_first: u32| {
        u64::from(one_first) < u64::from(other_first) + u64::from(other.count)
            && u64::from(other_first) < u64::from(one_first) + u64::from(one.count)
    };
    meet(one.inside, other.inside) || meet(one.outside, other.outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(json: &str) -> Result<Vec<IdMapping>> {
        convert("linux.uidMappings", Some(&serde_json::from_str::<Vec<_>>(json).unwrap()))
    }

    #[test]
    fn runs_map_each_id_once() {
        let mapped = runs(r#"[{"containerID": 0, "hostID": 100000, "size": 65536}]"#).unwrap();
        assert_eq!(mapped, [IdMapping { inside: 0, outside: 100_000, count: 65536 }]);
        for wrong in [
            r#"[{"containerID": 0, "hostID": 0, "size": 0}]"#,
            r#"[{"containerID": 1, "hostID": 0, "size": 4294967295}]"#,
            r#"[{"containerID": 0, "hostID": 10, "size": 5}, {"containerID": 4, "hostID": 90, "size": 1}]"#,
            r#"[{"containerID": 0, "hostID": 10, "size": 5}, {"containerID": 9, "hostID": 14, "size": 1}]"#,
        ] {
            assert!(runs(wrong).is_err(), "{wrong}");
        }
    }
}
