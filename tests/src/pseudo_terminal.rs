//! A terminal for interactive programs: the test plays the user.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
    time::Timespec,
};

/// A program on a terminal of 24 rows and 80 columns.
pub struct Session {
    child: Child,
    master: File,
    /// All that it has printed.
    pub transcript: String,
}

impl Session {
    /// Starts `command` with its streams on a new terminal. It becomes the leader of a session
    /// whose controlling terminal that is, by means of setsid(1).
    ///
    /// # Panics
    /// If the terminal or the program cannot be had.
    pub fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("open a terminal");
        grantpt(&master).expect("grant the terminal");
        unlockpt(&master).expect("unlock the terminal");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("size the terminal");
        let name = ptsname(&master, Vec::new()).expect("name of the terminal");
        let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("open slave");
        let duplicate = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("duplicate"));
        let mut leader = Command::new("setsid");
        leader.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            leader.env(name, value.unwrap_or_default());
        }
        leader.stdin(duplicate(&slave)).stdout(duplicate(&slave)).stderr(duplicate(&slave));
        let child = leader.spawn().expect("start the program");
        Self { child, master: File::from(master), transcript: String::new() }
    }

    /// Types `text`.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("type");
    }

    /// Reads until the program has printed `text` since the last call.
    ///
    /// # Panics
    /// If it ends, or is silent for 30 seconds, before.
    pub fn expect(&mut self, text: &str) {
        let start = self.transcript.len();
        while !self.transcript[start..].contains(text) {
            assert!(self.read_some(), "no {text:?} in {:?}", &self.transcript[start..]);
        }
    }

    /// Reads to the end and returns the exit code.
    ///
    /// # Panics
    /// If the program cannot be waited for.
    pub fn finish(mut self) -> (Option<i32>, String) {
        while self.read_some() {}
        let status = self.child.wait().expect("wait for the program");
        (status.code(), self.transcript)
    }

    /// Changes the size of the terminal.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.master.as_fd(), size).expect("resize the terminal");
    }

    /// Appends what there is to the transcript; false at the end or after 30 silent seconds.
    fn read_some(&mut self) -> bool {
        let silence = Timespec { tv_sec: 30, tv_nsec: 0 };
        let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut ready, Some(&silence)).unwrap_or(0) == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        // EIO says that the last user of the terminal is gone.
        let count = self.master.read(&mut bytes).unwrap_or(0);
        self.transcript.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}
