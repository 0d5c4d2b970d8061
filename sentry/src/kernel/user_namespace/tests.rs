//! Tests of user namespaces.

use alloc::string::String;

use guest_abi::container::CapabilitySets;

use super::{
    super::{
        Capabilities,
        id_maps::OVERFLOW,
        signal::{Signal, SignalInfo, code},
    },
    maps::parse,
    membership::MAX_LEVEL,
    *,
};
use crate::{errno::Errno, ipc::Permission};

fn user(uid: u32) -> Credentials {
    Credentials::new(uid, uid, &[], CapabilitySets::default())
}

fn entered(credentials: &Credentials) -> (Credentials, Arc<UserNamespace>) {
    let outer = credentials.user_namespace.as_ref().map_or(0, |outer| outer.number);
    let inside = credentials.in_new_namespace(outer + 1).unwrap();
    let namespace = inside.user_namespace.clone().unwrap();
    (inside, namespace)
}

#[test]
fn a_users_own_id_may_be_mapped_once_and_nothing_else() {
    let maker = user(1000);
    let (inside, namespace) = entered(&maker);
    assert_eq!([inside.shown_user(1000), inside.shown_user(0)], [OVERFLOW; 2]);
    assert_eq!(inside.named_user(0), Err(Errno::EINVAL));
    let stranger = user(5);
    let set = |writer, text: &[u8]| namespace.set_map(IdKind::User, writer, text);
    assert_eq!(set(&inside, b"0 1000 2\n"), Err(Errno::EPERM));
    assert_eq!(set(&inside, b"0 0 1\n"), Err(Errno::EPERM));
    assert_eq!(set(&stranger, b"0 5 1\n"), Err(Errno::EPERM));
    assert_eq!(set(&inside, b"0 1000 1\n"), Ok(()));
    assert_eq!(set(&inside, b"0 1000 1\n"), Err(Errno::EPERM));
    assert_eq!((inside.shown_user(1000), inside.named_user(0)), (0, Ok(1000)));
    assert_eq!(inside.named_user(1), Err(Errno::EINVAL));
    let lines = String::from_utf8(namespace.lines(IdKind::User, &maker)).unwrap();
    assert_eq!(lines, "         0       1000          1\n");
}

#[test]
fn the_makers_group_takes_denied_setgroups() {
    let (inside, namespace) = entered(&user(1000));
    let set = || namespace.set_map(IdKind::Group, &inside, b"0 1000 1\n");
    assert_eq!(set(), Err(Errno::EPERM));
    assert_eq!(namespace.set_setgroups(&user(5), b"deny"), Err(Errno::EPERM));
    assert_eq!(namespace.set_setgroups(&inside, b"deny\n"), Ok(()));
    assert_eq!(set(), Ok(()));
    assert_eq!(namespace.set_setgroups(&inside, b"allow"), Err(Errno::EPERM));
    assert!(!namespace.allows_setgroups());
    assert_eq!(namespace.setgroups_word(), "deny\n");
}

#[test]
fn privileged_makers_map_any_ids_and_nested_maps_compose() {
    let root = Credentials::kernel();
    let (outer, namespace) = entered(&root);
    namespace.set_map(IdKind::User, &root, b"0 100 50\n1000 7 1").unwrap();
    namespace.set_map(IdKind::Group, &root, b"0 100 50").unwrap();
    let member = Credentials { effective_uid: 100, effective_gid: 100, ..outer };
    let inner = member.in_new_namespace(8).unwrap();
    let nested = inner.user_namespace.clone().unwrap();
    assert_eq!(nested.set_map(IdKind::User, &member, b"5 40 20"), Err(Errno::EPERM));
    // No one line of the parent's map covers the id between the two.
    assert_eq!(nested.set_map(IdKind::User, &member, b"0 49 952"), Err(Errno::EPERM));
    nested.set_map(IdKind::User, &member, b"5 1 3").unwrap();
    assert_eq!(inner.named_user(6), Ok(102));
    assert_eq!(inner.shown_user(101), 5);
    let lines = |reader| String::from_utf8(nested.lines(IdKind::User, reader)).unwrap();
    assert_eq!(lines(&inner), "         5          1          3\n");
    assert_eq!(lines(&root), "         5        101          3\n");
}

