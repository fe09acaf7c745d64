//! Columns for people.

use std::fmt::Write;

/// Text in aligned columns; the widths come from what is in them.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table whose columns `right` (from 0) are aligned to the right.
    pub(super) fn new(right: &[usize]) -> Self {
        Self { rows: Vec::new(), right: right.to_vec() }
    }

    /// Adds a row; rows may have different lengths.
    pub(super) fn row<I>(&mut self, cells: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.rows.push(cells.into_iter().map(|cell| printable(cell.as_ref())).collect());
        self
    }

    /// The text, every line with its newline and without blanks at its end.
    pub(super) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| {
                self.rows.iter().filter_map(|row| row.get(c)).map(|s| width(s)).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (c, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[c] - width(cell));
                // writing to a String cannot fail
                let _ = if self.right.contains(&c) {
                    write!(line, "{pad}{cell}  ")
                } else {
                    write!(line, "{cell}{pad}  ")
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Without the control characters that a label or a file name could send to a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let mut table = Table::new(&[1]);
        table.row(["class", "shots", ""]).row(["größe", "7"]).row(["a", "1600", "new"]);
        assert_eq!(table.text(), "class  shots\ngröße      7\na       1600  new\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn an_empty_table_is_empty() {
        assert_eq!(Table::default().text(), "");
    }
}
