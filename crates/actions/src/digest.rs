//! What piles up is told as one, where its rule says so.

use std::collections::BTreeSet;

use cornjacket_domain::Timestamp;
use cornjacket_store::{Delivery, StoreError, Tx};
use prost::{DecodeError, Message as _};

use crate::Message;
use crate::gathered::{As, Gathered, Name};

/// Deliveries that become one at once, at the most: all of them are read.
const MOST: u32 = 250;

/// Makes of each delivery that goes, and of those that wait with it, one. Those that have become a part of another no longer go.
pub async fn gather(tx: &mut dyn Tx, going: &mut Vec<Delivery>, now: Timestamp) -> Result<(), StoreError> {
    let mut gathered = BTreeSet::new();
    for head in going.iter_mut().filter(|head| head.told.gathers) {
        if gathered.contains(&head.told.id) {
            continue;
        }
        let parts = tx.gatherable(head, MOST).await?;
        if parts.is_empty() {
            continue;
        }
        match digest(head, &parts, now) {
            Ok(Some(message)) => {
                head.told.message = message.encode_to_vec();
                tx.gather(&parts, &head.told.id, &head.told.message, now).await?;
                gathered.extend(parts.into_iter().map(|part| part.told.id));
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(delivery = head.told.id, %error, "deliveries are told one by one: one does not decode");
            }
        }
    }
    going.retain(|one| !gathered.contains(&one.told.id));
    Ok(())
}

/// What is told of all of them, in the order in which they were decided.
fn digest(head: &Delivery, parts: &[Delivery], now: Timestamp) -> Result<Option<Message>, DecodeError> {
    let mut all: Vec<&Delivery> = parts.iter().chain([head]).collect();
    all.sort_by_key(|one| one.number);
    let mut gathered = Gathered::default();
    for one in all {
        gathered.add(Message::decode(one.told.message.as_slice())?);
    }
    Ok(gathered.message(&Name { told_as: As::Digest, id: &head.told.id, group: "", now }))
}
