//! `root` of config.json.

use std::path::Path;

use guest_abi::container::{CachePolicy, RootSpec, RootWrites};
use oci_spec::runtime::Root;

use super::{BundleOptions, field::invalid};
use crate::{
    error::{Failure, Result},
    sandbox::plan::{Tree, Trees},
};

/// The container's root, its path relative to the bundle unless absolute.
pub fn convert(
    root: Option<&Root>,
    bundle: &Path,
    options: BundleOptions,
    trees: &mut Trees,
) -> Result<RootSpec> {
    let root = root
        .ok_or_else(|| invalid("root", "is missing", "name the root file system in root.path"))?;
    let writes = match (root.readonly().unwrap_or(false), options.overlay) {
        (true, _) => RootWrites::ReadOnly,
        (false, true) => RootWrites::Overlay,
        (false, false) => RootWrites::Through,
    };
    add_root(&bundle.join(root.path()), writes, trees)
}

/// Adds the directory `path` as the container's root.
///
/// # Errors
/// If it is not a directory that the caller may read.
pub fn add_root(path: &Path, writes: RootWrites, trees: &mut Trees) -> Result<RootSpec> {
    std::fs::read_dir(path).map_err(|error| {
        Failure::new(
            format_args!("cannot read the root directory {}: {error}", path.display()),
            "name a directory that you may read",
        )
    })?;
    let cache = CachePolicy::Exclusive;
    let read_only = writes != RootWrites::Through;
    let device = trees.add(Tree { path: path.to_owned(), read_only, submounts: true, cache })?;
    Ok(RootSpec { device, cache, writes })
}
