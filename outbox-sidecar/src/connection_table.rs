//! The tables of docs/connections.md, which tests find out anew.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Set, the tests write what they find into the file.
const VARIABLE: &str = "OUTBOX_WRITE_CONNECTIONS";

/// Tests run side by side, and write into one file.
static FILE: Mutex<()> = Mutex::new(());

/// One table, row by row.
pub(crate) struct ConnectionTable {
    section: &'static str,
    rows: Vec<String>,
}

impl ConnectionTable {
    /// The table between `<!-- section -->` and the next blank line.
    pub(crate) fn new(section: &'static str, columns: &[&str]) -> Self {
        let rule = columns.iter().map(|_| "---").collect::<Vec<_>>();
        let mut table = Self {
            section,
            rows: Vec::new(),
        };
        table.add(columns);
        table.rows.push(format!("|{}|", rule.join("|")));
        table
    }

    /// A row, in the order of the columns.
    pub(crate) fn add(&mut self, cells: &[&str]) {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        self.rows.push(format!("| {} |", cells.join(" | ")));
    }

    /// Panics where the file says something else, unless it is to be written.
    pub(crate) fn check(&self) {
        let _alone = FILE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/connections.md"
        ));
        let text = std::fs::read_to_string(&file).unwrap();
        let mark = format!("<!-- {} -->\n", self.section);
        let (before, rest) = text.split_once(&mark).expect("a mark for the table");
        let (written, after) = rest
            .split_once("\n\n")
            .expect("a blank line behind the table");
        let found = self.rows.join("\n");
        if found == written {
            return;
        }
        if std::env::var_os(VARIABLE).is_some() {
            std::fs::write(&file, format!("{before}{mark}{found}\n\n{after}")).unwrap();
            return;
        }
        panic!(
            "docs/connections.md, {}, says something else than was found (run this test with \
             {VARIABLE}=1 to write it):\n{found}\nIt says:\n{written}",
            self.section
        );
    }
}
