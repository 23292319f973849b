//! What a benchmark prints: notes on standard error, results on standard output.

use std::io::Write;

use serde::Serialize;

/// Says what is being done.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints one result as a line of JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn json_line(result: &impl Serialize) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    serde_json::to_writer(&mut output, result)?;
    writeln!(output)?;
    Ok(())
}

/// Rows of text, aligned: the first column to the left, the others to the right.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        let mut table = Self::default();
        table.row(headings.iter().map(|heading| (*heading).to_owned()));
        table
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self) -> anyhow::Result<()> {
        let mut output = std::io::stdout();
        output.write_all(self.text().as_bytes())?;
        output.flush()?;
        Ok(())
    }

    fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let cell = if column == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("  {cell:>width$}")
                };
                line.push_str(&cell);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["system", "rows/s"]);
        table.row(["relay".to_owned(), "7".to_owned()]);
        assert_eq!(table.text(), "system  rows/s\nrelay        7\n");
    }
}
