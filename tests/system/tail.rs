//! Listing and following the log: no gap and no repeat, however often the connection is cut.

use std::time::Duration;

use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use cornjacket_proto::ingest::{AppendBatchRequest, AppendRequest};
use cornjacket_proto::query::query_service_client::QueryServiceClient;
use cornjacket_proto::query::tail_events_response::Message;
use cornjacket_proto::query::{CaughtUp, ListEventsRequest, TailEventsRequest};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;

use super::cornjacket::{Bearer, Connection, Cornjacket, operator, stop, token};
use super::events::reading;
use super::full_stack::read_log;
use super::load::{self, Random};

const DEADLINE: Duration = Duration::from_secs(30);
/// Events of the log that is followed.
const EVENTS: u64 = 2_000;

type Ingest = IngestServiceClient<Connection>;

/// Connects to `port` through a wire that is cut after it has carried so many bytes to the client.
async fn through_a_wire_of(port: u16, bytes: u64) -> anyhow::Result<QueryServiceClient<Connection>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(async move {
        let (client, _) = listener.accept().await?;
        let server = TcpStream::connect(("127.0.0.1", port)).await?;
        let ((mut from_client, mut to_client), (from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let there = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
        copy(&mut from_server.take(bytes), &mut to_client).await?;
        there.abort();
        std::io::Result::Ok(())
    });
    let bearer = Bearer::new(&token()?)?;
    Ok(QueryServiceClient::new(InterceptedService::new(endpoint.connect().await?, bearer)))
}

/// Appends the next events, and returns how many.
async fn append(ingest: &mut Ingest, sent: u64, count: u64) -> anyhow::Result<u64> {
    let count = count.min(EVENTS - sent);
    let event = |number: u64| reading(&format!("pump-{}", number % 5), &number.to_string(), 1.0);
    let events = (sent..sent + count).map(event).collect();
    ingest.append_batch(AppendBatchRequest { events }).await?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_cut_again_and_again_is_exactly_the_log() -> anyhow::Result<()> {
    let cuts_wanted = if load::long() { 100 } else { 20 };
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut random = Random::seeded();
    let (mut received, mut token, mut cuts, mut sent) = (Vec::new(), String::new(), 0, 0);
    while (received.len() as u64) < EVENTS || cuts < cuts_wanted {
        // Some is history when the tail begins, some comes while it is open.
        let mut ingest = cornjacket.ingest().await?;
        sent += append(&mut ingest, sent, EVENTS / cuts_wanted).await?;
        let wire = through_a_wire_of(cornjacket.query, random.within(400..40_000)).await;
        let request = TailEventsRequest { resume_token: token.clone(), ..TailEventsRequest::default() };
        if let Ok(mut query) = wire
            && let Ok(stream) = query.tail_events(request).await
        {
            let mut stream = stream.into_inner();
            // Until it is cut, or everything is here.
            while let Ok(Some(Ok(response))) = timeout(Duration::from_secs(1), stream.next()).await {
                token = response.resume_token;
                match response.message {
                    Some(Message::Event(event)) => received.push(event.position),
                    Some(Message::CaughtUp(CaughtUp { position })) => {
                        assert_eq!(received.last().copied().unwrap_or_default(), position);
                        if sent == EVENTS {
                            break;
                        }
                        sent += append(&mut ingest, sent, EVENTS / cuts_wanted).await?;
                    }
                    None => panic!("a message is an event or a mark"),
                }
            }
        }
        cuts += 1;
    }
    println!("{cuts} cuts");
    stop(process).await?;
    let url = format!("sqlite://{}/cornjacket.db", folder.path().display());
    let log: Vec<u64> = read_log(&url).await?.iter().map(|stored| stored.position).collect();
    assert_eq!(log.len() as u64, EVENTS);
    assert_eq!(received, log);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_by_subject_type_position_and_time_page_by_page() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut ingest = cornjacket.ingest().await?;
    let events: Vec<_> =
        (0..10).map(|number| reading(["even", "odd"][number % 2], &number.to_string(), 1.0)).collect();
    ingest.append_batch(AppendBatchRequest { events }).await?;
    let newest = AppendRequest { event: Some(reading("odd", "last", 1.0)) };
    let receipt = ingest.append(newest).await?.into_inner().receipt.unwrap_or_default();
    let query = cornjacket.query().await?;
    // Every page of a request, as positions.
    let list = async |request: ListEventsRequest| {
        let (mut pages, mut request) = (Vec::new(), ListEventsRequest { page_size: 2, ..request });
        loop {
            let page = query.clone().list_events(request.clone()).await?.into_inner();
            pages.extend(page.events.iter().map(|event| event.position));
            if page.next_page_token.is_empty() {
                return Ok::<_, tonic::Status>(pages);
            }
            request.page_token = page.next_page_token;
        }
    };
    let all = ListEventsRequest::default();
    assert_eq!(list(all.clone()).await?, (1..=11).collect::<Vec<_>>());
    let odd = ListEventsRequest { subject: "odd".into(), ..all.clone() };
    assert_eq!(list(odd.clone()).await?, [2, 4, 6, 8, 10, 11]);
    assert_eq!(
        list(ListEventsRequest { descending: true, from_position: 5, ..odd.clone() }).await?,
        [11, 10, 8, 6]
    );
    assert_eq!(list(ListEventsRequest { r#type: "none".into(), ..odd.clone() }).await?, [0; 0]);
    let since = ListEventsRequest { start_time: receipt.ingest_time, ..all.clone() };
    assert_eq!(list(since).await?.last(), Some(&11));
    let before = ListEventsRequest { end_time: receipt.ingest_time, ..all.clone() };
    assert_eq!(list(before).await?.iter().max(), Some(&10));

    // A page's token is good for its filter alone.
    let first = query.clone().list_events(ListEventsRequest { page_size: 1, ..odd }).await?.into_inner();
    let other = ListEventsRequest { page_token: first.next_page_token, ..all };
    let refused = query.clone().list_events(other).await.expect_err("another filter");
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "page_token was made for another filter")
    );

    let server = format!("127.0.0.1:{}", cornjacket.query);
    let program = operator()?.args(["events", "--server", &server]);
    let listed = program.clone().args(["list", "--subject", "odd", "--limit", "3"]).output(DEADLINE).await?;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let got = program.args(["get", "system-test", "last"]).output(DEADLINE).await?;
    assert!(got.contains("\"position\":\"11\""), "{got}");
    stop(process).await
}
