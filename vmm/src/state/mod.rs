//! What is remembered of containers between commands: one directory a container.
//!
//! - A container's directory appears under its id complete and locked: it is made under another
//!   name and renamed.
//! - A file in it is replaced by writing another, fsync(2) and rename(2), so it is always whole.
//! - The lock is flock(2) on the directory: it ends with whoever holds it, however that ends.

mod place;
mod process;
mod record;
mod status;

use place::Place;
pub use process::ProcessIdentity;
pub use record::Record;
pub use status::{Status, status};

use std::{
    fs,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, open, openat, renameat,
        renameat_with, unlinkat,
    },
    io::Errno,
};

use crate::{
    control_socket::SOCKET_NAME,
    error::{Failure, Result},
};

/// Longest container id in bytes: it names a directory (NAME_MAX of limits.h).
const MAX_ID_BYTES: usize = 255;

/// Name of the record in a container's directory.
const RECORD_NAME: &str = "state.json";

/// The directory of all containers.
#[derive(Clone, Debug)]
pub struct StateRoot(Place);

/// The directory of one container.
#[derive(Debug)]
pub struct Container {
    id: String,
    path: PathBuf,
    directory: OwnedFd,
}

impl StateRoot {
    /// The directory `path`, or the default: below /run for root, else below the user's run-time
    /// directory, else one of the user's own in /tmp.
    pub fn new(path: Option<&Path>) -> Self {
        Self(path.map_or_else(Place::default_of_user, Place::given))
    }

    /// Makes the directory of a new container; it is locked.
    ///
    /// # Errors
    /// If the id is in use or cannot be one, or the file system refuses.
    pub fn create(&self, id: &str) -> Result<Container> {
        check_id(id)?;
        let root = self.0.make().map_err(|error| self.unusable(&error))?;
        let temporary = root.join(temporary_name(std::process::id(), id));
        make_directory(&temporary).map_err(|error| self.unusable(&error))?;
        let container =
            Container::open(id, &temporary).map_err(|error| self.unusable(&error.into()))?;
        container.lock()?;
        let path = root.join(id);
        match renameat_with(CWD, &temporary, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Container { path, ..container }),
            Err(error) => {
                // Whatever remains of it is out of everybody's way.
                let _ = fs::remove_dir(&temporary);
                Err(match error {
                    Errno::EXIST => Failure::new(
                        format_args!("container with given ID already exists: {id}"),
                        "choose another id, or delete the container",
                    ),
                    error => self.unusable(&error.into()),
                })
            }
        }
    }

    /// The container `id`.
    ///
    /// # Errors
    /// If there is none; engines match the words of the failure.
    pub fn find(&self, id: &str) -> Result<Container> {
        check_id(id)?;
        self.try_find(id)?.ok_or_else(|| {
            Failure::new("container does not exist", format_args!("there is no container '{id}'"))
        })
    }

    /// The same, or `None` if there is none.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn try_find(&self, id: &str) -> Result<Option<Container>> {
        let Some(root) = self.existing()? else { return Ok(None) };
        match Container::open(id, &root.join(id)) {
            Ok(container) => Ok(Some(container)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(self.unusable(&error.into())),
        }
    }

    /// Removes what commands left that were killed while they made a container `id`.
    pub fn sweep(&self, id: &str) {
        let Ok(Some(root)) = self.existing() else { return };
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let maker = name.to_str().and_then(|name| maker_of(name, id));
            if maker.is_some_and(|pid| ProcessIdentity::of(pid).is_none()) {
                // It is empty; whoever is faster has removed it.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }

    /// All containers, by id.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn all(&self) -> Result<Vec<Container>> {
        let Some(root) = self.existing()? else { return Ok(Vec::new()) };
        let entries = fs::read_dir(root).map_err(|error| self.unusable(&error))?;
        let mut ids: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|id| check_id(id).is_ok())
            .collect();
        ids.sort();
        // One that is deleted meanwhile is none.
        Ok(ids.iter().filter_map(|id| self.try_find(id).ok()?).collect())
    }

    /// The directory, if it is there.
    fn existing(&self) -> Result<Option<&Path>> {
        self.0.existing().map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &io::Error) -> Failure {
        Failure::new(
            format_args!("cannot use the state directory {}: {error}", self.0.path().display()),
            "name one that you may write with --root",
        )
    }
}

impl Container {
    fn open(id: &str, path: &Path) -> rustix::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = open(path, flags, Mode::empty())?;
        Ok(Self { id: id.to_owned(), path: path.to_owned(), directory })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its state directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Waits until no other command changes it, and keeps others from it as long as this value
    /// lives.
    ///
    /// # Errors
    /// Those of flock(2).
    pub fn lock(&self) -> Result<()> {
        let locked =
            rustix::io::retry_on_intr(|| flock(&self.directory, FlockOperation::LockExclusive));
        locked.map_err(|error| self.failed("lock", &error.into()))
    }

