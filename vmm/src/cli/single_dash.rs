//! Long flags with one dash: runc takes them, and containerd passes some so (`-no-subreaper`).

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Command};

/// `arguments`, the program's name first, with the long flags of `command` and of the subcommand
/// that they name written with two dashes, and that subcommand. What follows the first argument of the
/// subcommand is somebody else's.
pub fn normalize(
    command: &Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> (Vec<OsString>, Option<&Command>) {
    let mut named = None;
    let mut is_settled = false;
    let mut takes_value = false;
    let mut normal = Vec::new();
    for (index, argument) in arguments.into_iter().enumerate() {
        if index == 0 || is_settled || std::mem::take(&mut takes_value) {
            normal.push(argument);
        } else if let Some((flag, needs_value)) = flag(named.unwrap_or(command), &argument) {
            takes_value = needs_value;
            normal.push(flag);
        } else {
            is_settled = named.is_some();
            if !is_settled {
                named = argument.to_str().and_then(|name| command.find_subcommand(name));
                is_settled = named.is_none();
            }
            normal.push(argument);
        }
    }
    (normal, named)
}

/// `argument` with two dashes if it is a flag, and whether the next argument is its value.
fn flag(command: &Command, argument: &OsStr) -> Option<(OsString, bool)> {
    let text = argument.to_str()?;
    let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    let (name, has_value) = match name.split_once('=') {
        Some((name, _)) => (name, true),
        None => (name, false),
    };
    if name.is_empty() {
        return None;
    }
    let takes_value = |argument: &clap::Arg| {
        !has_value && matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
    };
    let known = command.get_arguments().find(|known| known.get_long() == Some(name));
    match known {
        Some(known) if text.starts_with("--") => Some((argument.into(), takes_value(known))),
        Some(known) => Some((format!("-{text}").into(), takes_value(known))),
        None => {
            let short = command.get_arguments().find(|known| {
                known.get_short().is_some_and(|short| name.chars().eq(std::iter::once(short)))
            });
            Some((argument.into(), short.is_some_and(takes_value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Arguments;

    fn normal(line: &str) -> String {
        let arguments = line.split(' ').map(OsString::from);
        let command = Arguments::command();
        let (normal, _) = normalize(&command, arguments);
        normal.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn known_long_flags_get_their_second_dash() {
        let cases = [
            (
                "x -root /r -log-format=json create -bundle b id",
                "x --root /r --log-format=json create --bundle b id",
            ),
            ("x run -no-subreaper -d -bundle b id", "x run --no-subreaper -d --bundle b id"),
            ("x --root /r delete -force id", "x --root /r delete --force id"),
        ];
        for (line, expected) in cases {
            assert_eq!(normal(line), expected);
        }
    }

    #[test]
    fn the_subcommand_is_no_value_of_a_flag() {
        let command = Arguments::command();
        let named = |line: &str| {
            let (_, named) = normalize(&command, line.split(' ').map(OsString::from));
            named.map(|named| named.get_name().to_owned())
        };
        assert_eq!(named("x --root run exec create").as_deref(), Some("exec"));
        assert_eq!(named("x -root=run -debug create id").as_deref(), Some("create"));
        assert_eq!(named("x other run"), None);
        assert_eq!(named("x --root run"), None);
    }

    #[test]
    fn what_follows_the_first_argument_is_left_alone() {
        for line in [
            "x exec id find -process x",
            "x do -- -debug",
            "x exec -e -tty id ls -env",
            "x kill id -all",
        ] {
            assert_eq!(normal(line), line);
        }
    }
}
