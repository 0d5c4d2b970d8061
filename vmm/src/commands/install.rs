//! `install` and `uninstall`: tell container engines that this runtime is there.
//!
//! Docker reads /etc/docker/daemon.json; containerd a TOML file, of which only one section of our
//! own is written and taken away again, between two lines that mark it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::print;
use crate::error::{Failure, Result};

/// First and last line of what is ours in containerd's file.
const MARKS: (&str, &str) = ("# sandbox-vmm: begin", "# sandbox-vmm: end");

/// What to change.
#[derive(Clone, Debug)]
pub struct Options {
    /// Docker's configuration file.
    pub docker: PathBuf,
    /// containerd's; it is left alone unless it exists.
    pub containerd: PathBuf,
    /// Name of the runtime.
    pub name: String,
    /// Arguments that engines pass to it before their own.
    pub arguments: Vec<String>,
    /// Only print what would be done.
    pub dry_run: bool,
}

/// Registers this program.
///
/// # Errors
/// If a configuration cannot be read or written, or is malformed; then it is left as it is.
pub fn install(options: &Options) -> Result<()> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(error, "run it by its absolute path"))?;
    let program = program.display().to_string();
    let docker = with_docker_runtime(&read(&options.docker)?, &options.name, |runtimes| {
        let mut runtime = json!({ "path": program });
        if let (false, Value::Object(runtime)) = (options.arguments.is_empty(), &mut runtime) {
            runtime.insert("runtimeArgs".to_owned(), json!(options.arguments));
        }
        runtimes.insert(options.name.clone(), runtime);
    })
    .map_err(|error| malformed(&options.docker, &error))?;
    change(&options.docker, &docker, options.dry_run)?;
    if options.containerd.exists() {
        let section = containerd_section(&options.name, &program);
        let text = without_section(&read(&options.containerd)?) + &section;
        change(&options.containerd, &text, options.dry_run)?;
    }
    print("reload the engines: kill -HUP dockerd, restart containerd\n")
}

/// Takes it out again.
///
/// # Errors
/// As [`install`].
pub fn uninstall(options: &Options) -> Result<()> {
    if options.docker.exists() {
        let docker = with_docker_runtime(&read(&options.docker)?, &options.name, |runtimes| {
            runtimes.remove(&options.name);
        })
        .map_err(|error| malformed(&options.docker, &error))?;
        change(&options.docker, &docker, options.dry_run)?;
    }
    if options.containerd.exists() {
        let text = without_section(&read(&options.containerd)?);
        change(&options.containerd, &text, options.dry_run)?;
    }
    Ok(())
}

/// `text` (daemon.json, or nothing) after `edit` has changed its runtimes.
fn with_docker_runtime(
    text: &str,
    name: &str,
    edit: impl FnOnce(&mut Map<String, Value>),
) -> serde_json::Result<String> {
    let mut all: Map<String, Value> =
        if text.trim().is_empty() { Map::new() } else { serde_json::from_str(text)? };
    let mut runtimes = match all.remove("runtimes") {
        Some(runtimes) => serde_json::from_value(runtimes)?,
        None => Map::new(),
    };
    edit(&mut runtimes);
    let is_default = all.get("default-runtime").is_some_and(|default| default == name);
    if is_default && !runtimes.contains_key(name) {
        all.remove("default-runtime");
    }
    if !runtimes.is_empty() {
        all.insert("runtimes".to_owned(), Value::Object(runtimes));
    }
    Ok(format!("{:#}\n", Value::Object(all)))
}

fn containerd_section(name: &str, program: &str) -> String {
    let (first, last) = MARKS;
    let runtimes = "plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes";
    let (name, program) = (json!(name), json!(program));
    format!(
        "{first}\n[{runtimes}.{name}]\n  runtime_type = \"io.containerd.runc.v2\"\n\
         [{runtimes}.{name}.options]\n  BinaryName = {program}\n{last}\n"
    )
}

/// `text` without what is ours in it, and with a line end if it has a last line.
fn without_section(text: &str) -> String {
    let (first, last) = MARKS;
    let mut is_ours = false;
    let mut rest = String::new();
    for line in text.lines() {
        is_ours |= line == first;
        if !is_ours {
            rest.push_str(line);
            rest.push('\n');
        }
        is_ours &= line != last;
    }
    rest
}

fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        outcome => outcome.map_err(|error| cannot("read", path, &error)),
    }
}

/// Writes `text` to `path`, whole at once, and says so.
fn change(path: &Path, text: &str, dry_run: bool) -> Result<()> {
    let path_text = path.display();
    if read(path)? == *text {
        return print(&format!("{path_text}: nothing to change\n"));
    }
    if dry_run {
        return print(&format!("{path_text} would become:\n{text}"));
    }
    let write = || -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let temporary = path.with_extension("new");
        fs::write(&temporary, text)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| cannot("write", path, &error))?;
    print(&format!("{path_text}: changed\n"))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format_args!("cannot {what} {}: {error}", path.display()), "run it as root")
}

fn malformed(path: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(format_args!("{}: {error}", path.display()), "correct it first")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(text: &str) -> serde_json::Result<String> {
        with_docker_runtime(text, "box", |runtimes| {
            runtimes.insert("box".to_owned(), json!({ "path": "/box" }));
        })
    }

    #[test]
    fn what_is_there_is_kept() {
        let before = r#"{"debug": true, "runtimes": {"other": {"path": "/x"}}}"#;
        let after: Value = serde_json::from_str(&insert(before).unwrap()).unwrap();
        assert_eq!(after["debug"], true);
        assert_eq!(after["runtimes"]["other"]["path"], "/x");
        assert_eq!(after["runtimes"]["box"]["path"], "/box");
        assert!(insert("").unwrap().contains("/box"));
        assert!(insert("{ not json").is_err());
        assert!(insert(r#"{"runtimes": 7}"#).is_err());
    }

    #[test]
    fn nothing_of_it_remains() {
        let installed = insert(r#"{"default-runtime": "box"}"#).unwrap();
        let removed = with_docker_runtime(&installed, "box", |runtimes| {
            runtimes.remove("box");
        });
        assert_eq!(removed.unwrap(), "{}\n");
        let toml = "version = 2\n";
        let with_section = toml.to_owned() + &containerd_section("box", "/box");
        assert!(with_section.contains(r#"BinaryName = "/box""#));
        assert_eq!(without_section(&with_section), toml);
    }
}
