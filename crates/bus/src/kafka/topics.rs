//! Making the topics, and making sure that they are what the log thinks they are.

use std::time::Instant;

use cornjacket_domain::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::{KafkaBus, PATIENCE, blocking, failed};
use crate::BusError;

pub(super) async fn prepare(bus: &KafkaBus) -> Result<(), BusError> {
    let admin: AdminClient<DefaultClientContext> = bus.client().create().map_err(failed)?;
    let names = Topic::ALL.map(|topic| bus.topic_name(topic));
    let retention = bus.options.retention.as_millis().to_string();
    let partitions = i32::from(bus.options.partitions.count());
    let new: Vec<_> = names
        .iter()
        .map(|name| {
            NewTopic::new(name, partitions, TopicReplication::Fixed(bus.options.replication_factor))
                .set("retention.ms", &retention)
                // By its own clock the broker drops records, and refuses those that seem to be of the future.
                .set("message.timestamp.type", "LogAppendTime")
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    for made in admin.create_topics(&new, &options).await.map_err(failed)? {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(BusError::Outage(format!("topic {name} cannot be made: {code}")));
            }
        }
    }
    blocking(move || names.iter().try_for_each(|name| check(&admin, name, partitions))).await
}

/// Subjects would change places if the number of partitions were another one.
fn check(admin: &AdminClient<DefaultClientContext>, name: &str, wanted: i32) -> Result<(), BusError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).map_err(failed)?;
        let found = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if i32::try_from(found) == Ok(wanted) {
            return Ok(());
        }
        // A topic that was just made is not known everywhere at once.
        if found > 0 {
            return Err(BusError::Refused(format!(
                "bus.partitions: topic {name} has {found} partitions, but this log began with {wanted}"
            )));
        }
        if Instant::now() > deadline {
            return Err(BusError::Outage(format!("topic {name} was made but is not there")));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
