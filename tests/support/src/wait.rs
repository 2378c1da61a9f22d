//! Waiting on a condition: polled every few milliseconds, under a deadline, named in the error.

use std::time::Duration;

use anyhow::Context;

/// Time between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// The deadline covers the condition's own time too: one that hangs is given up. `what` completes the
/// sentence "gave up waiting until …".
pub async fn until<C>(deadline: Duration, what: &str, mut condition: C) -> anyhow::Result<()>
where
    C: AsyncFnMut() -> bool,
{
    until_some(deadline, what, async || condition().await.then_some(())).await
}

/// Waits until `condition` yields a value, and returns it. See [`until`].
pub async fn until_some<C, T>(deadline: Duration, what: &str, mut condition: C) -> anyhow::Result<T>
where
    C: AsyncFnMut() -> Option<T>,
{
    let polling = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(deadline, polling)
        .await
        .with_context(|| format!("gave up waiting until {what}, after {deadline:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_the_first_value() {
        let mut looks = 0;
        let value = until_some(Duration::from_secs(5), "the third look", async || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(value.await.expect("the third look comes"), 3);
    }

    #[tokio::test]
    async fn names_the_condition_when_it_gives_up() {
        let error = until(Duration::from_millis(20), "pigs fly", async || false).await.expect_err("never");
        assert!(error.to_string().contains("until pigs fly"), "{error}");
    }

    #[tokio::test]
    async fn gives_up_a_condition_that_hangs() {
        let hangs = until(Duration::from_millis(20), "it answers", async || std::future::pending().await);
        assert!(hangs.await.is_err());
    }
}
