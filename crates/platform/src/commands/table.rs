//! Tables on a terminal.

/// Columns as wide as they must be, under a head; ends in a line break.
pub fn of<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
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
