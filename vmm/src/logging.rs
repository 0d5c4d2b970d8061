//! The sandbox's log: lines from the VMM and from the sentry, to standard error or a file.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::Mutex,
};

use guest_abi::control::LogLevel;

use crate::{
    error::{Failure, Result},
    terminal,
};

/// Where log lines go, and which.
#[derive(Debug)]
pub struct Log {
    threshold: LogLevel,
    file: Option<Mutex<File>>,
}

impl Log {
    /// A log of the lines that matter at least as `threshold` does, appended to `path`, or to
    /// standard error if there is none.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(threshold: LogLevel, path: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
        let file = path
            .map(|path| {
                open(path).map_err(|error| {
                    Failure::new(
                        format_args!("cannot open the log {}: {error}", path.display()),
                        "name a file that you may write with --log",
                    )
                })
            })
            .transpose()?;
        Ok(Self { threshold, file: file.map(Mutex::new) })
    }

    /// Whether lines of `level` are kept at all.
    pub fn is_enabled(&self, level: LogLevel) -> bool {
        level <= self.threshold
    }

    /// Writes one line. A log that cannot be written is no reason to fail, so errors are dropped.
    pub fn line(&self, level: LogLevel, text: impl fmt::Display) {
        if !self.is_enabled(level) {
            return;
        }
        let name = level_name(level);
        let _ = match &self.file {
            Some(file) => {
                let line = format!("{name}: {text}\n");
                let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                file.write_all(line.as_bytes())
            }
            None => {
                let line = format!("sandbox-vmm: {name}: {text}{}", terminal::line_end());
                io::stderr().write_all(line.as_bytes())
            }
        };
    }

    /// A line at [`LogLevel::Warning`].
    pub fn warning(&self, text: impl fmt::Display) {
        self.line(LogLevel::Warning, text);
    }

    /// A line at [`LogLevel::Information`].
    pub fn information(&self, text: impl fmt::Display) {
        self.line(LogLevel::Information, text);
    }
}

const fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warning => "warning",
        LogLevel::Information => "info",
        LogLevel::Debug => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_matters_enough() {
        let log = Log::open(LogLevel::Warning, None).unwrap();
        assert!(log.is_enabled(LogLevel::Error));
        assert!(log.is_enabled(LogLevel::Warning));
        assert!(!log.is_enabled(LogLevel::Information));
    }

    #[test]
    fn an_unwritable_file_is_a_failure() {
        let failure = Log::open(LogLevel::Debug, Some(Path::new("/nonexistent/log"))).unwrap_err();
        assert!(failure.to_string().starts_with("cannot open the log /nonexistent/log"));
    }
}
