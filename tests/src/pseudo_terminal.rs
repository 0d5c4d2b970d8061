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
    termios::{InputModes, LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize},
    time::Timespec,
};

/// Modes of a terminal.
type Modes = (InputModes, OutputModes, LocalModes);

/// A program on a terminal of 24 rows and 80 columns.
pub struct Session {
    child: Child,
    master: File,
    /// Modes of the terminal before it started.
    pub found: Modes,
    /// All that it has printed.
    pub transcript: String,
    /// How much of that was expected.
    seen: usize,
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
        let found = modes(&slave);
        let child = leader.spawn().expect("start the program");
        Self { child, master: File::from(master), found, transcript: String::new(), seen: 0 }
    }

    /// Types `text`.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("type");
    }

    /// Reads until the program has printed `text` after what was expected before.
    ///
    /// # Panics
    /// If it ends, or is silent for 30 seconds, before.
    pub fn expect(&mut self, text: &str) {
        loop {
            let rest = &self.transcript[self.seen..];
            if let Some(place) = rest.find(text) {
                self.seen += place + text.len();
                return;
            }
            let more = self.await_output() && self.read_some();
            assert!(more, "no {text:?} in {:?}", &self.transcript[self.seen..]);
        }
    }

    /// Reads to the end and returns the exit code; none if the program is silent for 30 seconds
    /// and has to be killed.
    ///
    /// # Panics
    /// If the program cannot be waited for.
    pub fn finish(&mut self) -> Option<i32> {
        let mut ended = false;
        while !ended && self.await_output() {
            ended = !self.read_some();
        }
        if !ended {
            self.child.kill().expect("kill the program");
        }
        self.child.wait().expect("wait for the program").code()
    }

    /// Modes of the terminal, also after the program has ended.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn modes(&self) -> Modes {
        modes(&self.master)
    }

    /// Changes the size of the terminal.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.master.as_fd(), size).expect("resize the terminal");
    }

    /// Waits until there is something to read, or the end; false after 30 silent seconds.
    fn await_output(&self) -> bool {
        let silence = Timespec { tv_sec: 30, tv_nsec: 0 };
        let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
        poll(&mut ready, Some(&silence)).unwrap_or(0) > 0
    }

    /// Appends what there is to the transcript; false at the end.
    fn read_some(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // EIO says that the last user of the terminal is gone.
        let count = self.master.read(&mut bytes).unwrap_or(0);
        self.transcript.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}

fn modes(terminal: impl AsFd) -> Modes {
    let settings = tcgetattr(terminal).expect("settings of the terminal");
    (settings.input_modes, settings.output_modes, settings.local_modes)
}

impl Drop for Session {
    fn drop(&mut self) {
        // A failed test leaves no program behind; one that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
