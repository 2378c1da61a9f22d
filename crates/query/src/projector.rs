//! From events to states.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::Topic;
use cornjacket_domain::stored::effective_time;
use cornjacket_store::{State, StoreError, Tx};

use crate::projections::{Declared, Happening, Parameters};

/// Keeps the states of one projection: a consumer of its own, so that trouble in one projection is that one's alone.
#[derive(Debug)]
pub struct Projector {
    projection: &'static Declared,
    parameters: Parameters,
    topics: Vec<Topic>,
}

impl Projector {
    /// The projector of `projection`.
    pub fn new(projection: &'static Declared, parameters: Parameters) -> Self {
        Self { topics: projection.topics(), projection, parameters }
    }
}

#[async_trait]
impl Handler<Box<dyn Tx>> for Projector {
    fn name(&self) -> &str {
        self.projection.id.name
    }

    fn topics(&self) -> &[Topic] {
        &self.topics
    }

    async fn handle(&self, tx: &mut Box<dyn Tx>, events: &[Delivered]) -> Result<(), HandlerError> {
        let by_subject = self.group(events);
        let subjects: Vec<&str> = by_subject.keys().copied().collect();
        if subjects.is_empty() {
            return Ok(());
        }
        let loaded = tx.load_states(self.projection.id, &subjects).await.map_err(failed)?;
        let mut known: BTreeMap<&str, &State> =
            loaded.iter().map(|state| (state.subject.as_str(), state)).collect();
        let mut states = Vec::with_capacity(by_subject.len());
        for (subject, happenings) in by_subject {
            states.extend(self.fold(subject, known.remove(subject), &happenings)?);
        }
        tx.save_states(self.projection.id, &states).await.map_err(failed)
    }
}

impl Projector {
    fn group<'a>(&self, events: &'a [Delivered]) -> BTreeMap<&'a str, Vec<Happening<'a>>> {
        let mut by_subject: BTreeMap<&str, Vec<Happening<'_>>> = BTreeMap::new();
        for Delivered { event, ingest_time, .. } in events {
            if self.projection.reads(&event.r#type) {
                let happening = Happening { event, time: effective_time(event, *ingest_time) };
                by_subject.entry(&event.subject).or_default().push(happening);
            }
        }
        by_subject
    }

    fn fold(
        &self,
        subject: &str,
        known: Option<&State>,
        events: &[Happening<'_>],
    ) -> Result<Option<State>, HandlerError> {
        let json =
            self.projection.fold(known.map(|state| state.json.as_str()), events, &self.parameters).map_err(
                |error| HandlerError::Reject { position: events[0].event.position, source: error.into() },
            )?;
        let Some(json) = json else { return Ok(None) };
        let marks = events.iter().map(Happening::mark);
        let before = known.map(|state| (state.event_time, state.last_position));
        let times = marks.clone().map(|mark| mark.time).chain(before.map(|(time, _)| time));
        let positions = marks.map(|mark| mark.position).chain(before.map(|(_, position)| position));
        Ok(Some(State {
            subject: subject.to_owned(),
            json,
            last_position: positions.max().unwrap_or_default(),
            event_time: times.max().unwrap_or_default(),
        }))
    }
}

fn failed(error: StoreError) -> HandlerError {
    HandlerError::of_store(error.is_unfit(), error)
}
