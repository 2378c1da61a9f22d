//! What cannot be handled parks its key, is seen by operators, and leaves in order.

use std::time::Duration;

use cornjacket_auth::TokenRequest;
use cornjacket_domain::{Partitions, Scope};
use cornjacket_proto::admin::admin_service_client::AdminServiceClient;
use cornjacket_proto::admin::{
    DeadLetter, DiscardDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest, PauseConsumerRequest,
    RedriveDeadLettersRequest, ResumeConsumerRequest,
};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::ingest::Receipt;
use cornjacket_proto::query::GetProjectionRequest;
use cornjacket_testkit::{Program, wait};
use prost_types::Value;
use prost_types::value::Kind;
use tonic::{Code, Status};

use super::cornjacket::{AUDIENCE, Cornjacket, http_get, minted, operator, stop};
use super::events::reading;
use super::full_stack::{FullStack, PARTITIONS, read_log};

const DEADLINE: Duration = Duration::from_secs(30);

/// The latest temperature of a device, once it includes the receipt's event.
async fn temperature(cornjacket: &Cornjacket, device: &str, receipt: &Receipt) -> Result<f64, Status> {
    let request = GetProjectionRequest {
        projection: "device_state".into(),
        subject: device.into(),
        consistency_token: receipt.consistency_token.clone(),
    };
    let mut query = cornjacket.query().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let state = query.get_projection(request).await?.into_inner().state.unwrap_or_default();
    let path = ["metrics", "temperature", "value"];
    let mut value = Some(Value { kind: Some(Kind::StructValue(state)) });
    for name in path {
        value = value.and_then(|value| match value.kind {
            Some(Kind::StructValue(mut inner)) => inner.fields.remove(name),
            _ => None,
        });
    }
    match value.and_then(|value| value.kind) {
        Some(Kind::NumberValue(number)) => Ok(number),
        other => Err(Status::internal(format!("no temperature but {other:?}"))),
    }
}

/// Everything of `device_state` that waits, as (offset, has an error).
fn of_device_state() -> ListDeadLettersRequest {
    ListDeadLettersRequest { consumer: "device_state".into(), ..Default::default() }
}

