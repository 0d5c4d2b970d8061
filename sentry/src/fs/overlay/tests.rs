//! The overlay over a tmpfs that must stay as it is.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use std::{format, vec};

use proptest::prelude::*;

use super::Overlay;
use crate::{
    errno::{Errno, Result},
    fs::tmpfs::{Options, Tmpfs},
    kernel::Kernel,
    vfs::{
        FileKind, OpenFlags, RenameMode, WritePosition,
        testing::{World, kernel, now},
    },
};

/// A lower tree and an overlay over it.
struct Layers {
    lower: World,
    upper: World,
}

fn layers(fill: impl FnOnce(&World)) -> Layers {
    let kernel: Arc<Kernel> = kernel(4096);
    let tree = Tmpfs::new(&kernel, Options::default());
    let lower = World::new(&kernel, tree.clone());
    fill(&lower);
    let upper = World::new(&kernel, Overlay::new(&kernel, tree, None));
    Layers { lower, upper }
}

#[test]
fn writing_changes_only_the_overlay() {
    let Layers { lower, upper } = layers(|lower| {
        lower.mkdir("/d").unwrap();
        lower.write("/d/f", b"lower contents").unwrap();
    });
    let before = upper.stat("/d/f").unwrap();
    upper.append("/d/f", b", and more").unwrap();
    assert_eq!(upper.read("/d/f").unwrap(), b"lower contents, and more");
    assert_eq!(lower.read("/d/f").unwrap(), b"lower contents");
    let after = upper.stat("/d/f").unwrap();
    assert_eq!((before.inode, before.device), (after.inode, after.device));
    assert_eq!(after.permissions, before.permissions);
}

#[test]
fn a_large_file_is_copied_only_where_it_is_touched() {
    let big: Vec<u8> = (0..400_000_u32).flat_map(|word| word.to_le_bytes()).collect();
    let Layers { lower, upper } = layers(|lower| lower.write("/big", &big).unwrap());
    let file = upper.open("/big", OpenFlags::READ_WRITE).unwrap();
    upper.write_at(&file, WritePosition::At(1_000_000), b"changed").unwrap();
    let cache = file.file.page_cache().unwrap();
    assert!(cache.resident_pages() < 40, "{}", cache.resident_pages());
    let mut expected = big.clone();
    expected[1_000_000..1_000_007].copy_from_slice(b"changed");
    let read = |world: &World, file: &_| {
        let mut all = Vec::new();
        while let Ok(more) = world.read_at(file, all.len() as u64, 100_000)
            && !more.is_empty()
        {
            all.extend(more);
        }
        all
    };
    assert!(read(&upper, &file) == expected);
    let untouched = lower.open("/big", OpenFlags::empty()).unwrap();
    assert!(read(&lower, &untouched) == big);
}

#[test]
fn truncated_parts_of_the_lower_file_do_not_come_back() {
    let Layers { upper, .. } = layers(|lower| lower.write("/f", &[7; 10_000]).unwrap());
    let context = upper.context();
    let set = |size| {
        let path = upper.find("/f").unwrap();
        now(crate::vfs::operations::truncate(&context, &path, size)).unwrap();
    };
    set(5000);
    set(9000);
    let expected = [vec![7; 5000], vec![0; 4000]].concat();
    assert!(upper.read("/f").unwrap() == expected);
}

#[test]
fn a_reader_from_before_the_change_sees_it() {
    let Layers { upper, .. } = layers(|lower| lower.write("/log", b"old").unwrap());
    let reader = upper.open("/log", OpenFlags::empty()).unwrap();
    assert_eq!(upper.read_at(&reader, 0, 10).unwrap(), b"old");
    upper.append("/log", b" new").unwrap();
    assert_eq!(upper.read_at(&reader, 0, 10).unwrap(), b"old new");
}

