//! Statements about many rows: every statement is a turn of another thread, so few large ones are faster.

/// Rows of one statement, the most first: every batch is cut into these. The largest keeps every statement below SQLite's
/// limits.
const ROWS: [usize; 4] = [512, 64, 8, 1];

/// A statement for each number of rows.
pub(super) type Statements = [String; 4];

/// The statements `before`, tuples of `columns` parameters, `after`.
pub(super) fn statements(before: &str, columns: usize, after: &str) -> Statements {
    let tuple = format!("({})", vec!["?"; columns].join(", "));
    ROWS.map(|rows| format!("{before}{}{after}", vec![tuple.as_str(); rows].join(", ")))
}

/// Cuts into pieces that there is a statement for, each with that statement's index.
pub(super) fn cut<T>(items: &[T]) -> Vec<(usize, &[T])> {
    let (mut pieces, mut rest) = (Vec::new(), items);
    for (which, rows) in ROWS.into_iter().enumerate() {
        let whole = rest.chunks_exact(rows);
        let left = whole.remainder();
        pieces.extend(whole.map(|piece| (which, piece)));
        rest = left;
    }
    pieces
}
