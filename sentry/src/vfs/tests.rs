//! The virtual file system as a whole, on tmpfs.

use alloc::sync::Arc;
use std::{borrow::ToOwned, boxed::Box, format, vec};

use super::{
    testing::{World, kernel, now},
    *,
};
use crate::{
    errno::Errno,
    fs::{
        testing::poll_once,
        tmpfs::{Options, Tmpfs},
    },
    kernel::Credentials,
};

fn world() -> World {
    let kernel = kernel(1024);
    let options = Options { root_permissions: 0o755, ..Options::default() };
    World::new(&kernel, Tmpfs::new(&kernel, options))
}

fn user(uid: u32) -> Credentials {
    Credentials::new(uid, uid, &[], guest_abi::container::CapabilitySets::default())
}

#[test]
fn what_is_written_is_read() {
    let world = world();
    world.mkdir("/a").unwrap();
    world.write("/a/file", b"hello").unwrap();
    world.append("/a/file", b" world").unwrap();
    assert_eq!(world.read("a//./file").unwrap(), b"hello world");
    assert_eq!(world.stat("/a/file").unwrap().size, 11);
    assert_eq!(world.stat("/a/file").unwrap().permissions, 0o644);
    assert_eq!(world.stat("/a").unwrap().links, 2);
}

#[test]
fn second_walk_needs_no_asynchrony() {
    let world = world();
    world.mkdir("/a").unwrap();
    world.mkdir("/a/b").unwrap();
    let try_walk =
        |name: &str| try_walk(&world.context(), &world.root, name.as_bytes(), WalkFlags::FOLLOW);
    assert!(try_walk("/a/b/../b/.").unwrap().is_ok());
    assert!(try_walk("/a/none").is_none());
    assert_eq!(world.find("/a/none").err(), Some(Errno::ENOENT));
    assert_eq!(try_walk("/a/none").unwrap().err(), Some(Errno::ENOENT));
    world.write("/a/none", b"").unwrap();
    assert!(try_walk("/a/none").unwrap().is_ok());
}

#[test]
fn symbolic_links_are_followed_up_to_a_limit() {
    let world = world();
    world.mkdir("/dir").unwrap();
    world.write("/dir/file", b"x").unwrap();
    world.symlink("dir", "/link").unwrap();
    world.symlink("/link/../link/file", "/far").unwrap();
    assert_eq!(world.read("/far").unwrap(), b"x");
    world.symlink("loop", "/loop").unwrap();
    assert_eq!(world.walk("/loop", WalkFlags::FOLLOW).err(), Some(Errno::ELOOP));
    assert_eq!(world.find("/loop").unwrap().inode().kind(), FileKind::SymbolicLink);
    assert_eq!(world.open("/far", OpenFlags::NO_FOLLOW).err(), Some(Errno::ELOOP));
    assert_eq!(world.stat("/link/").unwrap().kind, FileKind::Directory);
}

#[test]
fn creating_through_a_dangling_link_makes_its_target() {
    let world = world();
    world.mkdir("/dir").unwrap();
    world.symlink("dir/new", "/link").unwrap();
    world.write("/link", b"made").unwrap();
    assert_eq!(world.read("/dir/new").unwrap(), b"made");
    let exclusive = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    assert_eq!(world.open("/link", exclusive).err(), Some(Errno::EEXIST));
}

