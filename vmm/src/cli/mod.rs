//! The command line: each command gets what its flags say.

mod arguments;
mod caller;
mod container_arguments;
mod do_command;
mod print;
mod single_dash;
mod spec;
mod syscalls;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches};
use guest_abi::control::LogLevel;

use crate::{
    commands::{self, Context, Launch},
    error::{Failure, Result},
    logging::{Log, LogFormat},
    sandbox,
    state::StateRoot,
};
use arguments::{Arguments, Command, GlobalFlags, LogFormatFlag};
use container_arguments::{RunFlags, TableFormat};

/// Runs the command that the process's arguments name and returns the status to exit with.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let (command, words) = command_line(words);
    let matches = command.get_matches_from(words);
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run_command(arguments) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            // If standard error is gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "sandbox-vmm: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

/// What parses `words`, and the words as it knows them.
fn command_line(words: Vec<OsString>) -> (clap::Command, Vec<OsString>) {
    if let Some(command) = arguments::of_engines(&words) {
        let (normal, named) = single_dash::normalize(&command, words.iter().cloned());
        if named.is_some() {
            return (command, normal);
        }
    }
    let command = Arguments::command();
    let (normal, _) = single_dash::normalize(&command, words);
    (command, normal)
}

fn run_command(arguments: Arguments) -> Result<u8> {
    let Arguments { global, command } = arguments;
    let context = Context { root: StateRoot::new(global.root.as_deref()), log: open_log(&global)? };
    let command = match (command, &global.bundle) {
        (Some(command), _) => command,
        (None, Some(bundle)) => Command::Run(RunFlags::of_bundle(bundle.clone())),
        (None, None) => {
            return Err(Failure::new(
                "no command given",
                "try `sandbox-vmm do -- /bin/sh`, or `sandbox-vmm --help`",
            ));
        }
    };
    if let Command::Do(flags) = command {
        let settings = global.settings(&context.log)?;
        global.network(&context.log);
        return sandbox::run(do_command::plan(flags)?, &settings, context.log);
    }
    serve(command, &global, &context).inspect_err(|failure| context.log.failure(failure))
}

/// Runs a command other than `do`.
fn serve(command: Command, global: &GlobalFlags, context: &Context) -> Result<u8> {
    let launch = || -> Result<Launch<'_>> {
        Ok(Launch {
            settings: global.settings(&context.log)?,
            systemd_cgroup: global.systemd_cgroup,
            is_rootless: global.is_rootless(),
            has_executors: global.executors.is_some(),
            network: global.network(&context.log),
            context,
        })
    };
    let done = match command {
        Command::Do(_) => Ok(()),
        Command::Run(flags) => {
            let id = flags.id.unwrap_or_else(|| format!("run-{}", std::process::id()));
            let options = flags.creation.options(id, !flags.detach);
            return commands::run::run(&launch()?, &options, flags.detach, flags.keep);
        }
        Command::Create(flags) => {
            commands::create::run(&launch()?, &flags.creation.options(flags.id, false))
        }
        Command::Start(flags) => commands::start::run(context, &flags.id),
        Command::State(flags) => commands::state::run(context, &flags.id),
        Command::Kill(flags) => commands::kill::run(context, &flags.id, &flags.signal, flags.all),
        Command::Delete(flags) => commands::delete::run(context, &flags.id, flags.force),
        Command::Exec(flags) => return commands::exec::run(context, &flags.options()),
        Command::List(flags) => commands::list::run(context, flags.format()),
        Command::Ps(flags) => {
            let is_json = flags.format == TableFormat::Json;
            commands::ps::run(context, &flags.id, is_json, &flags.ps_options)
        }
        Command::Pause(flags) => commands::pause::pause(context, &flags.id),
        Command::Resume(flags) => commands::pause::resume(context, &flags.id),
        Command::Wait(flags) => return commands::wait::run(context, &flags.id),
        Command::Update(flags) => {
            let limits = flags.limits();
            commands::update::run(context, &flags.id, flags.resources, &limits)
        }
        Command::Events(flags) => {
            commands::events::run(context, &flags.id, flags.stats, flags.interval)
        }
        Command::Checkpoint(_) | Command::Restore(_) => Err(Failure::new(
            "a sandbox cannot be checkpointed or restored yet",
            "stop the container and start another one",
        )),
        Command::Debug(flags) => commands::debug::exits(context, &flags.id),
        Command::Features => commands::features::run(),
        Command::Install(flags) => commands::install::install(&flags.options()),
        Command::Uninstall(flags) => commands::install::uninstall(&flags.options()),
        Command::Spec(flags) => spec::write(&flags),
        Command::Platforms => print::platforms(),
        Command::Syscalls(flags) => print::syscalls(&flags),
    };
    done.map(|()| 0)
}

fn open_log(global: &GlobalFlags) -> Result<Log> {
    let threshold = match (global.debug, global.strace) {
        (false, false) => LogLevel::Warning,
        _ => LogLevel::Debug,
    };
    let format = match global.log_format {
        LogFormatFlag::Text => LogFormat::Text,
        LogFormatFlag::Json => LogFormat::Json,
    };
    Log::open(threshold, global.log.as_deref(), format)
}

#[cfg(test)]
mod tests;
