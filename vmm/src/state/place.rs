//! Which directory remembers containers.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

/// Bits of a mode that let others than the owner write.
const WRITE_OF_OTHERS: u32 = 0o022;

/// A directory, and whether it has to be a private one.
#[derive(Clone, Debug)]
pub struct Place {
    path: PathBuf,
    /// It is in a directory where anybody can make it, and what it remembers is acted upon.
    must_be_private: bool,
}

impl Place {
    /// The directory that the user names.
    pub fn given(path: &Path) -> Self {
        Self { path: path.to_owned(), must_be_private: false }
    }

    /// The directory of a user who names none.
    pub fn default_of_user() -> Self {
        let user = geteuid();
        if user.is_root() {
            return Self::given(Path::new("/run/sandbox-vmm"));
        }
        let run_time = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
        let path = run_time.map_or_else(
            || PathBuf::from(format!("/tmp/sandbox-vmm-{}", user.as_raw())),
            |directory| Path::new(&directory).join("sandbox-vmm"),
        );
        Self { path, must_be_private: true }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, unless it is there.
    ///
    /// # Errors
    /// If it cannot be made, or is somebody else's.
    pub fn make(&self) -> io::Result<&Path> {
        let mode = if self.must_be_private { 0o700 } else { 0o777 };
        DirBuilder::new().recursive(true).mode(mode).create(&self.path)?;
        self.existing()?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The directory, if it is there.
    ///
    /// # Errors
    /// If it is somebody else's.
    pub fn existing(&self) -> io::Result<Option<&Path>> {
        let found = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let is_private = found.is_dir()
            && found.uid() == geteuid().as_raw()
            && found.mode() & WRITE_OF_OTHERS == 0;
        if self.must_be_private && !is_private {
            return Err(io::Error::other("others can write it"));
        }
        Ok(Some(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use vmm_sys_util::tempdir::TempDir;

    use super::*;

    #[test]
    fn a_private_place_is_nobody_elses() {
        let directory = TempDir::new().unwrap();
        let path = directory.as_path().join("state");
        let place = Place { path: path.clone(), must_be_private: true };
        assert_eq!(place.existing().unwrap(), None);
        assert_eq!(place.make().unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(place.existing().is_err() && place.make().is_err());
        assert!(Place::given(&path).existing().unwrap().is_some());
        fs::rename(&path, directory.as_path().join("other")).unwrap();
        symlink("other", &path).unwrap();
        assert!(place.existing().is_err() && place.make().is_err());
    }
}
