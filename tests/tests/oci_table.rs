//! docs/oci-conformance.md names tests that exist, so that it cannot rot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::Path};

/// What stands between backquotes in `line`.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The file that a name such as `oci_linux::masked` or `vmm/src/a.rs::masked` means.
fn file_of(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = if name.contains('/') {
        root.parent().unwrap().join(name)
    } else {
        root.join("tests").join(name).with_extension("rs")
    };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn each_row_names_tests_that_exist_or_says_why_it_does_not_hold() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/oci-conformance.md");
    let page = fs::read_to_string(page).unwrap();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        let [_, _, shown] = cells.as_slice() else { panic!("not three cells: {line}") };
        let tests: Vec<_> = quoted(shown).filter_map(|name| name.rsplit_once("::")).collect();
        assert!(!tests.is_empty() || shown.contains("does not hold: "), "{line}");
        for (file, name) in tests {
            let has = file_of(file).contains(&format!("fn {name}("));
            assert!(has, "{file} has no test {name}");
        }
        rows += 1;
    }
    assert!(rows > 50, "{rows} rows");
}
