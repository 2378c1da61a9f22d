//! Bad input gets a clear status that names the field, and leaves nothing behind.

use cornjacket_proto::google::rpc;
use cornjacket_proto::ingest::outcome::Result::{Error, Receipt};
use cornjacket_proto::ingest::{AppendBatchRequest, AppendRequest};
use prost::Message;
use tonic::{Code, Status};

use super::cornjacket::{Cornjacket, http_get, stop};
use super::events::reading;

/// Makes a good event a bad one.
type Spoil = fn(&mut cornjacket_proto::events::Event);

fn fields(details: &[prost_types::Any]) -> Vec<String> {
    let bad = details.iter().find(|detail| detail.type_url.ends_with("google.rpc.BadRequest"));
    let Some(bad) = bad else { return vec![] };
    let bad = rpc::BadRequest::decode(bad.value.as_ref()).expect("a BadRequest");
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

fn refused(result: Result<impl std::fmt::Debug, Status>) -> (Code, Vec<String>) {
    let status = result.expect_err("refused");
    let details = rpc::Status::decode(status.details()).expect("a google.rpc.Status");
    (status.code(), fields(&details.details))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_events_are_refused_by_field_and_nothing_is_stored() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut ingest = cornjacket.ingest().await?;
    let hostile: [(&str, Spoil); 6] = [
        ("event.subject", |event| event.subject = "a\u{0}b".into()),
        ("event.subject", |event| event.subject = "'; drop table log; --#".into()),
        ("event.source", |event| event.source = "\u{2028}".into()),
        ("event.id", |event| event.id = "x".repeat(129)),
        ("event.type", |event| event.r#type = "sensor.\u{202e}gnp".into()),
        ("event.event_time", |event| {
            event.event_time = Some(prost_types::Timestamp { seconds: i64::MIN, nanos: -1 });
        }),
    ];
    for (field, spoil) in hostile {
        let mut event = reading("pump", "1", 1.0);
        spoil(&mut event);
        let result = ingest.append(AppendRequest { event: Some(event) }).await;
        assert_eq!(refused(result), (Code::InvalidArgument, vec![field.to_owned()]));
    }
    let missing = ingest.append(AppendRequest { event: None }).await;
    assert_eq!(refused(missing), (Code::InvalidArgument, vec!["event".to_owned()]));
    let large = reading("pump", "1", 1.0);
    let large = cornjacket_proto::events::Event {
        payload: Some(cornjacket_proto::events::event::Payload::Raw(cornjacket_proto::events::Raw {
            content_type: "a/b".into(),
            data: vec![0; 300 << 10].into(),
        })),
        ..large
    };
    let result = ingest.append(AppendRequest { event: Some(large) }).await;
    assert_eq!(refused(result), (Code::ResourceExhausted, vec!["event".to_owned()]));

    let receipt = ingest.append(AppendRequest { event: Some(reading("pump", "1", 1.0)) }).await?.into_inner();
    assert_eq!(receipt.receipt.expect("a receipt").position, 1, "nothing bad took a position");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_item_does_not_spoil_a_batch() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut ingest = cornjacket.ingest().await?;
    let mut events: Vec<_> = (0..5).map(|number| reading("pump", &number.to_string(), 1.0)).collect();
    events[1].subject.clear();
    events[3] = reading("pump", "0", 2.0);
    let outcomes = ingest.append_batch(AppendBatchRequest { events }).await?.into_inner().outcomes;
    let told: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome.result.expect("set") {
            Receipt(receipt) => Ok(receipt.position),
            Error(status) => Err((status.code, fields(&status.details))),
        })
        .collect();
    let bad_subject = Err((Code::InvalidArgument as i32, vec!["events[1].subject".to_owned()]));
    let taken_id = Err((Code::AlreadyExists as i32, vec![]));
    assert_eq!(told, [Ok(1), bad_subject, Ok(2), taken_id, Ok(3)]);

    let too_many = AppendBatchRequest { events: vec![reading("pump", "", 1.0); 5_001] };
    assert_eq!(
        refused(ingest.append_batch(too_many).await),
        (Code::ResourceExhausted, vec!["events".to_owned()])
    );
    assert!(http_get(cornjacket.ops, "/metrics").await?.contains("cornjacket_ingest_commit_events"));
    stop(process).await
}

/// Bytes that are no protobuf at all, sent as a gRPC message.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_protobuf_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut client = tonic::client::Grpc::new(cornjacket.channel(cornjacket.ingest).await?);
    for garbage in [&[0xff; 3][..], b"\x0a\xff\xff\xff\x7f", b"\x0a\x02\x0a\x05"] {
        client.ready().await?;
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(
            "/cornjacket.ingest.v1.IngestService/Append",
        );
        let request = tonic::Request::new(prost::bytes::Bytes::copy_from_slice(garbage));
        let status = client.unary(request, path, cornjacket_gateway::BytesCodec).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    stop(process).await
}
