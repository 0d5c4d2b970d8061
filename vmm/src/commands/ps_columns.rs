//! What `ps` shows of each process inside: the columns of ps(1) that the sentry tells something of.

use guest_abi::control::ProcessEntry;

use crate::error::{Failure, Result};

/// A column: its names in a format of ps(1), its heading, its width and side, and what it
/// shows.
#[derive(Debug)]
pub struct Column {
    names: &'static [&'static str],
    heading: &'static str,
    width: usize,
    is_left: bool,
    show: fn(&ProcessEntry) -> String,
}

const COLUMNS: [Column; 5] = [
    Column {
        names: &["uid", "user", "euid", "euser", "ruid", "ruser"],
        heading: "UID",
        width: 10,
        is_left: true,
        show: |process| process.uid.to_string(),
    },
    Column {
        names: &["pid", "tgid"],
        heading: "PID",
        width: 7,
        is_left: false,
        show: |process| process.pid.to_string(),
    },
    Column {
        names: &["ppid"],
        heading: "PPID",
        width: 7,
        is_left: false,
        show: |process| process.parent.to_string(),
    },
    Column { names: &["time", "cputime"], heading: "TIME", width: 8, is_left: false, show: time },
    Column {
        names: &["cmd", "comm", "command", "args", "ucmd", "ucomm"],
        heading: "CMD",
        width: 0,
        is_left: true,
        show: |process| process.name.clone(),
    },
];

/// Options that ask for processes or columns that are shown anyway.
const SHOWN_ANYWAY: [&str; 9] = ["-e", "-A", "-f", "-ef", "-F", "-eF", "a", "ax", "aux"];

fn time(process: &ProcessEntry) -> String {
    let seconds = process.milliseconds / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The columns that `options` of ps(1) ask for.
///
/// # Errors
/// The first option or column that is not known.
pub fn columns(options: &[String]) -> Result<Vec<&'static Column>> {
    let mut chosen = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let attached = ["-eo", "-o"].iter().find_map(|flag| option.strip_prefix(flag));
        let list = match attached {
            Some("") => options.next().map(String::as_str),
            attached => attached,
        };
        match list {
            Some(list) => {
                let names = list.split([',', ' ']).filter(|name| !name.is_empty());
                for name in names {
                    chosen.push(column(name)?);
                }
            }
            None if SHOWN_ANYWAY.contains(&option.as_str()) => {}
            None => return Err(unknown("option", option)),
        }
    }
    Ok(if chosen.is_empty() { COLUMNS.iter().collect() } else { chosen })
}

fn column(name: &str) -> Result<&'static Column> {
    let found = COLUMNS.iter().find(|column| column.names.contains(&name));
    found.ok_or_else(|| unknown("column", name))
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure::new(
        format_args!("ps has no {what} '{name}' here"),
        "use -ef, or -o with uid, pid, ppid, time and cmd",
    )
}

/// The processes, a line each.
pub fn table(processes: &[ProcessEntry], columns: &[&Column]) -> String {
    let row = |show: &dyn Fn(&Column) -> String| {
        let cells = columns.iter().map(|column| {
            let (text, width) = (show(column), column.width);
            if column.is_left { format!("{text:<width$}") } else { format!("{text:>width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join(" ").trim_end())
    };
    let heading = row(&|column| column.heading.to_owned());
    let lines = processes.iter().map(|process| row(&|column| (column.show)(process)));
    std::iter::once(heading).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(options: &[&str]) -> Result<String> {
        let process = ProcessEntry {
            pid: 1,
            parent: 0,
            uid: 0,
            milliseconds: 3_725_000,
            name: "sh".to_owned(),
        };
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        Ok(table(&[process], &columns(&options)?))
    }

    #[test]
    fn without_columns_all_are_shown() {
        let all = shown(&[]).unwrap();
        assert!(all.starts_with("UID            PID    PPID     TIME CMD\n"), "{all}");
        assert!(all.ends_with("0                1       0 01:02:05 sh\n"), "{all}");
        assert_eq!(shown(&["-ef"]).unwrap(), all);
        assert_eq!(shown(&["aux"]).unwrap(), all);
    }

    #[test]
    fn chosen_columns_are_shown_in_their_order() {
        let chosen = shown(&["-eo", "comm,pid"]).unwrap();
        let words: Vec<_> = chosen.split_whitespace().collect();
        assert_eq!(words, ["CMD", "PID", "sh", "1"]);
        assert_eq!(
            shown(&["-e", "-o", "pid", "-oppid"]).unwrap(),
            "    PID    PPID\n      1       0\n"
        );
        for (wrong, name) in [("-owchan", "column 'wchan'"), ("--forest", "option '--forest'")] {
            assert!(shown(&[wrong]).unwrap_err().to_string().contains(name), "{wrong}");
        }
        assert!(shown(&["-o"]).unwrap_err().to_string().contains("option '-o'"));
    }
}
