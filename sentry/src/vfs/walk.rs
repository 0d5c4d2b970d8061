//! Path walk: from a name to a place (path_resolution(7)).
//!
//! A walk runs on cached names without suspending or allocating for as long as it can. At the
//! first thing it does not know it says what it needs ([`Need`]), the asynchronous driver gets it,
//! and the same walk goes on from there.

use alloc::{borrow::Cow, sync::Arc, vec::Vec};

use bitflags::bitflags;

use super::{
    Caching, Caller, Dentry, FileKind, Mount, MountFlags, Path,
    dentry::Cached,
    permission::{self, AccessMode},
};
use crate::{
    errno::{Errno, Result},
    kernel::{Credentials, Kernel},
};

/// Length from which on a path is too long, its NUL included (PATH_MAX).
pub const PATH_MAX: usize = 4096;
/// Longest component in bytes (NAME_MAX).
pub const NAME_MAX: usize = 255;
/// Symbolic links followed in one walk before ELOOP.
const MAX_LINKS: u32 = 40;

bitflags! {
    /// How to walk.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct WalkFlags: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1;
        /// The result must be a directory.
        const DIRECTORY = 1 << 1;
        /// An empty name means the start itself (AT_EMPTY_PATH).
        const EMPTY = 1 << 2;
        /// Stay within the start's mount (openat2(2) RESOLVE_NO_XDEV).
        const NO_CROSSING = 1 << 3;
        /// Follow no magic link (RESOLVE_NO_MAGICLINKS).
        const NO_MAGIC_LINKS = 1 << 4;
        /// Follow no symbolic link at all (RESOLVE_NO_SYMLINKS).
        const NO_LINKS = 1 << 5;
        /// Stay below the start (RESOLVE_BENEATH).
        const BENEATH = 1 << 6;
        /// The start is the root (RESOLVE_IN_ROOT).
        const IN_ROOT = 1 << 7;
    }
}

/// On whose behalf names are resolved.
#[derive(Clone, Copy)]
pub struct WalkContext<'a> {
    /// Who asks.
    pub caller: Caller<'a>,
    /// The root of its names.
    pub root: &'a Path,
    /// Permission bits that new files do not get.
    pub umask: u16,
}

impl<'a> WalkContext<'a> {
    /// For what the kernel itself does to the files below `root`.
    pub const fn of_kernel(
        kernel: &'a Arc<Kernel>,
        credentials: &'a Credentials,
        root: &'a Path,
    ) -> Self {
        Self { caller: Caller { kernel, task: None, credentials }, root, umask: 0 }
    }
}

/// The last component of a name whose directory was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// A name; with a trailing slash if `directory`.
    Name {
        /// The component.
        name: Vec<u8>,
        /// Something that is no directory will not do.
        directory: bool,
    },
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none: the name is of slashes only.
    Root,
}

/// Resolves `name` from `start` (unless it is absolute).
///
/// # Errors
/// ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, EXDEV (a resolve flag), and what file systems say.
pub async fn walk(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    flags: WalkFlags,
) -> Result<Path> {
    let mut walker = Walker::new(*context, start, name, flags, false)?;
    walker.run().await?;
    walker.into_result()
}

/// As [`walk`], for a name that only needs cached dentries; `None` if it needs more.
pub fn try_walk(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    flags: WalkFlags,
) -> Option<Result<Path>> {
    let mut walker = match Walker::new(*context, start, name, flags, false) {
        Ok(walker) => walker,
        Err(errno) => return Some(Err(errno)),
    };
    match walker.advance() {
        Ok(None) => Some(walker.into_result()),
        Ok(Some(_)) => None,
        Err(errno) => Some(Err(errno)),
    }
}

/// Resolves all but the last component of `name`: the directory it is in, and that component.
///
/// # Errors
/// As [`walk`].
pub async fn walk_parent(
    context: &WalkContext<'_>,
    start: &Path,
    name: &[u8],
    flags: WalkFlags,
) -> Result<(Path, Last)> {
    let mut walker = Walker::new(*context, start, name, flags, true)?;
    walker.run().await?;
    Ok(walker.parent())
}

/// The dentry called `name` in `directory`, whose search permission has been checked; mounts on it
/// are not crossed.
///
/// # Errors
/// ENOENT, and what the file system says.
pub async fn lookup_child(directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    loop {
        match directory.cached_child(name) {
            Cached::Present(child) => return Ok(child),
            Cached::Absent => return Err(Errno::ENOENT),
            Cached::Unknown => {}
        }
        if directory.is_removed() {
            return Err(Errno::ENOENT);
        }
        let generation = directory.generation();
        let answer = match directory.inode.lookup(name).await {
            Ok(inode) => Some(inode),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        if let Ok(child) = directory.learn(name, answer, generation) {
            return child.ok_or(Errno::ENOENT);
        }
    }
}

/// What a walk needs before it can go on.
enum Need {
    /// The attributes of the directory it is at: whether it may be searched, or has changed.
    Permission,
    /// The next component.
    Lookup,
    /// The target of this symbolic link, the next component.
    Link(Arc<Dentry>),
}

/// A walk on its way.
pub(super) struct Walker<'a> {
    context: WalkContext<'a>,
    root: Path,
    at: Path,
    /// The name, or what links have made of it, and how much of it is done.
    name: Cow<'a, [u8]>,
    position: usize,
    links: u32,
    flags: WalkFlags,
    /// Leave the last component unresolved.
    keep_last: bool,
    /// Search permission on `at` has been checked.
    searchable: bool,
    /// The last component followed by a slash, or the caller, demands a directory.
    need_directory: bool,
}