    /// What is remembered of it; `None` if the command that makes it has not come so far.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn record(&self) -> Result<Option<Record>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match openat(&self.directory, RECORD_NAME, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failed("read", &error.into())),
        };
        let mut bytes = Vec::new();
        fs::File::from(file)
            .read_to_end(&mut bytes)
            .map_err(|error| self.failed("read", &error))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| self.failed("read", &io::Error::other(error)))
    }

    /// Remembers `record`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record)
            .map_err(|error| self.failed("write", &io::Error::other(error)))?;
        self.replace(RECORD_NAME, &bytes).map_err(|error| self.failed("write", &error))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!(".{name}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&self.directory, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = fs::File::from(file);
        file.write_all(bytes)?;
        file.sync_all()?;
        // The content is there before the name. Which of two records a host finds that lost its power
        // does not matter: its containers are gone.
        Ok(renameat(&self.directory, &temporary, &self.directory, name)?)
    }

    /// Forgets it.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn remove(self) -> Result<()> {
        let hidden = format!(".{RECORD_NAME}");
        for name in [SOCKET_NAME, &hidden, RECORD_NAME] {
            match unlinkat(&self.directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(self.failed("remove", &error.into())),
            }
        }
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", &error))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        Failure::new(
            format_args!("cannot {what} the state of container {}: {error}", self.id),
            format_args!("see {}", self.path.display()),
        )
    }
}

/// The name of a container's directory while process `pid` makes it.
fn temporary_name(pid: u32, id: &str) -> String {
    format!(".{pid}.{id}")
}

/// The process that makes the container `id` in the directory `name`, if that is what it is for.
fn maker_of(name: &str, id: &str) -> Option<u32> {
    let pid = name.strip_prefix('.')?.strip_suffix(id)?.strip_suffix('.')?.parse().ok()?;
    (temporary_name(pid, id) == name).then_some(pid)
}

fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let make = || fs::DirBuilder::new().mode(0o711).create(path);
    match make() {
        // Of a process that had our id and was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_dir(path)?;
            make()
        }
        outcome => outcome,
    }
}

/// Checks that `id` is a name that other tools and file systems take too, as runc does.
///
/// # Errors
/// If it is not.
pub fn check_id(id: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    let is_special = id.is_empty() || id.starts_with('.');
    if id.len() <= MAX_ID_BYTES && id.chars().all(is_allowed) && !is_special {
        return Ok(());
    }
    Err(Failure::new(
        format_args!("'{id}' cannot be a container's id"),
        "use letters, digits and _ + - . only, and no . first",
    ))
}

#[cfg(test)]
mod tests {
    use vmm_sys_util::tempdir::TempDir;

    use super::*;

    fn root() -> (TempDir, StateRoot) {
        let directory = TempDir::new().unwrap();
        let root = StateRoot::new(Some(&directory.as_path().join("a/b")));
        (directory, root)
    }

    #[test]
    fn ids_are_plain_names() {
        for id in ["a", "run-1", "A_b+c.d"] {
            assert!(check_id(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", ".a", "a/b", "a b", "é", &"x".repeat(256)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn a_container_is_made_once_and_forgotten() {
        let (_directory, root) = root();
        assert!(root.all().unwrap().is_empty());
        let container = root.create("one").unwrap();
        assert!(container.record().unwrap().is_none());
        let again = root.create("one").unwrap_err().to_string();
        assert!(again.contains("container with given ID already exists"), "{again}");
        assert_eq!(root.all().unwrap().len(), 1);
        container.remove().unwrap();
        assert!(root.all().unwrap().is_empty());
        let missing = root.find("one").unwrap_err().to_string();
        assert!(missing.starts_with("container does not exist"), "{missing}");
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (_directory, root) = root();
        let container = root.create("one").unwrap();
        let record = Record::example();
        container.write_record(&record).unwrap();
        assert_eq!(root.find("one").unwrap().record().unwrap(), Some(record));
    }

    #[test]
    fn what_a_killed_maker_left_is_swept() {
        let (_directory, root) = root();
        let place = root.0.make().unwrap();
        // No process has such an id (proc_sys_kernel(5), pid_max).
        let left = place.join(temporary_name(u32::MAX, "one"));
        let busy = place.join(temporary_name(std::process::id(), "one"));
        let other = place.join(temporary_name(u32::MAX, "an.one"));
        for directory in [&left, &busy, &other] {
            fs::create_dir(directory).unwrap();
        }
        root.sweep("one");
        assert!(!left.exists() && busy.exists() && other.exists());
    }

    #[test]
    fn the_lock_ends_with_its_holder() {
        let (_directory, root) = root();
        let holder = root.create("one").unwrap();
        let other = root.find("one").unwrap();
        let try_lock = || flock(&other.directory, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(try_lock(), Err(Errno::WOULDBLOCK));
        drop(holder);
        assert_eq!(try_lock(), Ok(()));
    }
}
