//! A report: tables of figures, as Markdown for reading and as a page with bars.

use std::fmt::Write;

/// One table. Its first column of figures is what the others are compared with.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Heading.
    pub title: String,
    /// What the figures are, and of what.
    pub note: String,
    /// Names of the columns of figures.
    pub columns: Vec<String>,
    /// Unit of all figures.
    pub unit: &'static str,
    /// Decimals shown.
    pub decimals: usize,
    /// Name of the row, and a figure for each column.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
    /// Whether the columns are to be shown as ratios to the first too.
    pub has_ratios: bool,
}

/// All tables, and where they were measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine, in words.
    pub machine: String,
    /// Who could not take part, and why.
    pub left_out: Vec<String>,
    /// In order of reading.
    pub tables: Vec<Table>,
}

impl Table {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n\n{}\n\n| |", self.title, self.note);
        self.columns.iter().for_each(|column| text.push_str(&format!(" {column} |")));
        text.push_str("\n|---|");
        self.columns.iter().for_each(|_| text.push_str("---:|"));
        text.push('\n');
        for (name, figures) in &self.rows {
            let _ = write!(text, "| {name} |");
            for column in 0..figures.len() {
                let _ = write!(text, " {} |", self.cell(figures, column));
            }
            text.push('\n');
        }
        text
    }

    fn cell(&self, figures: &[Option<f64>], column: usize) -> String {
        let Some(figure) = figures[column] else { return "-".into() };
        let text = format!("{figure:.*} {}", self.decimals, self.unit);
        match self.ratio(figures, column) {
            Some(ratio) => format!("{text} ({ratio:.2}x)"),
            None => text,
        }
    }

    fn ratio(&self, figures: &[Option<f64>], column: usize) -> Option<f64> {
        let (figure, base) = (figures[column]?, figures[0]?);
        (self.has_ratios && column > 0 && base > 0.0).then(|| figure / base)
    }
}

impl Report {
    /// What comes before the tables.
    pub fn heading(&self) -> String {
        let mut text = format!("# Benchmark\n\nMeasured on: {}.\n", self.machine);
        self.left_out.iter().for_each(|name| text.push_str(&format!("\nLeft out: {name}\n")));
        text
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let tables: String = self.tables.iter().map(Table::markdown).collect();
        self.heading() + &tables
    }

    /// As an HTML page of its own, with a bar for each figure; bars of a row compare.
    pub fn html(&self) -> String {
        let mut page = String::from(
            "<!doctype html><meta charset=utf-8><title>sandbox-vmm benchmark</title><style>\
             body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .6em;\
             text-align:left}.bar{background:#4a7;height:.9em;display:inline-block}</style>",
        );
        let _ = write!(page, "<h1>Benchmark</h1><p>Measured on: {}.", escape(&self.machine));
        self.left_out.iter().for_each(|name| {
            let _ = write!(page, "<p>Left out: {}", escape(name));
        });
        for table in &self.tables {
            let _ =
                write!(page, "<h2>{}</h2><p>{}<table>", escape(&table.title), escape(&table.note));
            for (name, figures) in &table.rows {
                let largest = figures.iter().flatten().copied().fold(0.0, f64::max);
                for (column, figure) in figures.iter().enumerate() {
                    let label = if column == 0 { escape(name) } else { String::new() };
                    let width = bar_width(figure.unwrap_or_default(), largest);
                    let _ = write!(
                        page,
                        "<tr><td>{label}<td>{}<td>{}<td><span class=bar style=width:{width}em></span>",
                        escape(&table.columns[column]),
                        table.cell(figures, column),
                    );
                }
            }
            page.push_str("</table>");
        }
        page
    }
}

/// Width of a figure's bar in em, linear, of at most 20.
fn bar_width(figure: f64, largest: f64) -> f64 {
    if largest > 0.0 { (figure / largest * 20.0).max(0.1) } else { 0.1 }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let table = Table {
            title: "Operations".into(),
            note: "Best of 3 & more.".into(),
            columns: vec!["native".into(), "kvm".into()],
            unit: "ns",
            decimals: 0,
            rows: vec![
                ("getpid".into(), vec![Some(100.0), Some(150.0)]),
                ("stat".into(), vec![Some(500.0), None]),
            ],
            has_ratios: true,
        };
        Report {
            machine: "a <test>".into(),
            left_out: vec!["runc: no <root>".into()],
            tables: vec![table],
        }
    }

    #[test]
    fn markdown_shows_ratios_and_gaps() {
        let text = report().markdown();
        assert!(text.contains("| getpid | 100 ns | 150 ns (1.50x) |"), "{text}");
        assert!(text.contains("| stat | 500 ns | - |"), "{text}");
        assert!(text.contains("Left out: runc: no <root>"), "{text}");
    }

    #[test]
    fn the_page_escapes_and_draws() {
        let page = report().html();
        assert!(page.contains("a &lt;test>") && page.contains("3 &amp; more"), "{page}");
        assert!(page.contains("style=width:20em"), "{page}");
    }
}
