//! `list`: all containers.

use serde_json::Value;

use super::{Context, print, state::state_json};
use crate::{
    error::Result,
    state::{Record, Status, status},
};

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns.
    #[default]
    Table,
    /// One JSON array.
    Json,
    /// Ids only.
    Ids,
}

/// The command.
///
/// # Errors
/// If the state directory cannot be read.
pub fn run(context: &Context, format: Format) -> Result<()> {
    let mut containers = Vec::new();
    for container in context.root.all()? {
        // One that is being made or deleted is none.
        if let Ok(Some(record)) = container.record() {
            let status = status(&container, &record);
            containers.push((record, status));
        }
    }
    print(&match format {
        Format::Table => table(&containers),
        Format::Json => {
            let states = containers.iter().map(|(record, status)| state_json(record, *status));
            format!("{}\n", Value::Array(states.collect()))
        }
        Format::Ids => containers.iter().map(|(record, _)| format!("{}\n", record.id)).collect(),
    })
}

fn table(containers: &[(Record, Status)]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = containers.iter().map(|(record, status)| {
        let pid = if *status == Status::Stopped { 0 } else { record.stand_in.pid };
        [
            record.id.clone(),
            pid.to_string(),
            status.to_string(),
            record.bundle.display().to_string(),
            record.created.clone(),
            record.owner.clone(),
        ]
    });
    let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
    let widths: Vec<usize> = (0..6)
        .map(|column| {
            let lengths = rows.iter().filter_map(|row| row.get(column)).map(String::len);
            lengths.max().unwrap_or(0).max(11)
        })
        .collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$} "));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text = table(&[(Record::example(), Status::Running)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].find("STATUS"), lines[1].find("running"));
        assert_eq!(lines[0].find("OWNER"), lines[1].find("root"));
    }
}