#[test]
fn removed_names_stay_removed_and_can_be_made_again() {
    let Layers { lower, upper } = layers(|lower| {
        lower.mkdir("/d").unwrap();
        lower.write("/d/f", b"f").unwrap();
    });
    assert_eq!(upper.rmdir("/d"), Err(Errno::ENOTEMPTY));
    upper.unlink("/d/f").unwrap();
    assert_eq!(upper.find("/d/f").err(), Some(Errno::ENOENT));
    assert!(upper.list("/d").unwrap().is_empty());
    upper.rmdir("/d").unwrap();
    upper.mkdir("/d").unwrap();
    assert!(upper.list("/d").unwrap().is_empty());
    upper.write("/d/f", b"new").unwrap();
    assert_eq!(upper.list("/d").unwrap(), ["f"]);
    upper.unlink("/d/f").unwrap();
    assert_eq!(upper.find("/d/f").err(), Some(Errno::ENOENT));
    assert_eq!(lower.read("/d/f").unwrap(), b"f");
}

#[test]
fn a_moved_lower_directory_keeps_its_contents() {
    let Layers { upper, .. } = layers(|lower| {
        lower.mkdir("/a").unwrap();
        lower.mkdir("/a/b").unwrap();
        lower.write("/a/b/f", b"deep").unwrap();
    });
    upper.rename("/a", "/moved", RenameMode::Replace).unwrap();
    assert_eq!(upper.read("/moved/b/f").unwrap(), b"deep");
    assert_eq!(upper.find("/a").err(), Some(Errno::ENOENT));
    assert_eq!(upper.list("/").unwrap(), ["moved"]);
    upper.append("/moved/b/f", b"er").unwrap();
    upper.rename("/moved", "/a", RenameMode::Replace).unwrap();
    assert_eq!(upper.read("/a/b/f").unwrap(), b"deeper");
}

#[test]
fn hard_links_stay_links_after_a_change() {
    let Layers { upper, .. } = layers(|lower| {
        lower.write("/one", b"1").unwrap();
        lower.link("/one", "/two").unwrap();
    });
    upper.append("/one", b"2").unwrap();
    assert_eq!(upper.read("/two").unwrap(), b"12");
    assert_eq!(upper.stat("/two").unwrap().links, 2);
    upper.unlink("/one").unwrap();
    assert_eq!(upper.stat("/two").unwrap().links, 1);
    upper.link("/two", "/three").unwrap();
    assert_eq!(upper.stat("/two").unwrap().links, 2);
    assert_eq!(upper.stat("/three").unwrap().inode, upper.stat("/two").unwrap().inode);
}

#[test]
fn changes_outlive_the_cache_of_names() {
    let Layers { upper, .. } = layers(|lower| {
        lower.mkdir("/d").unwrap();
        lower.write("/d/f", b"f").unwrap();
    });
    upper.append("/d/f", b"!").unwrap();
    upper.write("/d/g", b"g").unwrap();
    upper.root.dentry.forget_descendants();
    assert_eq!(upper.read("/d/f").unwrap(), b"f!");
    assert_eq!(upper.list("/d").unwrap(), ["f", "g"]);
}

/// What a tree is expected to hold: contents by name; a directory has none.
type Model = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Clone, Debug)]
enum Step {
    Mkdir(String),
    Write(String, Vec<u8>),
    Append(String, Vec<u8>),
    Unlink(String),
    Rmdir(String),
    Rename(String, String),
}

fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c"]);
    prop::collection::vec(part, 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        name().prop_map(Step::Mkdir),
        (name(), bytes()).prop_map(|(name, bytes)| Step::Write(name, bytes)),
        (name(), bytes()).prop_map(|(name, bytes)| Step::Append(name, bytes)),
        name().prop_map(Step::Unlink),
        name().prop_map(Step::Rmdir),
        (name(), name()).prop_map(|(old, new)| Step::Rename(old, new)),
    ]
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn has_children(model: &Model, name: &str) -> bool {
    model.keys().any(|other| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')))
}

/// The simple truth about one step.
fn apply(model: &mut Model, step: &Step) -> Result<()> {
    let reachable = |model: &Model, name: &str| -> Result<()> {
        let mut at = parent(name);
        let mut missing = Ok(());
        while !at.is_empty() {
            match model.get(at) {
                Some(None) => {}
                Some(Some(_)) => missing = Err(Errno::ENOTDIR),
                None => missing = Err(Errno::ENOENT),
            }
            at = parent(at);
        }
        missing
    };
    match step {
        Step::Mkdir(name) => {
            reachable(model, name)?;
            if model.contains_key(name) {
                return Err(Errno::EEXIST);
            }
            model.insert(name.clone(), None);
        }
        Step::Write(name, bytes) => {
            reachable(model, name)?;
            if model.get(name) == Some(&None) {
                return Err(Errno::EISDIR);
            }
            model.insert(name.clone(), Some(bytes.clone()));
        }
        Step::Append(name, bytes) => {
            reachable(model, name)?;
            match model.get_mut(name) {
                None => return Err(Errno::ENOENT),
                Some(None) => return Err(Errno::EISDIR),
                Some(Some(contents)) => contents.extend(bytes),
            }
        }
        Step::Unlink(name) => {
            reachable(model, name)?;
            match model.get(name) {
                None => return Err(Errno::ENOENT),
                Some(None) => return Err(Errno::EISDIR),
                Some(Some(_)) => drop(model.remove(name)),
            }
        }
        Step::Rmdir(name) => {
            reachable(model, name)?;
            match model.get(name) {
                None => return Err(Errno::ENOENT),
                Some(Some(_)) => return Err(Errno::ENOTDIR),
                Some(None) if has_children(model, name) => return Err(Errno::ENOTEMPTY),
                Some(None) => drop(model.remove(name)),
            }
        }
        Step::Rename(old, new) => {
            reachable(model, old)?;
            reachable(model, new)?;
            let source = model.get(old).ok_or(Errno::ENOENT)?.is_none();
            let below = |name: &str, ancestor: &str| {
                name.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with('/'))
            };
            if below(new, old) {
                return Err(Errno::EINVAL);
            }
            if below(old, new) {
                return Err(Errno::ENOTEMPTY);
            }
            if old == new {
                return Ok(());
            }
            match model.get(new) {
                Some(None) if !source => return Err(Errno::EISDIR),
                Some(Some(_)) if source => return Err(Errno::ENOTDIR),
                Some(None) if has_children(model, new) => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
            let moved: Vec<String> =
                model.keys().filter(|name| *name == old || below(name, old)).cloned().collect();
            model.remove(new);
            for name in moved {
                let contents = model.remove(&name).unwrap();
                model.insert(format!("{new}{}", &name[old.len()..]), contents);
            }
        }
    }
    Ok(())
}

fn perform(world: &World, step: &Step) -> Result<()> {
    match step {
        Step::Mkdir(name) => world.mkdir(name),
        Step::Write(name, bytes) => world.write(name, bytes),
        Step::Append(name, bytes) => world.append(name, bytes),
        Step::Unlink(name) => world.unlink(name),
        Step::Rmdir(name) => world.rmdir(name),
        Step::Rename(old, new) => world.rename(old, new, RenameMode::Replace),
    }
}

/// Everything below `name`, as a model.
fn collect(world: &World, name: &str, model: &mut Model) {
    for child in world.list(if name.is_empty() { "/" } else { name }).unwrap() {
        let child = format!("{name}/{child}");
        let directory = world.stat(&child).unwrap().kind == FileKind::Directory;
        let contents = (!directory).then(|| world.read(&child).unwrap());
        model.insert(child.clone(), contents);
        if directory {
            collect(world, &child, model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn behaves_like_a_tree(
        below in prop::collection::vec(step(), 0..30),
        above in prop::collection::vec(step(), 0..60),
        forget in any::<u8>(),
    ) {
        let mut model = Model::new();
        let Layers { lower, upper } = layers(|lower| {
            for step in &below {
                assert_eq!(perform(lower, step), apply(&mut model, step), "{step:?}");
            }
        });
        let original = model.clone();
        for (index, step) in above.iter().enumerate() {
            prop_assert_eq!(perform(&upper, step), apply(&mut model, step), "{:?}", step);
            if index == usize::from(forget) {
                upper.root.dentry.forget_descendants();
            }
        }
        let mut seen = Model::new();
        collect(&upper, "", &mut seen);
        prop_assert_eq!(seen, model);
        let mut kept = Model::new();
        collect(&lower, "", &mut kept);
        prop_assert_eq!(kept, original);
    }
}