#[test]
fn errors_are_those_of_linux() {
    let world = world();
    world.mkdir("/d").unwrap();
    world.write("/f", b"").unwrap();
    assert_eq!(world.find("/f/x").err(), Some(Errno::ENOTDIR));
    assert_eq!(world.find("/f/").err(), Some(Errno::ENOTDIR));
    assert_eq!(world.find("").err(), Some(Errno::ENOENT));
    assert_eq!(world.mkdir("/f"), Err(Errno::EEXIST));
    assert_eq!(world.mkdir("/"), Err(Errno::EEXIST));
    assert_eq!(world.mkdir("/new/"), Ok(()));
    assert_eq!(world.mknod("/x/", NewNode::Regular), Err(Errno::ENOENT));
    assert_eq!(world.unlink("/d"), Err(Errno::EISDIR));
    assert_eq!(world.unlink("/f/"), Err(Errno::ENOTDIR));
    assert_eq!(world.rmdir("/f"), Err(Errno::ENOTDIR));
    assert_eq!(world.rmdir("/d/."), Err(Errno::EINVAL));
    assert_eq!(world.rmdir("/d/.."), Err(Errno::ENOTEMPTY));
    assert_eq!(world.open("/d", OpenFlags::WRITE_ONLY).err(), Some(Errno::EISDIR));
    assert_eq!(world.open("/f", OpenFlags::DIRECTORY).err(), Some(Errno::ENOTDIR));
    assert_eq!(world.link("/d", "/e"), Err(Errno::EPERM));
    let long = format!("/{}", "x".repeat(256));
    assert_eq!(world.mkdir(&long), Err(Errno::ENAMETOOLONG));
    let too_long = "/d".repeat(2049);
    assert_eq!(world.find(&too_long).err(), Some(Errno::ENAMETOOLONG));
    world.mknod("/socket", NewNode::Socket).unwrap();
    assert_eq!(world.open("/socket", OpenFlags::empty()).err(), Some(Errno::ENXIO));
}

#[test]
fn renames_lock_the_ancestor_first() {
    let world = world();
    world.mkdir("/a").unwrap();
    let ancestor = world.find("/a").unwrap().dentry;
    for name in ["/a/b", "/a/c", "/a/d", "/a/e"] {
        world.mkdir(name).unwrap();
        world.write(&format!("{name}/file"), b"").unwrap();
        let descendant = world.find(name).unwrap().dentry;
        let (below, above) = (format!("{name}/file"), "/a/file".to_owned());
        for (old, new) in [(&below, &above), (&above, &below)] {
            let held = descendant.changes.try_lock().unwrap();
            let context = world.context();
            let (old, new) = ((&world.root, old.as_bytes()), (&world.root, new.as_bytes()));
            let mut rename = Box::pin(operations::rename(&context, old, new, RenameMode::Replace));
            assert!(poll_once(rename.as_mut()).is_none());
            assert!(ancestor.changes.try_lock().is_none(), "the descendant was to come first");
            drop(held);
            assert_eq!(now(rename), Ok(()));
        }
    }
}

#[test]
fn renames_keep_directories_whole() {
    let world = world();
    world.mkdir("/a").unwrap();
    world.mkdir("/a/b").unwrap();
    world.write("/a/b/f", b"f").unwrap();
    world.mkdir("/c").unwrap();
    let replace = RenameMode::Replace;
    assert_eq!(world.rename("/a", "/a/b/x", replace), Err(Errno::EINVAL));
    assert_eq!(world.rename("/c", "/a", replace), Err(Errno::ENOTEMPTY));
    assert_eq!(world.rename("/a/b", "/c", replace), Ok(()));
    assert_eq!(world.read("/c/f").unwrap(), b"f");
    assert_eq!(world.find("/a/b").err(), Some(Errno::ENOENT));
    assert_eq!(world.stat("/").unwrap().links, 4);
    world.write("/g", b"g").unwrap();
    assert_eq!(world.rename("/g", "/c", replace), Err(Errno::EISDIR));
    assert_eq!(world.rename("/c", "/g", replace), Err(Errno::ENOTDIR));
    assert_eq!(world.rename("/g", "/c/f", RenameMode::NoReplace), Err(Errno::EEXIST));
    assert_eq!(world.rename("/g", "/c/f", RenameMode::Exchange), Ok(()));
    assert_eq!(world.read("/g").unwrap(), b"f");
    assert_eq!(world.read("/c/f").unwrap(), b"g");
    let path = world.find("/c/f").unwrap();
    assert_eq!(path.name_from(&world.root, true).unwrap(), b"/c/f");
}

#[test]
fn a_removed_directory_takes_no_entries_and_says_so() {
    let world = world();
    world.mkdir("/d").unwrap();
    let directory = world.find("/d").unwrap();
    world.rmdir("/d").unwrap();
    let context = world.context();
    let made = operations::make_directory(&context, &directory, b"x", 0o755);
    assert_eq!(now(made).err(), Some(Errno::ENOENT));
    assert_eq!(directory.name_from(&world.root, true).unwrap(), b"/d (deleted)");
    assert!(directory.dentry.is_removed());
}

