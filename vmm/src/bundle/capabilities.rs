//! `process.capabilities` to bit masks.

use std::{collections::BTreeSet, str::FromStr};

use guest_abi::container::CapabilitySets;

use super::spec::CapabilityNames;

/// The sets; all empty if the section or one of them is absent. Names that Linux does not know are
/// passed over, as by runc.
pub fn convert(names: Option<&CapabilityNames>) -> CapabilitySets {
    names.map_or_else(CapabilitySets::default, |names| CapabilitySets {
        bounding: mask(names.bounding.as_deref()),
        effective: mask(names.effective.as_deref()),
        inheritable: mask(names.inheritable.as_deref()),
        permitted: mask(names.permitted.as_deref()),
        ambient: mask(names.ambient.as_deref()),
    })
}

/// The names that Linux does not know, each once.
pub fn unknown(names: &CapabilityNames) -> BTreeSet<&str> {
    [&names.bounding, &names.effective, &names.inheritable, &names.permitted, &names.ambient]
        .into_iter()
        .flatten()
        .flatten()
        .map(String::as_str)
        .filter(|name| bit(name).is_none())
        .collect()
}

/// The bit of a capability's name, with or without CAP_.
pub fn bit(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    caps::Capability::from_str(&full).ok().map(|capability| capability.bitmask())
}

fn mask(names: Option<&[String]>) -> u64 {
    names.into_iter().flatten().filter_map(|name| bit(name)).fold(0, |mask, bit| mask | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_numbers_are_those_of_capabilities_7() {
        let names: CapabilityNames = serde_json::from_str(
            r#"{"bounding": ["CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_CHECKPOINT_RESTORE"]}"#,
        )
        .unwrap();
        let sets = convert(Some(&names));
        assert_eq!(sets.bounding, 1 | 1 << 10 | 1 << 40);
        assert_eq!(sets.effective, 0);
    }

    #[test]
    fn every_capability_of_the_specification_is_known() {
        for capability in caps::all() {
            assert_eq!(bit(&capability.to_string()), Some(1 << capability.index()));
        }
    }

    #[test]
    fn unknown_names_are_passed_over_and_told() {
        let names: CapabilityNames = serde_json::from_str(
            r#"{"permitted": ["CAP_ODD", "kill", ""], "ambient": ["CAP_ODD", "CAP_CHOWN"]}"#,
        )
        .unwrap();
        let sets = convert(Some(&names));
        assert_eq!((sets.permitted, sets.ambient), (1 << 5, 1));
        assert_eq!(unknown(&names).into_iter().collect::<Vec<_>>(), ["", "CAP_ODD"]);
    }
}