async fn letters(cornjacket: &Cornjacket) -> anyhow::Result<Vec<(u64, bool)>> {
    let listed = cornjacket.admin().await?.list_dead_letters(of_device_state()).await?.into_inner();
    Ok(listed.dead_letters.iter().map(|letter| (letter.offset, !letter.error.is_empty())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn keyed_garbage_on_a_topic_parks_its_key_until_it_is_given_up() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = full_stack.cornjacket(&[])?;
    let process = cornjacket.start().await?;
    let first = cornjacket.append(reading("pump-1", "1", 1.0)).await?;
    assert_eq!(temperature(&cornjacket, "pump-1", &first).await?.to_bits(), 1.0_f64.to_bits());

    let partition = Partitions::new(PARTITIONS).expect("above zero").of_subject("pump-1");
    let folder = tempfile::tempdir()?;
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, b"no event at all")?;
    let kcat = Program::new("kcat").args(["-P", "-b", &full_stack.servers, "-k", "pump-1"]);
    let kcat = kcat.args(["-p", &partition.to_string()]);
    let kcat = kcat.args(["-t", &full_stack.topic("sensor-events")]).arg(&garbage);
    kcat.output(DEADLINE).await?;
    wait::until(DEADLINE, "it is a dead letter", async || {
        letters(&cornjacket).await.is_ok_and(|letters| letters.len() == 1)
    })
    .await?;

    // What follows in its key waits, and whoever asks for it is told; other keys flow.
    let waits = cornjacket.append(reading("pump-1", "2", 2.0)).await?;
    let flows = cornjacket.append(reading("pump-2", "3", 3.0)).await?;
    assert_eq!(temperature(&cornjacket, "pump-2", &flows).await?.to_bits(), 3.0_f64.to_bits());
    let refused = temperature(&cornjacket, "pump-1", &waits).await.expect_err("parked");
    assert_eq!((refused.code(), refused.message().contains("dead letter")), (Code::FailedPrecondition, true));
    let waiting = letters(&cornjacket).await?;
    assert_eq!(waiting.iter().map(|(_, poison)| *poison).collect::<Vec<_>>(), [true, false]);
    let offset = waiting[0].0;

    let mut admin = cornjacket.admin().await?;
    let place = GetDeadLetterRequest {
        consumer: "device_state".into(),
        topic: "sensor-events".into(),
        partition: partition.into(),
        offset,
    };
    let letter = admin.get_dead_letter(place.clone()).await?.into_inner().dead_letter.unwrap_or_default();
    assert_eq!((&letter.value[..], &letter.key[..]), (&b"no event at all"[..], &b"pump-1"[..]));
    let consumers = cornjacket.consumers().await?;
    let sensor = consumers.iter().find(|one| {
        (one.consumer.as_str(), one.topic.as_str(), one.partition)
            == ("device_state", "sensor-events", partition.into())
    });
    let sensor = sensor.expect("it has read there");
    assert_eq!((sensor.parked_keys, sensor.dead_letters, sensor.lag_events), (1, 2, 0));

    // Trying it again does not help; giving it up does, and lets the rest flow in order.
    admin.redrive_dead_letters(RedriveDeadLettersRequest { all: true, ..Default::default() }).await?;
    wait::until(DEADLINE, "it was tried again", async || {
        let letter = admin.clone().get_dead_letter(place.clone()).await;
        letter.is_ok_and(|letter| letter.into_inner().dead_letter.is_some_and(|letter| letter.attempts == 2))
    })
    .await?;
    let discard = DiscardDeadLetterRequest {
        consumer: place.consumer.clone(),
        topic: place.topic.clone(),
        partition: partition.into(),
        offset,
        reason: "somebody else's".into(),
    };
    let unreasoned = DiscardDeadLetterRequest { reason: String::new(), ..discard.clone() };
    let refused = admin.discard_dead_letter(unreasoned).await.expect_err("without a reason");
    assert_eq!(refused.code(), Code::InvalidArgument);
    admin.discard_dead_letter(discard).await?;
    wait::until(DEADLINE, "nothing waits", async || {
        letters(&cornjacket).await.is_ok_and(|letters| letters.is_empty())
    })
    .await?;
    assert_eq!(temperature(&cornjacket, "pump-1", &waits).await?.to_bits(), 2.0_f64.to_bits());

    let log = read_log(&full_stack.database).await?;
    full_stack.check_device_state(&log).await?;
    let audited: Vec<_> = log.iter().filter(|stored| stored.event_type == "system.admin_action").collect();
    assert_eq!(audited.len(), 2, "the redrive and the discard");
    assert_eq!(audited[1].subject, format!("deadLetters/device_state/sensor-events/{partition}/{offset}"));
    stop(process).await
}

/// PostgreSQL keeps no NUL in JSON: an event that the log took can still be one that a projection cannot keep.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_cannot_keep_parks_its_key_alone() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = full_stack.cornjacket(&[])?;
    let process = cornjacket.start().await?;
    let mut unfit = reading("pump-1", "unfit", 1.0);
    if let Some(Payload::SensorReading(reading)) = &mut unfit.payload {
        reading.measurements[0].metric = "a\u{0}b".into();
    }
    cornjacket.append(unfit).await?;
    let flows = cornjacket.append(reading("pump-2", "flows", 3.0)).await?;
    assert_eq!(temperature(&cornjacket, "pump-2", &flows).await?.to_bits(), 3.0_f64.to_bits());
    wait::until(DEADLINE, "it is a dead letter", async || {
        letters(&cornjacket).await.is_ok_and(|letters| letters.len() == 1)
    })
    .await?;
    let listed = cornjacket.admin().await?.list_dead_letters(of_device_state()).await?.into_inner();
    of_others(&cornjacket, &listed.dead_letters[0]).await?;
    stop(process).await
}