#[test]
fn permissions_bind_users() {
    let mut world = world();
    world.umask = 0;
    world.mkdir("/shared").unwrap();
    let shared = world.find("/shared").unwrap();
    now(operations::change_mode(&world.context(), &shared, 0o1777)).unwrap();
    world.write("/secret", b"s").unwrap();
    let secret = world.find("/secret").unwrap();
    now(operations::change_mode(&world.context(), &secret, 0o600)).unwrap();
    world.credentials = user(1000);
    assert_eq!(world.read("/secret").err(), Some(Errno::EACCES));
    assert_eq!(world.mkdir("/mine"), Err(Errno::EACCES));
    world.write("/shared/mine", b"m").unwrap();
    assert_eq!(world.stat("/shared/mine").unwrap().uid, 1000);
    let mine = world.find("/shared/mine").unwrap();
    let given = now(operations::change_owner(&world.context(), &mine, Some(0), None));
    assert_eq!(given, Err(Errno::EPERM));
    world.credentials = user(1001);
    assert_eq!(world.unlink("/shared/mine"), Err(Errno::EPERM));
    assert_eq!(now(operations::change_mode(&world.context(), &mine, 0)), Err(Errno::EPERM));
}

#[test]
fn new_files_inherit_the_group_of_a_set_group_id_directory() {
    let mut world = world();
    world.mkdir("/team").unwrap();
    let team = world.find("/team").unwrap();
    now(operations::change_owner(&world.context(), &team, None, Some(50))).unwrap();
    now(operations::change_mode(&world.context(), &team, 0o2777)).unwrap();
    world.credentials = user(1000);
    world.mkdir("/team/sub").unwrap();
    let sub = world.stat("/team/sub").unwrap();
    assert_eq!((sub.gid, sub.permissions), (50, 0o2755));
}

#[test]
fn mounts_are_crossed_both_ways() {
    let world = world();
    world.mkdir("/mnt").unwrap();
    world.write("/mnt/hidden", b"").unwrap();
    let target = world.find("/mnt").unwrap();
    let cache = &world.kernel.vfs.dentries;
    let file_system = Tmpfs::new(&world.kernel, Options::default());
    let mount = Mount::new(file_system, cache, "tmpfs", MountFlags::empty());
    mount.attach(&target).unwrap();
    assert_eq!(world.find("/mnt/hidden").err(), Some(Errno::ENOENT));
    world.write("/mnt/inside", b"i").unwrap();
    assert!(world.find("/mnt/..").unwrap() == world.root);
    assert_eq!(world.rmdir("/mnt"), Err(Errno::EBUSY));
    assert_eq!(world.rename("/mnt/inside", "/outside", RenameMode::Replace), Err(Errno::EXDEV));
    let inside = world.find("/mnt/inside").unwrap();
    assert_eq!(inside.name_from(&world.root, false).unwrap(), b"/mnt/inside");
    world.symlink("inside", "/mnt/link").unwrap();
    let follow = || now(walk(&world.context(), &world.root, b"/mnt/link", WalkFlags::FOLLOW));
    assert!(follow().is_ok());
    mount.set_flags(MountFlags::NO_LINKS);
    assert_eq!(follow().err(), Some(Errno::ELOOP));
    assert!(world.find("/mnt/inside").is_ok());
    mount.set_flags(MountFlags::READ_ONLY);
    assert_eq!(world.write("/mnt/inside", b""), Err(Errno::EROFS));
    assert_eq!(world.mkdir("/mnt/new"), Err(Errno::EROFS));
    assert_eq!(world.namespace.mounts().len(), 2);
    mount.detach().unwrap();
    assert!(world.find("/mnt/hidden").is_ok());
}

#[test]
fn confined_walks_stay_inside() {
    let world = world();
    world.mkdir("/jail").unwrap();
    world.write("/jail/f", b"in").unwrap();
    world.write("/f", b"out").unwrap();
    world.symlink("/f", "/jail/absolute").unwrap();
    world.symlink("../f", "/jail/up").unwrap();
    let jail = world.find("/jail").unwrap();
    let walk = |name: &str, flags| {
        now(walk(&world.context(), &jail, name.as_bytes(), WalkFlags::FOLLOW | flags))
    };
    assert_eq!(walk("../f", WalkFlags::BENEATH).err(), Some(Errno::EXDEV));
    assert_eq!(walk("absolute", WalkFlags::BENEATH).err(), Some(Errno::EXDEV));
    assert_eq!(walk("up", WalkFlags::NO_LINKS).err(), Some(Errno::ELOOP));
    let inside = world.find("/jail/f").unwrap();
    assert!(walk("absolute", WalkFlags::IN_ROOT).unwrap() == inside);
    assert!(walk("up", WalkFlags::IN_ROOT).unwrap() == inside);
    assert!(walk("up", WalkFlags::empty()).unwrap() == world.find("/f").unwrap());
}

