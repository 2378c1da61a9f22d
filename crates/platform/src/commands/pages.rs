//! Lists that come in pages, whole.

use tonic::Status;

use super::client::told;

/// Items of a page: as many as servers give.
pub const SIZE: i32 = 1_000;

/// All items: `page` gives those behind a token, which is empty at first, and the next token, which is empty at last.
pub async fn all<T>(
    mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Status>,
) -> anyhow::Result<Vec<T>> {
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        let (more, next) = page(token).await.map_err(|status| told(&status))?;
        items.extend(more);
        if next.is_empty() {
            return Ok(items);
        }
        token = next;
    }
}
