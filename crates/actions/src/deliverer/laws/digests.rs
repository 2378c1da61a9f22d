//! What piles up is told as one where its rule says so, and nothing of it is lost.

use cornjacket_proto::events::Event;
use cornjacket_store::{DeliveryFilter, DeliveryState, NewDelivery};
use prost::Message as _;

use super::bed::{Bed, DEFAULT_RATE, MINUTE, SECOND, endpoint, ids};
use super::laws;
use crate::breaker::Answer;
use crate::{Message, testing};

laws!(what_piles_up_is_one_delivery_and_pages_go_first, what_was_tried_is_never_told_otherwise);

/// Has these told now, which may be told together.
async fn pile_up(bed: &Bed, endpoint: &str, ids: &[String]) -> anyhow::Result<()> {
    let told = |id: &String| {
        let event = Event { id: id.clone(), source: "sensors".into(), ..Event::default() };
        let message = Message { title: format!("{id} is hot"), event: Some(event), ..Message::default() };
        NewDelivery {
            gathers: true,
            order_key: id.clone(),
            message: message.encode_to_vec(),
            now: bed.now(),
            ..testing::delivery(id, endpoint).told
        }
    };
    let mut tx = bed.store.offsets.begin_apart().await?;
    tx.deliver(&ids.iter().map(told).collect::<Vec<_>>()).await?;
    Ok(tx.commit().await?)
}

async fn message(bed: &Bed, id: &str) -> anyhow::Result<Message> {
    Ok(Message::decode(bed.get(id).await?.0.told.message.as_slice())?)
}

async fn what_piles_up_is_one_delivery_and_pages_go_first(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("chat")).await?;
    bed.define(&endpoint("pager")).await?;
    bed.tell("chat", &ids("before", 10), 0).await?;
    let mut desks = [bed.desk(DEFAULT_RATE)?, bed.desk(DEFAULT_RATE)?];
    let began = bed.now();
    let sent = bed.run(&mut desks, began + SECOND, |_| Answer::Good).await?;
    assert_eq!(sent.len(), 10, "that is all for a minute");
    for batch in ids("warm", 100).chunks(10) {
        pile_up(&bed, "chat", batch).await?;
    }
    pile_up(&bed, "pager", &ids("other", 1)).await?;
    bed.tell("pager", &ids("page", 4), 0).await?;
    drop(desks);
    let bed = bed.restart().await?;
    let mut desks = [bed.desk(DEFAULT_RATE)?, bed.desk(DEFAULT_RATE)?];
    let sent = bed.run(&mut desks, began + MINUTE * 3, |_| Answer::Good).await?;
    let told: Vec<&str> = sent.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told[..4].iter().all(|one| one.starts_with("page")), "{told:?}");
    assert_eq!(told[4..], ["warm-000", "other-000"]);
    assert!(sent.iter().all(|one| one.at == began + MINUTE));
    let digest = message(&bed, "warm-000").await?;
    assert_eq!(digest.title, "warm-000 is hot (and 99 more)");
    assert!(digest.text.starts_with("- [warning] warm-000 is hot\n- [warning] warm-001"), "{}", digest.text);
    assert_eq!(digest.event.map(|event| event.r#type), Some("notification.digest".into()));
    assert_eq!(message(&bed, "other-000").await?.title, "other-000 is hot", "one alone is told as it is");
    let filter = DeliveryFilter { state: Some(DeliveryState::Gathered), ..DeliveryFilter::default() };
    let parts = bed.store.deliveries.list(&filter, None, 200).await?;
    assert_eq!(parts.len(), 99);
    assert!(parts.iter().all(|one| one.told_with.as_deref() == Some("warm-000") && one.attempts == 0));
    Ok(())
}

async fn what_was_tried_is_never_told_otherwise(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("chat")).await?;
    pile_up(&bed, "chat", &ids("first", 3)).await?;
    let mut desks = [bed.desk(None)?];
    let began = bed.now();
    let sent = bed.run(&mut desks, began + SECOND / 2, |_| Answer::Bad).await?;
    assert_eq!(sent.len(), 1, "three are one: {sent:?}");
    let before = message(&bed, "first-000").await?;
    pile_up(&bed, "chat", &ids("second", 3)).await?;
    let sent = bed.run(&mut desks, began + SECOND * 10, |_| Answer::Good).await?;
    let told: Vec<&str> = sent.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(told, ["second-000", "first-000"], "it waits for its next try");
    assert_eq!(message(&bed, "first-000").await?, before, "a receiver may have it");
    Ok(())
}
