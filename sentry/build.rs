//! Builds the vDSO (see vdso/README.md) with the compiler of the build and the system's linker.

use std::{env, error::Error, path::PathBuf, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    let source = "vdso/vdso.rs";
    let script = "vdso/vdso.lds";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed={script}");
    let output = PathBuf::from(env::var("OUT_DIR")?);
    let (object, image) = (output.join("vdso.o"), output.join("vdso.so"));
    run(Command::new(env::var("RUSTC")?)
        .args(["--edition=2024", "--crate-name=vdso", "--emit=obj", source, "-o"])
        .arg(&object)
        .args(["-Copt-level=2", "-Cpanic=abort", "-Ccodegen-units=1", "-Crelocation-model=pic"])
        .args(["-Coverflow-checks=off", "-Cdebuginfo=0", "-Cforce-unwind-tables=yes"]))?;
    run(Command::new(env::var("CC").unwrap_or_else(|_| "cc".into()))
        .args(["-shared", "-nostdlib", "-o"])
        .arg(&image)
        .arg(&object)
        .args(["-Wl,-soname=linux-vdso.so.1", "-Wl,--hash-style=both", "-Wl,--build-id=none"])
        .args(["-Wl,--eh-frame-hdr", "-Wl,-Bsymbolic", "-Wl,-z,noexecstack", "-Wl,-s"])
        .args(["-Wl,-z,max-page-size=4096", "-Wl,--no-undefined"])
        .arg(format!("-Wl,-T,{script}")))?;
    Ok(())
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
