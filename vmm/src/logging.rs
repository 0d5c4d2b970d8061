//! The log: lines from the VMM and from the sentry, to standard error or a file.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use guest_abi::control::LogLevel;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Failure, Result},
    terminal,
    time::rfc3339,
};

/// How a line of a log file looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// `level: text`.
    #[default]
    Text,
    /// An object with `level`, `msg` and `time`, which container engines parse.
    Json,
}

/// Where log lines go, and which.
#[derive(Debug)]
pub struct Log {
    threshold: LogLevel,
    format: LogFormat,
    output: Output,
}

#[derive(Debug)]
enum Output {
    StandardError,
    File(Mutex<File>),
    Nowhere,
}

impl Log {
    /// A log of the lines that matter at least as `threshold` does, appended to `path`, or to
    /// standard error if there is none.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(threshold: LogLevel, path: Option<&Path>, format: LogFormat) -> Result<Self> {
        let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
        let Some(path) = path else {
            return Ok(Self { threshold, format, output: Output::StandardError });
        };
        let file = open(path).map_err(|error| {
            Failure::new(
                format_args!("cannot open the log {}: {error}", path.display()),
                "name a file that you may write with --log",
            )
        })?;
        Ok(Self::of_file(threshold, Some(file), format))
    }

    /// The same on an open file, or without output.
    pub fn of_file(threshold: LogLevel, file: Option<File>, format: LogFormat) -> Self {
        let output = file.map_or(Output::Nowhere, |file| Output::File(Mutex::new(file)));
        Self { threshold, format, output }
    }

    /// The file that it goes to, if it is one.
    pub fn file(&self) -> Option<File> {
        match &self.output {
            Output::File(file) => lock(file).try_clone().ok(),
            Output::StandardError | Output::Nowhere => None,
        }
    }

    /// Least important level that is kept.
    pub const fn threshold(&self) -> LogLevel {
        self.threshold
    }

    /// How lines look.
    pub const fn format(&self) -> LogFormat {
        self.format
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
        let _ = match &self.output {
            Output::Nowhere => Ok(()),
            Output::File(file) => {
                let line = match self.format {
                    LogFormat::Text => format!("{name}: {text}\n"),
                    LogFormat::Json => json_line(name, &text.to_string()),
                };
                lock(file).write_all(line.as_bytes())
            }
            Output::StandardError => {
                let line = format!("sandbox-vmm: {name}: {text}{}", terminal::line_end());
                io::stderr().write_all(line.as_bytes())
            }
        };
    }

    /// The failure that ends a command. It is not said twice: without a file, whoever called the
    /// command gets it from standard error anyway.
    pub fn failure(&self, failure: &Failure) {
        if matches!(self.output, Output::File(_)) {
            self.line(LogLevel::Error, failure);
        }
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

fn lock(file: &Mutex<File>) -> std::sync::MutexGuard<'_, File> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line as logrus, the engines' logging library, writes and reads it.
fn json_line(level: &str, text: &str) -> String {
    let object = serde_json::json!({
        "level": level,
        "msg": text,
        "time": rfc3339(SystemTime::now()),
    });
    format!("{object}\n")
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
        let log = Log::open(LogLevel::Warning, None, LogFormat::Text).unwrap();
        assert!(log.is_enabled(LogLevel::Error));
        assert!(log.is_enabled(LogLevel::Warning));
        assert!(!log.is_enabled(LogLevel::Information));
    }

    #[test]
    fn an_unwritable_file_is_a_failure() {
        let path = Some(Path::new("/nonexistent/log"));
        let failure = Log::open(LogLevel::Debug, path, LogFormat::Json).unwrap_err();
        assert!(failure.to_string().starts_with("cannot open the log /nonexistent/log"));
    }

    #[test]
    fn json_lines_are_objects_whatever_they_quote() {
        let line = json_line("error", "exec: \"x\"\nfailed");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["level"], "error");
        assert_eq!(object["msg"], "exec: \"x\"\nfailed");
        assert!(object["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(line.matches('\n').count(), 1);
    }
}
