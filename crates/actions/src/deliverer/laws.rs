//! The laws of delivering, on both stores: the real desk and the real store, with a clock that the law moves and receivers that
//! answer as it says.

pub(crate) mod bed;
mod breaker;
mod digests;
mod endings;
mod groups;
mod isolation;
mod limits;
mod retries;
mod rotation;
mod services;

/// Runs each law of a module on each store.
macro_rules! laws {
    ($($law:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() -> anyhow::Result<()> {
                super::$law(crate::deliverer::laws::bed::Bed::sqlite().await?).await
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() -> anyhow::Result<()> {
                super::$law(crate::deliverer::laws::bed::Bed::postgres().await?).await
            })+
        }
    };
}
pub(crate) use laws;
