//! `sandbox-vmm`: runs OCI containers inside their own application kernel.

fn main() {}
