use guest_abi::container::RootWrites;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn example() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"},
        "root": {"path": "usr", "readonly": true},
        "hostname": "box",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"]}
    })
}

fn plan_of(config: &[u8], options: BundleOptions) -> Result<LaunchPlan> {
    Bundle::parse(PathBuf::from("/"), config)?.plan("test".to_owned(), options)
}

#[test]
fn a_relative_root_is_beneath_the_bundle() {
    let plan = plan_of(example().to_string().as_bytes(), BundleOptions::default()).unwrap();
    let root = plan.trees.iter().next().unwrap();
    assert_eq!(root.path, Path::new("/usr"));
    assert!(root.read_only);
    assert_eq!(plan.container.hostname, "box");
    assert_eq!(plan.container.masked_paths, ["/proc/kcore"]);
    assert_eq!(plan.container.readonly_paths, ["/proc/sys"]);
}

#[test]
fn writes_go_where_root_and_options_say() {
    let writes = |readonly, overlay| {
        let mut config = example();
        config["root"]["readonly"] = json!(readonly);
        let plan = plan_of(
            config.to_string().as_bytes(),
            BundleOptions { overlay, ..BundleOptions::default() },
        )
        .unwrap();
        let is_served_read_only = plan.trees.iter().next().unwrap().read_only;
        (plan.container.root.writes, is_served_read_only)
    };
    assert_eq!(writes(true, false), (RootWrites::ReadOnly, true));
    assert_eq!(writes(true, true), (RootWrites::ReadOnly, true));
    assert_eq!(writes(false, true), (RootWrites::Overlay, true));
    assert_eq!(writes(false, false), (RootWrites::Through, false));
}

#[test]
fn missing_pieces_are_named() {
    let without = |section: &str| {
        let mut config = example();
        config.as_object_mut().unwrap().remove(section);
        plan_of(config.to_string().as_bytes(), BundleOptions::default()).unwrap_err().to_string()
    };
    assert!(without("root").contains("root is missing"));
    assert!(without("process").contains("process is missing"));
    let no_bundle = Bundle::load(Path::new("/nonexistent")).unwrap_err().to_string();
    assert!(no_bundle.contains("cannot read /nonexistent/config.json"), "{no_bundle}");
}

/// Any JSON value, biased to the shapes that config.json has.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from("/")),
        Just(Value::from("bind")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((field_name(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn field_name() -> impl Strategy<Value = String> {
    prop::sample::select(
        &[
            "path",
            "readonly",
            "args",
            "env",
            "cwd",
            "user",
            "uid",
            "gid",
            "umask",
            "type",
            "source",
            "destination",
            "options",
            "rlimits",
            "soft",
            "hard",
            "capabilities",
            "bounding",
            "consoleSize",
            "height",
            "width",
            "maskedPaths",
            "terminal",
        ][..],
    )
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_bytes_never_panic(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut config = example().to_string().into_bytes();
        let position = position.index(config.len());
        config[position] = byte;
        let _ = plan_of(&config, BundleOptions::default());
    }

    #[test]
    fn hostile_sections_never_panic(
        section in prop::sample::select(&["process", "root", "mounts", "linux", "hostname"][..]),
        value in json_value(),
    ) {
        let mut config = example();
        config[section] = value;
        let _ = plan_of(config.to_string().as_bytes(), BundleOptions::default());
    }

    #[test]
    fn hostile_process_fields_never_panic(name in field_name(), value in json_value()) {
        let mut config = example();
        config["process"][name] = value;
        let _ = plan_of(config.to_string().as_bytes(), BundleOptions { overlay: true, ..BundleOptions::default() });
    }
}
