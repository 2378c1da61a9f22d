//! Read your writes: with a receipt's token an answer is never stale, whatever happens to consumers meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use cornjacket_proto::ingest::AppendRequest;
use cornjacket_proto::query::{GetProjectionRequest, QuerySeriesRequest, SeriesKey};
use cornjacket_testkit::wait;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::load::{Random, long};

const CALLERS: usize = 8;
/// A call with a token waits no longer.
const PATIENCE: Duration = Duration::from_millis(700);
const DEADLINE: Duration = Duration::from_mins(10);

#[derive(Debug, Default)]
struct Answers {
    pairs: AtomicUsize,
    fresh: AtomicU64,
    behind: AtomicU64,
    late: AtomicU64,
}

impl Answers {
    /// Fresh, or a refusal that says how far behind it is; nothing else.
    fn count(&self, answer: Result<u64, Status>, wanted: u64) -> anyhow::Result<()> {
        match answer {
            Ok(position) => {
                anyhow::ensure!(position >= wanted, "stale: {position} instead of {wanted}");
                self.fresh.fetch_add(1, Ordering::SeqCst);
            }
            // A machine so busy that the refusal itself comes too late.
            Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
                self.late.fetch_add(1, Ordering::SeqCst);
            }
            Err(status) => {
                let lag = status.message().contains(&format!("not yet {wanted}"));
                anyhow::ensure!(status.code() == Code::Unavailable && lag, "{status}");
                self.behind.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

/// Appends and asks, the state and the series in turn.
async fn pairs(
    cornjacket: Cornjacket,
    caller: usize,
    most: usize,
    answers: Arc<Answers>,
) -> anyhow::Result<()> {
    let (mut ingest, mut query) = (cornjacket.ingest().await?, cornjacket.query().await?);
    while answers.pairs.fetch_add(1, Ordering::SeqCst) < most {
        let number = answers.pairs.load(Ordering::SeqCst);
        let device = format!("pump-{caller}-{}", number % 7);
        let event = reading(&device, &format!("{caller}-{number}"), 1.0);
        let receipt = ingest.append(AppendRequest { event: Some(event) }).await?.into_inner().receipt;
        let receipt = receipt.unwrap_or_default();
        let consistency_token = receipt.consistency_token;
        let answer = if number.is_multiple_of(2) {
            let projection = "device_state".into();
            let mut request =
                Request::new(GetProjectionRequest { projection, subject: device, consistency_token });
            request.set_timeout(PATIENCE);
            query.get_projection(request).await.map(|answer| answer.into_inner().last_position)
        } else {
            let series = vec![SeriesKey { subject: device, metric: "temperature".into() }];
            let page_size = 10_000;
            let mut request = Request::new(QuerySeriesRequest {
                series,
                consistency_token,
                page_size,
                ..QuerySeriesRequest::default()
            });
            request.set_timeout(PATIENCE);
            let answer = query.query_series(request).await;
            answer.map(|answer| {
                let series = answer.into_inner().series;
                let positions =
                    series.iter().flat_map(|one| one.samples.iter().map(|sample| sample.position));
                positions.max().unwrap_or_default()
            })
        };
        answers.count(answer, receipt.position)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_token_is_fresh_or_says_how_far_behind_it_is() -> anyhow::Result<()> {
    let most = if long() { 10_000 } else { 2_000 };
    let full_stack = FullStack::shared().await?;
    let rest = full_stack.cornjacket(&[])?.roles("ingest,relay,query");
    let process = rest.start().await?;
    let consumers = full_stack.cornjacket(&[])?.roles("projector,inference");
    let mut consuming = consumers.start().await?;
    let answers = Arc::new(Answers::default());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(pairs(rest.clone(), caller, most, answers.clone()));
    }
    let (mut random, mut kills) = (Random::seeded(), 0);
    while answers.pairs.load(Ordering::SeqCst) < most && !callers.is_empty() {
        let fresh = answers.fresh.load(Ordering::SeqCst);
        wait::until(DEADLINE, "some answers are fresh", async || {
            answers.fresh.load(Ordering::SeqCst) > fresh + 100 || answers.pairs.load(Ordering::SeqCst) >= most
        })
        .await?;
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(random.within(0..300))).await;
        consuming.kill9().await?;
        consuming = consumers.start().await?;
        kills += 1;
        if let Some(ended) = callers.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    let (fresh, behind) = (answers.fresh.load(Ordering::SeqCst), answers.behind.load(Ordering::SeqCst));
    let late = answers.late.load(Ordering::SeqCst);
    println!("{fresh} fresh, {behind} told how far behind, {late} not in time, {kills} kills");
    assert!(kills > 3 && fresh > 500 && late < fresh / 20);
    stop(consuming).await?;
    stop(process).await
}