/// One component of what is left of a name.
struct Component {
    start: usize,
    end: usize,
    is_last: bool,
    /// A slash follows it.
    slash: bool,
}

impl<'a> Walker<'a> {
    pub fn new(
        context: WalkContext<'a>,
        start: &Path,
        name: &'a [u8],
        flags: WalkFlags,
        keep_last: bool,
    ) -> Result<Self> {
        if name.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if name.is_empty() && !flags.contains(WalkFlags::EMPTY) {
            return Err(Errno::ENOENT);
        }
        let confined = flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT);
        let root = if confined { start } else { context.root };
        let mut walker = Self {
            context,
            root: root.clone(),
            at: start.clone(),
            name: Cow::Borrowed(name),
            position: 0,
            links: 0,
            flags,
            keep_last,
            searchable: false,
            need_directory: flags.contains(WalkFlags::DIRECTORY),
        };
        if name.first() == Some(&b'/') {
            walker.go_to_root()?;
        }
        Ok(walker)
    }

    /// Where the walk has arrived.
    fn into_result(self) -> Result<Path> {
        if self.need_directory && self.at.inode().kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.at)
    }

    /// The directory arrived at and the component left over.
    pub fn parent(&self) -> (Path, Last) {
        let last = match self.component() {
            None => Last::Root,
            Some(component) => match &self.name[component.start..component.end] {
                b"." => Last::Dot,
                b".." => Last::DotDot,
                name => Last::Name { name: name.to_vec(), directory: component.slash },
            },
        };
        (self.at.clone(), last)
    }

    /// Where the component left over, which is `child` and no link, leads: across its mounts.
    pub fn child(&mut self, child: Arc<Dentry>) -> Result<Path> {
        if child.is_mount_point()
            && let Some(mount) = self.at.mount.child_at(&child)
        {
            self.cross(mount)?;
        } else {
            self.at.dentry = child;
        }
        Ok(self.at.clone())
    }

    /// Follows `link`, the component left over: to a place if it is a magic link, else the walk
    /// goes on along its target.
    pub async fn read_last_link(&mut self, link: &Arc<Dentry>) -> Result<Option<Path>> {
        self.read_link(link).await?;
        Ok((self.position >= self.name.len()).then(|| self.at.clone()))
    }

    /// Walks to the end.
    pub async fn run(&mut self) -> Result<()> {
        while let Some(need) = self.advance()? {
            match need {
                Need::Permission => {
                    let attributes = self.at.inode().attributes().await?;
                    let credentials = self.context.caller.credentials;
                    permission::check(credentials, &attributes, AccessMode::EXECUTE)?;
                    self.searchable = true;
                }
                Need::Lookup => self.look_up().await?,
                Need::Link(link) => self.read_link(&link).await?,
            }
        }
        Ok(())
    }

    /// Walks on as far as cached names lead; `None` at the end.
    fn advance(&mut self) -> Result<Option<Need>> {
        while let Some(component) = self.component() {
            if self.at.inode().kind() != FileKind::Directory {
                return Err(Errno::ENOTDIR);
            }
            if !self.check_search()? {
                return Ok(Some(Need::Permission));
            }
            if component.is_last && self.keep_last {
                return Ok(None);
            }
            if let Some(need) = self.step(&component)? {
                return Ok(Some(need));
            }
        }
        Ok(None)
    }

    /// Takes one component if what it leads to is cached.
    fn step(&mut self, component: &Component) -> Result<Option<Need>> {
        let name = &self.name[component.start..component.end];
        match name {
            b"." => self.consume(component),
            b".." => {
                self.ascend()?;
                self.consume(component);
            }
            _ if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            _ => match self.at.dentry.cached_child(name) {
                Cached::Present(child) => return self.enter(child, component),
                Cached::Absent => return Err(Errno::ENOENT),
                Cached::Unknown => return Ok(Some(Need::Lookup)),
            },
        }
        Ok(None)
    }

    /// The next component, if there is one.
    fn component(&self) -> Option<Component> {
        let rest = self.name.get(self.position..)?;
        let start = self.position + rest.iter().position(|byte| *byte != b'/')?;
        let length = self.name[start..].iter().position(|byte| *byte == b'/');
        let end = length.map_or(self.name.len(), |length| start + length);
        let is_last = self.name[end..].iter().all(|byte| *byte == b'/');
        Some(Component { start, end, is_last, slash: end < self.name.len() })
    }

    fn consume(&mut self, component: &Component) {
        self.position = component.end;
        if component.is_last && component.slash {
            self.need_directory = true;
        }
    }

    fn check_search(&mut self) -> Result<bool> {
        if !self.searchable {
            if !self.at.dentry.names_are_current() {
                return Ok(false);
            }
            let credentials = self.context.caller.credentials;
            match permission::try_check_search(credentials, &**self.at.inode()) {
                Some(answer) => answer?,
                None => return Ok(false),
            }
            self.searchable = true;
        }
        Ok(true)
    }

    async fn look_up(&mut self) -> Result<()> {
        let Some(component) = self.component() else {
            return Ok(());
        };
        let name = &self.name[component.start..component.end];
        let child = lookup_child(&self.at.dentry, name).await?;
        match self.enter(child, &component)? {
            Some(Need::Link(link)) => self.read_link(&link).await,
            _ => Ok(()),
        }
    }

    /// Goes to `child`, across mounts and along a link whose target is known.
    fn enter(&mut self, child: Arc<Dentry>, component: &Component) -> Result<Option<Need>> {
        if child.is_mount_point()
            && let Some(mount) = self.at.mount.child_at(&child)
        {
            self.cross(mount)?;
            self.consume(component);
            return Ok(None);
        }
        let follow =
            !component.is_last || component.slash || self.flags.contains(WalkFlags::FOLLOW);
        if follow && child.inode.kind() == FileKind::SymbolicLink {
            return match child.link_target() {
                Some(target) => self.follow(&target).map(|()| None),
                None => Ok(Some(Need::Link(child))),
            };
        }
        self.at.dentry = child;
        self.searchable = false;
        self.consume(component);
        Ok(None)
    }

    fn cross(&mut self, mount: Arc<Mount>) -> Result<()> {
        if self.flags.contains(WalkFlags::NO_CROSSING) {
            return Err(Errno::EXDEV);
        }
        self.at = mount.root_path().topmost();
        self.searchable = false;
        Ok(())
    }

    fn ascend(&mut self) -> Result<()> {
        if self.at == self.root {
            if self.flags.contains(WalkFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            return Ok(());
        }
        if let Some(parent) = self.at.parent() {
            let parent = parent.topmost();
            if self.flags.contains(WalkFlags::NO_CROSSING)
                && !Arc::ptr_eq(&parent.mount, &self.at.mount)
            {
                return Err(Errno::EXDEV);
            }
            self.at = parent;
            self.searchable = false;
        }
        Ok(())
    }

    fn go_to_root(&mut self) -> Result<()> {
        if self.flags.contains(WalkFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        if self.flags.contains(WalkFlags::NO_CROSSING)
            && !Arc::ptr_eq(&self.root.mount, &self.at.mount)
        {
            return Err(Errno::EXDEV);
        }
        self.at = self.root.clone();
        self.searchable = false;
        Ok(())
    }

    async fn read_link(&mut self, link: &Arc<Dentry>) -> Result<()> {
        let caller = self.context.caller;
        if let Some(target) = link.inode.follow_magic_link(caller).await? {
            return self.jump(target);
        }
        let target = link.inode.read_link(caller).await?;
        if self.at.dentry.caching != Caching::Volatile {
            link.set_link_target(&target);
        }
        self.follow(&target)
    }

    /// Counts one more followed link.
    fn count_link(&mut self) -> Result<()> {
        self.links += 1;
        let may_follow = !self.flags.contains(WalkFlags::NO_LINKS)
            && !self.at.mount.flags().contains(MountFlags::NO_LINKS);
        if self.links > MAX_LINKS || !may_follow {
            return Err(Errno::ELOOP);
        }
        Ok(())
    }

    /// Replaces the next component, a link, by its target.
    pub fn follow(&mut self, target: &[u8]) -> Result<()> {
        self.count_link()?;
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        let rest = self.component().map_or(&[][..], |component| &self.name[component.end..]);
        self.name = Cow::Owned([target, rest].concat());
        self.position = 0;
        if target[0] == b'/' {
            self.go_to_root()?;
        }
        Ok(())
    }

    /// Takes the next component, a magic link, to where it leads.
    fn jump(&mut self, target: Path) -> Result<()> {
        self.count_link()?;
        if self.flags.contains(WalkFlags::NO_MAGIC_LINKS) {
            return Err(Errno::ELOOP);
        }
        if self.flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT)
            || self.flags.contains(WalkFlags::NO_CROSSING)
                && !Arc::ptr_eq(&target.mount, &self.at.mount)
        {
            return Err(Errno::EXDEV);
        }
        if let Some(component) = self.component() {
            self.consume(&component);
        }
        self.at = target;
        self.searchable = false;
        Ok(())
    }
}
