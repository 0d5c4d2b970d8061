//! Builds the ring-0 image (platforms/kvm-guest) with its own flags, and tells `src/image.rs` where
//! it is. docs/decisions/ring0-image.md says why the flags are what they are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// An explicit target keeps the flags below off build scripts and procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Says which image to build, if any.
const IMAGE_VARIABLE: &str = "SANDBOX_VMM_IMAGE";

/// How the image is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// Not at all: there is no kvm platform. Debug builds do so, to be quick.
    Skip,
    /// For the loop of a developer: little optimised, in a third of the time.
    Quick,
    /// As users get it.
    Release,
}

impl Flavour {
    fn wanted() -> Self {
        match env::var(IMAGE_VARIABLE).as_deref() {
            Ok("skip") => Self::Skip,
            Ok("quick") => Self::Quick,
            Ok("release") => Self::Release,
            Ok(other) => {
                fail(&format!("{IMAGE_VARIABLE} is {other:?}: say skip, quick or release"))
            }
            Err(_) if variable("PROFILE") == "release" => Self::Release,
            Err(_) => Self::Skip,
        }
    }

    /// The file with line numbers is five times as large, and a developer's alone. Link-time optimisation is part of both: it is what compiles `core` without vector
    /// instructions.
    const fn profile(self) -> [&'static str; 4] {
        match self {
            Self::Quick => {
                ["lto='thin'", "codegen-units=16", "opt-level=1", "debug='line-tables-only'"]
            }
            Self::Skip | Self::Release => {
                ["lto='fat'", "codegen-units=1", "opt-level=3", "debug='none'"]
            }
        }
    }
}

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../..");
    for input in ["Cargo.toml", "Cargo.lock", "guest-abi", "sentry", "platforms/kvm-guest"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo::rerun-if-env-changed={IMAGE_VARIABLE}");
    println!("cargo::rustc-check-cfg=cfg(has_image)");
    let output = PathBuf::from(variable("OUT_DIR"));
    let flavour = Flavour::wanted();
    let image = if flavour == Flavour::Skip {
        let empty = output.join("no-image");
        std::fs::write(&empty, []).unwrap_or_else(|error| fail(&error.to_string()));
        empty
    } else {
        println!("cargo::rustc-cfg=has_image");
        build(&root, &output, flavour)
    };
    println!("cargo::rustc-env=SENTRY_IMAGE={}", image.display());
}

/// Runs a nested cargo with a target directory of its own: the outer one's is locked.
fn build(root: &Path, output: &Path, flavour: Flavour) -> PathBuf {
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
        .env("RUSTFLAGS", flags(root, &script));
    for setting in flavour.profile() {
        cargo.args(["--config", &format!("profile.release.{setting}")]);
    }
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
