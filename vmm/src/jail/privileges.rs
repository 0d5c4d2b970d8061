//! Capabilities (capabilities(7)).

use rustix::{
    io::Errno,
    thread::{
        CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
        clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
        set_capabilities_secure_bits,
    },
};

/// Gives up every capability but those `kept` that the thread has, and the ways to get others: the
/// bounding set, and what programs run as root would gain.
///
/// # Errors
/// `EPERM`, which no kernel answers to giving up.
pub fn keep_only(kept: CapabilitySet) -> Result<(), Errno> {
    let locked = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    // These take CAP_SETPCAP: who does not have it has nothing to give up that exec could return.
    let _ = set_capabilities_secure_bits(locked);
    for capability in CapabilitySet::all().difference(kept).iter() {
        // EINVAL for a capability that this kernel does not have.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let _ = clear_ambient_capability_set();
    let kept = capabilities(None)?.permitted & kept;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })
}