#[test]
fn the_cache_of_names_is_bounded() {
    let kernel = kernel(1024);
    let cache = DentryCache::new(16);
    let file_system = Tmpfs::new(&kernel, Options::default());
    let mount = Mount::new(file_system, &cache, "tmpfs", MountFlags::empty());
    let namespace = Namespace::new(mount);
    let root = namespace.root().root_path();
    let mut world = World::new(&kernel, Tmpfs::new(&kernel, Options::default()));
    world.root = root;
    for index in 0..200 {
        world.write(&format!("/{index}"), b"").unwrap();
        assert_eq!(world.find(&format!("/no{index}")).err(), Some(Errno::ENOENT));
    }
    assert!(cache.len() <= 20, "{}", cache.len());
    assert_eq!(world.list("/").unwrap().len(), 200);
    assert!(world.find("/7").is_ok());
}

#[test]
fn unnamed_files_live_until_closed() {
    let world = world();
    let flags = OpenFlags::TEMPORARY_FILE | OpenFlags::DIRECTORY | OpenFlags::READ_WRITE;
    let file = world.open("/", flags).unwrap();
    world.write_at(&file, WritePosition::At(3), b"tail").unwrap();
    assert_eq!(world.read_at(&file, 0, 100).unwrap(), b"\0\0\0tail");
    assert_eq!(now(file.path.as_ref().unwrap().inode().attributes()).unwrap().links, 0);
    assert!(world.list("/").unwrap().is_empty());
}

#[test]
fn a_full_tmpfs_refuses_more() {
    let kernel = kernel(1024);
    let options = Options { size: Some(4 * 4096), ..Options::default() };
    let world = World::new(&kernel, Tmpfs::new(&kernel, options));
    let file = world.open("/f", OpenFlags::CREATE | OpenFlags::READ_WRITE).unwrap();
    let written = world.write_at(&file, WritePosition::At(0), &vec![1; 8 * 4096]);
    assert_eq!(written, Ok(4 * 4096));
    let more = world.write_at(&file, WritePosition::End, b"x");
    assert_eq!(more, Err(Errno::ENOSPC));
    // What exists can still be written.
    assert_eq!(world.write_at(&file, WritePosition::At(0), b"x"), Ok(1));
    drop(file);
    world.unlink("/f").unwrap();
    assert!(world.write("/g", b"fits again").is_ok());
}

#[test]
fn descriptors_are_the_lowest_free_ones() {
    let world = world();
    let table = FdTable::new();
    let open = || -> Arc<OpenFile> {
        world.open("/f", OpenFlags::CREATE | OpenFlags::READ_WRITE).unwrap()
    };
    let descriptor = crate::syscalls::FileDescriptor;
    for expected in 0..3 {
        assert_eq!(table.install(open(), false, 10), Ok(descriptor(expected)));
    }
    table.close(descriptor(1)).unwrap();
    assert_eq!(table.install_from(descriptor(5), open(), true, 10), Ok(descriptor(5)));
    assert_eq!(table.install(open(), false, 10), Ok(descriptor(1)));
    assert_eq!(table.install(open(), false, 10), Ok(descriptor(3)));
    assert_eq!(table.install(open(), false, 4), Err(Errno::EMFILE));
    assert_eq!(table.close_on_exec().len(), 1);
    assert_eq!(table.get(descriptor(5)).err(), Some(Errno::EBADF));
    assert_eq!(table.install_at(descriptor(10), open(), false, 10).err(), Some(Errno::EBADF));
    let place = world.open("/f", OpenFlags::PATH).unwrap();
    let place = table.install(place, false, 10).unwrap();
    assert_eq!(table.get(place).err(), Some(Errno::EBADF));
    assert!(table.get_any(place).is_ok());
}
