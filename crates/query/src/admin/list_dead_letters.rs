//! `ListDeadLetters`: what could not be handled, page by page.

use bytes::Bytes;
use cornjacket_domain::Caller;
use cornjacket_proto::admin::{ListDeadLettersRequest, ListDeadLettersResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::{LetterFilter, LetterId};
use tonic::Request;

use super::{AdminRpc, authorize_key, to_proto};
use crate::rpc::{given, printable, store_failed};
use cornjacket_domain::page::{self, Cursor};

/// Where a page ended.
#[derive(Clone, PartialEq, prost::Message)]
struct After {
    #[prost(string, tag = "1")]
    consumer: String,
    #[prost(string, tag = "2")]
    topic: String,
    #[prost(uint32, tag = "3")]
    partition: u32,
    #[prost(uint64, tag = "4")]
    offset: u64,
}

/// What is empty was not given.
pub(super) fn filter(consumer: String, topic: String, key: Bytes) -> Result<LetterFilter, Failure> {
    printable("consumer", &consumer)?;
    printable("topic", &topic)?;
    let key = Some(key).filter(|key| !key.is_empty());
    Ok(LetterFilter { consumer: given(consumer), topic: given(topic), key })
}

pub(super) async fn list_dead_letters(
    rpc: &AdminRpc,
    request: Request<ListDeadLettersRequest>,
) -> Result<ListDeadLettersResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let ListDeadLettersRequest { consumer, topic, key, page_size, page_token } = request.into_inner();
    let size = page::size(page_size)?;
    let filter = filter(consumer, topic, key)?;
    if let Some(key) = &filter.key {
        authorize_key(&caller, key)?;
    }
    let cursor = Cursor::of(format!("deadLetters {filter:?}"));
    let after: Option<After> = cursor.read(&page_token)?;
    let after = after.map(|after| LetterId {
        consumer: after.consumer,
        topic: after.topic,
        partition: u16::try_from(after.partition).unwrap_or(u16::MAX),
        offset: after.offset,
    });
    let letters = rpc.dead_letters.list(&filter, after.as_ref(), size).await;
    let letters = letters.map_err(|error| store_failed(&error))?;
    let last = letters.last().filter(|_| letters.len() == size as usize).map(|last| After {
        consumer: last.at.consumer.clone(),
        topic: last.at.topic.to_owned(),
        partition: last.at.partition.into(),
        offset: last.offset,
    });
    Ok(ListDeadLettersResponse {
        next_page_token: last.map(|last| cursor.write(&last)).unwrap_or_default(),
        dead_letters: letters
            .into_iter()
            .filter(|letter| authorize_key(&caller, &letter.key).is_ok())
            .map(to_proto)
            .collect(),
    })
}
