//! Tables on a terminal.

/// Columns as wide as they must be, under a head; ends in a line break.
pub fn of<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    of_rows(head.map(str::to_owned).to_vec(), rows.map(Vec::from))
}

/// The same where it depends on what is shown how many columns there are. Rows have as many as the head.
pub fn of_rows(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let columns = head.len();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_stand_below_their_heads() {
        let rows = [["é".to_owned(), "b".to_owned()], ["long one".to_owned(), String::new()]];
        let table = super::of(&["a", "second"], rows.into_iter());
        assert_eq!(table, "a         second\né         b\nlong one\n");
    }
}
