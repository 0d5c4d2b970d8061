//! The command line: each command becomes a launch plan or prints something.

mod arguments;
mod caller;
mod do_command;
mod print;
mod run;
mod spec;
mod syscalls;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use guest_abi::control::LogLevel;

use crate::{
    error::{Failure, Result},
    logging::Log,
    sandbox,
    sandbox::plan::LaunchPlan,
};
use arguments::{Arguments, Command, GlobalFlags};

/// Runs the command that the process's arguments name and returns the status to exit with.
pub fn main() -> ExitCode {
    match run_command(Arguments::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            // If standard error is gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "sandbox-vmm: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn run_command(arguments: Arguments) -> Result<u8> {
    let Arguments { global, bundle, command } = arguments;
    match (command, bundle) {
        (Some(Command::Do(flags)), _) => launch(&global, |_| do_command::plan(flags)),
        (Some(Command::Run(flags)), _) => launch(&global, |log| run::plan(flags, log)),
        (Some(Command::Spec(flags)), _) => spec::write(&flags).map(|()| 0),
        (Some(Command::Platforms), _) => print::platforms().map(|()| 0),
        (Some(Command::Syscalls(flags)), _) => print::syscalls(&flags).map(|()| 0),
        (None, Some(bundle)) => {
            launch(&global, |log| run::plan(arguments::RunFlags::of_bundle(bundle), log))
        }
        (None, None) => Err(Failure::new(
            "no command given",
            "try `sandbox-vmm do -- /bin/sh`, or `sandbox-vmm --help`",
        )),
    }
}

/// Opens the log, makes the plan, and runs it to its end.
fn launch(global: &GlobalFlags, plan: impl FnOnce(&Log) -> Result<LaunchPlan>) -> Result<u8> {
    let threshold = match (global.debug, global.strace) {
        (false, false) => LogLevel::Warning,
        _ => LogLevel::Debug,
    };
    let log = Log::open(threshold, global.log.as_deref())?;
    let settings = global.settings(&log)?;
    sandbox::run(plan(&log)?, &settings, log)
}

#[cfg(test)]
mod tests;
