//! The host terminal in raw mode, and its certain restoration.
//!
//! In raw mode every key reaches the sentry's line discipline. The settings found are kept in one
//! place in the process, so that whoever ends it (return, panic, signal) puts them back.

use std::{
    io::{self, IsTerminal},
    sync::{Mutex, PoisonError},
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The settings to restore; `None` while the terminal is as it was found.
static FOUND: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether all three standard streams are terminals, so that the container gets one too.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// Rows and columns of the terminal on standard input, if it is one that knows them.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdin()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Line end for messages on standard error: a raw terminal does not return the carriage itself.
pub fn line_end() -> &'static str {
    if found().is_some() { "\r\n" } else { "\n" }
}

/// Raw mode for as long as it lives, also across a panic.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Puts the terminal on standard input into raw mode.
    ///
    /// # Errors
    /// If standard input is no terminal, or refuses.
    pub fn enter() -> io::Result<Self> {
        enter()?;
        Ok(Self(()))
    }

    /// Stops the process as SIGTSTP would, with the terminal restored meanwhile.
    ///
    /// # Errors
    /// If the terminal does not take its settings back when the process goes on.
    pub fn suspend(&self) -> io::Result<()> {
        restore();
        stop_process();
        enter()
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Stops the whole process until SIGCONT.
pub fn stop_process() {
    // SIGSTOP cannot fail for the calling process, and cannot be caught.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

fn enter() -> io::Result<()> {
    let settings = tcgetattr(io::stdin())?;
    let mut raw = settings.clone();
    raw.make_raw();
    tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
    *found() = Some(settings);
    Ok(())
}

fn restore() {
    if let Some(settings) = found().take() {
        // Nothing sensible is left to do if the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &settings);
    }
}

fn found() -> std::sync::MutexGuard<'static, Option<Termios>> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}
