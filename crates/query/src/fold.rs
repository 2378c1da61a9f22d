//! Folding events into states, for the projector and for rebuilds alike.

use std::collections::BTreeMap;

use cornjacket_bus::{Delivered, HandlerError};
use cornjacket_domain::stored::effective_time;
use cornjacket_store::State;

use crate::projections::{Declared, Happening, Parameters};

/// What happened to each subject, in order.
pub(crate) type BySubject<'a> = BTreeMap<&'a str, Vec<Happening<'a>>>;

/// The events that a projection reads, by subject.
pub(crate) fn group<'a>(projection: &Declared, events: &'a [Delivered]) -> BySubject<'a> {
    let mut by_subject = BySubject::new();
    for Delivered { event, ingest_time, .. } in events {
        if projection.reads(&event.r#type) {
            let happening = Happening { event, time: effective_time(event, *ingest_time) };
            by_subject.entry(&event.subject).or_default().push(happening);
        }
    }
    by_subject
}

/// The states after the events, given those before.
pub(crate) fn fold(
    projection: &Declared,
    parameters: &Parameters,
    known: &[State],
    events: BySubject<'_>,
) -> Result<Vec<State>, HandlerError> {
    let known: BTreeMap<&str, &State> = known.iter().map(|state| (state.subject.as_str(), state)).collect();
    let mut states = Vec::with_capacity(events.len());
    for (subject, events) in events {
        let known = known.get(subject).copied();
        states.extend(fold_one(projection, parameters, subject, known, &events)?);
    }
    Ok(states)
}

fn fold_one(
    projection: &Declared,
    parameters: &Parameters,
    subject: &str,
    known: Option<&State>,
    events: &[Happening<'_>],
) -> Result<Option<State>, HandlerError> {
    let json = projection.fold(known.map(|state| state.json.as_str()), events, parameters);
    let json = json
        .map_err(|error| HandlerError::Reject { position: events[0].event.position, source: error.into() })?;
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
