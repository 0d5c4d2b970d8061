//! Builds the ring-0 image (platforms/kvm-guest) with its own flags, and tells `src/image.rs` where
//! it is. docs/decisions/ring0-image.md says why the flags are what they are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// An explicit target keeps the flags below off build scripts and procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Set to build without the image; so do debug builds, to be quick. Without it there is no kvm
/// platform.
const SKIP_VARIABLE: &str = "SANDBOX_VMM_SKIP_IMAGE";

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../..");
    for input in ["Cargo.toml", "Cargo.lock", "guest-abi", "sentry", "platforms/kvm-guest"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo::rerun-if-env-changed={SKIP_VARIABLE}");
    println!("cargo::rustc-check-cfg=cfg(has_image)");
    let output = PathBuf::from(variable("OUT_DIR"));
    let is_wanted = variable("PROFILE") == "release" && env::var_os(SKIP_VARIABLE).is_none();
    let image = if is_wanted {
        println!("cargo::rustc-cfg=has_image");
        build(&root, &output)
    } else {
        let empty = output.join("no-image");
        std::fs::write(&empty, []).unwrap_or_else(|error| fail(&error.to_string()));
        empty
    };
    println!("cargo::rustc-env=SENTRY_IMAGE={}", image.display());
}

/// Runs a nested cargo with a target directory of its own: the outer one's is locked.
fn build(root: &Path, output: &Path) -> PathBuf {
    let target_directory = output.join("image");
    let script = root.join("platforms/kvm-guest/link.ld");
    let script = script.canonicalize().unwrap_or_else(|error| fail(&error.to_string()));
    let mut cargo = Command::new(variable("CARGO"));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let outer = text.starts_with("CARGO") && text != "CARGO_HOME"
            || text.starts_with("RUSTC")
            || text.contains("RUSTFLAGS");
        if outer {
            cargo.env_remove(&name);
        }
    }
    cargo
        .current_dir(root)
        .args(["build", "--release", "--quiet", "--locked", "--package", "platform-kvm-guest"])
        .args(["--target", TARGET])
        .arg("--target-dir")
        .arg(&target_directory)
        .args(["--config", "profile.release.panic='abort'"])
        .args(["--config", "profile.release.lto='fat'"])
        .args(["--config", "profile.release.codegen-units=1"])
        .env("RUSTFLAGS", flags(root, &script));
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("building the ring-0 image: {status}")),
        Err(error) => fail(&format!("running cargo for the ring-0 image: {error}")),
    }
    target_directory.join(TARGET).join("release/sentry-image")
}

/// The image's flags: no vector registers (they are the user's), no red zone (the processor pushes
/// on the same stack), the top 2 GiB, frame pointers for backtraces.
fn flags(root: &Path, script: &Path) -> String {
    let root = root.canonicalize().unwrap_or_else(|error| fail(&error.to_string()));
    [
        "-Ctarget-feature=-mmx,-sse,+soft-float",
        "-Crelocation-model=static",
        "-Ccode-model=kernel",
        "-Cforce-frame-pointers=yes",
        "-Cno-redzone=yes",
        "-Clink-arg=-nostartfiles",
        "-Clink-arg=-nostdlib",
        "-Clink-arg=-static",
        "-Clink-arg=-no-pie",
        "-Clink-arg=-Wl,-z,max-page-size=4096,--build-id",
        &format!("-Clink-arg=-Wl,-T,{}", script.display()),
        &format!("--remap-path-prefix={}=.", root.display()),
        // Features that rustc will one day refuse on this target; the toolchain is pinned.
        "-Awarnings",
    ]
    .join(" ")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("{name} is not set")))
}

fn fail(reason: &str) -> ! {
    println!("cargo::error={reason}");
    std::process::exit(1)
}
