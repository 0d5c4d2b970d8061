//! `process.capabilities` to bit masks.

use std::str::FromStr;

use guest_abi::container::CapabilitySets;
use oci_spec::runtime::{Capabilities, LinuxCapabilities};

use super::field::invalid;
use crate::error::Result;

/// The sets; all empty if the section or one of them is absent.
pub fn convert(capabilities: Option<&LinuxCapabilities>) -> Result<CapabilitySets> {
    let Some(capabilities) = capabilities else {
        return Ok(CapabilitySets::default());
    };
    Ok(CapabilitySets {
        bounding: mask(capabilities.bounding().as_ref())?,
        effective: mask(capabilities.effective().as_ref())?,
        inheritable: mask(capabilities.inheritable().as_ref())?,
        permitted: mask(capabilities.permitted().as_ref())?,
        ambient: mask(capabilities.ambient().as_ref())?,
    })
}

fn mask(set: Option<&Capabilities>) -> Result<u64> {
    set.into_iter().flatten().try_fold(0, |mask, capability| {
        let name = format!("CAP_{capability}");
        let known = caps::Capability::from_str(&name).map_err(|_| {
            invalid("process.capabilities", format_args!("names {name}"), "remove it: unknown")
        })?;
        Ok(mask | known.bitmask())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_numbers_are_those_of_capabilities_7() {
        let sets: LinuxCapabilities = serde_json::from_str(
            r#"{"bounding": ["CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_CHECKPOINT_RESTORE"]}"#,
        )
        .unwrap();
        let sets = convert(Some(&sets)).unwrap();
        assert_eq!(sets.bounding, 1 | 1 << 10 | 1 << 40);
        assert_eq!(sets.effective, 0);
    }

    #[test]
    fn every_capability_of_the_specification_is_known() {
        for capability in caps::all() {
            let json = format!(r#"{{"permitted": ["{capability}"]}}"#);
            let sets: LinuxCapabilities = serde_json::from_str(&json).unwrap();
            assert_eq!(convert(Some(&sets)).unwrap().permitted, 1 << capability.index());
        }
    }
}