/// An operator of other subjects neither sees it nor does anything to it; that of its own does.
async fn of_others(cornjacket: &Cornjacket, letter: &DeadLetter) -> anyhow::Result<()> {
    let limited = async |subject: &str| -> anyhow::Result<_> {
        let request = TokenRequest {
            subjects: Some(vec![subject.to_owned()]),
            ..TokenRequest::new("operator", &[Scope::Admin], AUDIENCE)
        };
        let channel = cornjacket.channel_with(cornjacket.query, &minted(&request)?).await?;
        Ok(AdminServiceClient::new(channel))
    };
    let DeadLetter { consumer, topic, partition, offset, .. } = letter.clone();
    let get = GetDeadLetterRequest { consumer, topic, partition, offset };
    let mut other = limited("pump-2").await?;
    assert_eq!(other.list_dead_letters(of_device_state()).await?.into_inner().dead_letters, []);
    let refused = other.get_dead_letter(get.clone()).await.expect_err("it is not theirs");
    let nowhere = GetDeadLetterRequest { offset: offset + 1_000, ..get.clone() };
    let nothing = other.get_dead_letter(nowhere).await.expect_err("there is none");
    assert_eq!(
        (refused.code(), refused.message()),
        (nothing.code(), nothing.message()),
        "both sound the same"
    );
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut own = limited("pump-1").await?;
    assert_eq!(own.list_dead_letters(of_device_state()).await?.into_inner().dead_letters.len(), 1);
    assert_eq!(own.get_dead_letter(get).await?.into_inner().dead_letter.as_ref(), Some(letter));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_consumer_stops_and_goes_on_where_it_was() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut admin = cornjacket.admin().await?;
    let first = cornjacket.append(reading("pump-1", "1", 1.0)).await?;
    temperature(&cornjacket, "pump-1", &first).await?;

    let nobody = PauseConsumerRequest { consumer: "nobody".into() };
    assert_eq!(admin.pause_consumer(nobody).await.expect_err("unknown").code(), Code::NotFound);
    admin.pause_consumer(PauseConsumerRequest { consumer: "device_state".into() }).await?;
    let state = async || {
        let listed = cornjacket.consumers().await.ok()?;
        let sensor = |one: &&cornjacket_proto::admin::ConsumerProgress| {
            one.consumer == "device_state" && one.topic == "sensor-events"
        };
        listed.iter().find(sensor).map(|one| (one.state.clone(), one.lag_events))
    };
    wait::until(DEADLINE, "it is paused", async || state().await.is_some_and(|(state, _)| state == "paused"))
        .await?;
    let verbose = http_get(cornjacket.ops, "/readyz?verbose").await?;
    assert!(verbose.starts_with("HTTP/1.1 200"), "{verbose}");
    assert!(
        verbose.contains(r#"{"name":"device_state","reason":"","restarts":0,"state":"paused"}"#),
        "{verbose}"
    );
    assert!(!http_get(cornjacket.ops, "/readyz").await?.contains("stages"));
    let second = cornjacket.append(reading("pump-1", "2", 2.0)).await?;
    assert_eq!(state().await, Some(("paused".to_owned(), 1)), "what it does not read is its lag");
    admin.resume_consumer(ResumeConsumerRequest { consumer: "device_state".into() }).await?;
    assert_eq!(temperature(&cornjacket, "pump-1", &second).await?.to_bits(), 2.0_f64.to_bits());

    // The same as an operator sees it.
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let operator = operator()?;
    let program = |verb: &[&str]| operator.clone().args(verb.iter().copied());
    let listed = program(&["consumers", "--server", &server]).output(DEADLINE).await?;
    assert!(
        listed.lines().any(|line| line.starts_with("device_state") && line.contains("sensor-events/0")),
        "{listed}"
    );
    let shown =
        program(&["state", "--server", &server, "get", "device_state", "pump-1"]).output(DEADLINE).await?;
    assert!(shown.contains("\"temperature\""), "{shown}");
    stop(process).await
}