#[test]
fn capabilities_hold_within_a_namespace_only() {
    let maker = user(1000);
    let (inside, namespace) = entered(&maker);
    let (nested, deeper) = {
        namespace.set_map(IdKind::User, &inside, b"0 1000 1").unwrap();
        namespace.set_setgroups(&inside, b"deny").unwrap();
        namespace.set_map(IdKind::Group, &inside, b"0 1000 1").unwrap();
        entered(&inside)
    };
    let capability = Capabilities::SYS_ADMIN;
    assert!(!inside.has(capability) && inside.has_in(Some(&namespace), capability));
    assert!(maker.has_in(Some(&namespace), capability) && !user(5).has_over(&inside, capability));
    assert!(!nested.has(capability) && nested.has_in_own(capability));
    assert!(inside.has_over_file((1000, 1000), Capabilities::CHOWN));
    assert!(!inside.has_over_file((0, 1000), Capabilities::CHOWN));
    assert!(Credentials::kernel().has_in(Some(&deeper), capability));
}

#[test]
fn unmapped_makers_and_deep_nests_are_refused() {
    let (inside, _) = entered(&user(1000));
    assert_eq!(inside.in_new_namespace(9).err(), Some(Errno::EPERM));
    let mut at = Credentials::kernel();
    for number in 0..u64::from(MAX_LEVEL) {
        let next = at.in_new_namespace(number).unwrap();
        let namespace = next.user_namespace.clone().unwrap();
        namespace.set_map(IdKind::User, &at, b"0 0 10").unwrap();
        namespace.set_map(IdKind::Group, &at, b"0 0 10").unwrap();
        at = next;
    }
    assert_eq!(at.in_new_namespace(99).err(), Some(Errno::ENOSPC));
}

#[test]
fn malformed_maps_are_refused() {
    for text in [
        &b""[..],
        b"0 0\n",
        b"0 0 0\n",
        b"a 0 1\n",
        b"0 0 1 2\n",
        b"4294967295 0 1\n",
        b"0 4294967295 2\n",
        b"0 0 5\n4 10 1\n",
        b"0 0 5\n10 4 1\n",
        b"0 0 1\n\n",
        b"\xff",
    ] {
        assert_eq!(parse(text), Err(Errno::EINVAL), "{text:?}");
    }
    assert_eq!(parse(b"0 5 1\n1 0 5").map(|runs| runs.len()), Ok(2));
}

#[test]
fn objects_and_signals_show_the_ids_of_the_readers_namespace() {
    let maker = user(1000);
    let (inside, namespace) = entered(&maker);
    let mut permission = Permission::new(0, 0o600, &maker);
    assert_eq!(permission.to_user(0, &inside).uid, OVERFLOW);
    namespace.set_map(IdKind::User, &inside, b"7 1000 1\n").unwrap();
    let seen = permission.to_user(0, &inside);
    assert_eq!((seen.uid, seen.gid), (7, OVERFLOW));
    assert_eq!(permission.change(&seen, &inside), Err(Errno::EINVAL));
    assert_eq!(permission.change(&permission.to_user(0, &maker), &maker), Ok(()));
    let sent = SignalInfo::from_process(Signal::USR1, code::SI_USER, 1, 1000);
    assert_eq!((sent.seen_by(&inside).uid(), sent.seen_by(&maker).uid()), (7, 1000));
    let child = SignalInfo::child(code::CLD_EXITED, 1, 1000, 0, 0, 0);
    assert_eq!(child.seen_by(&inside).uid(), 7);
    // What is not a user is left alone.
    let timer = SignalInfo::timer(Signal::ALRM, 1, 1000, 5);
    assert_eq!(timer.seen_by(&inside), timer);
    let fault = SignalInfo::fault(Signal::SEGV, code::SEGV_MAPERR, 1000 << 32);
    assert_eq!(fault.seen_by(&inside), fault);
}
