//! OCI bundles for tests, and the runtime that runs them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{WorkDirectory, chosen_platform, describe, sandbox_binary};

/// Programs of busybox in a bundle's root.
const APPLETS: &[&str] = &[
    "cat", "echo", "false", "grep", "head", "id", "kill", "ps", "pwd", "sh", "sleep", "stty",
    "true", "tty", "wc", "yes",
];

/// A state directory and a bundle whose root holds busybox. Containers left in it are deleted.
pub struct Runtime {
    directory: WorkDirectory,
}

impl Runtime {
    /// A bundle as [`Self::configure`] writes it.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(name: &str, script: &str, linux: &str, more: &str) -> Self {
        let runtime = Self { directory: WorkDirectory::new(name) };
        let programs = runtime.path("bundle/rootfs/bin");
        fs::create_dir_all(&programs).expect("make the root");
        fs::copy("/usr/bin/busybox", programs.join("busybox")).expect("copy busybox");
        for applet in APPLETS {
            symlink("busybox", programs.join(applet)).expect("link an applet");
        }
        runtime.configure(script, linux, more);
        runtime
    }

    /// Writes config.json for a shell that runs `script`: `linux` are members of that section,
    /// `more` (starting with a comma) further sections.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn configure(&self, script: &str, linux: &str, more: &str) {
        let config = format!(
            r#"{{"ociVersion": "1.0.2", "root": {{"path": "rootfs"}}, "hostname": "box",
            "annotations": {{"color": "blue"}},
            "process": {{"terminal": false, "user": {{"uid": 0, "gid": 0}}, "cwd": "/",
                "args": ["/bin/sh", "-c", {script:?}],
                "env": ["PATH=/bin", "TERM=dumb"]}},
            "mounts": [{{"destination": "/proc", "type": "proc", "source": "proc"}},
                {{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}},
                {{"destination": "/dev/pts", "type": "devpts", "source": "devpts"}}]
            {more}, "linux": {{{linux}}}}}"#
        );
        fs::write(self.path("bundle/config.json"), config).expect("write config.json");
    }

    /// Replaces `old` in config.json.
    ///
    /// # Panics
    /// If it is not there.
    pub fn replace(&self, old: &str, new: &str) {
        let path = self.path("bundle/config.json");
        let config = fs::read_to_string(&path).expect("read config.json");
        assert!(config.contains(old), "{config}");
        fs::write(path, config.replacen(old, new, 1)).expect("write config.json");
    }

    /// Adds members (ending with a comma) to `process` of config.json.
    ///
    /// # Panics
    /// As [`Self::replace`].
    pub fn add_to_process(&self, members: &str) {
        self.replace("\"process\": {", &format!("\"process\": {{{members}"));
    }

    /// Adds a mount (a JSON object) after the others.
    ///
    /// # Panics
    /// As [`Self::replace`].
    pub fn add_mount(&self, mount: &str) {
        let last = r#""source": "devpts"}"#;
        self.replace(last, &format!("{last}, {mount}"));
    }

    /// Runs the container in the foreground, which must succeed; what it has printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn printed(&self) -> String {
        self.ok(&["run", "c"])
    }

    /// A path in the directory of its own.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.0.join(name)
    }

    /// A command of the runtime, in the bundle.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let platform = chosen_platform();
        let mut command = Command::new(sandbox_binary());
        command
            .arg(format!("--platform={platform}"))
            .arg("--root")
            .arg(self.path("state"))
            .args(arguments)
            .stdin(Stdio::null())
            .current_dir(self.path("bundle"));
        command
    }

    /// Runs a command to its end. Not for one that leaves a container behind with its streams.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("run the command")
    }

    /// The same for a command that must succeed; its standard output.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", describe(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The same for a command that must fail; its standard error.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", describe(&output));
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    /// Creates the container `id`, whose output goes to the file `out`; answers its pid.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn create(&self, id: &str) -> i32 {
        let out = || fs::File::create(self.path("out")).expect("make the output file");
        let pid_file = self.path("pid");
        let arguments = ["create", "--pid-file", pid_file.to_str().expect("UTF-8"), id];
        let status = self.command(&arguments).stdout(out()).stderr(out()).status();
        let said = fs::read_to_string(self.path("out")).unwrap_or_default();
        assert!(status.expect("run create").success(), "{said}");
        fs::read_to_string(pid_file).expect("read the pid").parse().expect("a pid")
    }

    /// The status that `state` shows.
    pub fn status(&self, id: &str) -> String {
        let state = self.ok(&["state", id]);
        let value = state.split("\"status\": \"").nth(1).and_then(|rest| rest.split('"').next());
        value.expect("a status").to_owned()
    }

    /// What the container created last has written.
    pub fn output(&self) -> String {
        fs::read_to_string(self.path("out")).unwrap_or_default()
    }

    /// Waits until `condition` holds.
    ///
    /// # Panics
    /// If it does not within ten seconds.
    pub fn eventually(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether no state of any container is left.
    pub fn is_empty(&self) -> bool {
        // A command that fails early does not even make the directory.
        fs::read_dir(self.path("state")).map_or(true, |mut entries| entries.next().is_none())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let entries = fs::read_dir(self.path("state")).into_iter().flatten().flatten();
        for id in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            self.run(&["delete", "--force", &id]);
        }
    }
}
