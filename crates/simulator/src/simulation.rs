//! Everybody's events, in the order in which they are sent.

use std::collections::BTreeMap;

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::Event;

use crate::actor::{Actor, ActorId, Happening, Kind, Purpose};
use crate::disorder::Fate;
use crate::options::Options;
use crate::random::Random;

/// An event on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// When it is sent, by the simulated clock: never before it happened, and for late ones well after.
    pub at: Timestamp,
    /// The event.
    pub event: Event,
}

/// The events of a simulation, in the order in which they are sent. It ends only when there is nobody.
#[derive(Debug)]
pub struct Simulation {
    options: Options,
    /// By when they are heard of next.
    actors: BTreeMap<(Timestamp, ActorId), Waiting>,
    /// What has happened and is still to be sent, by when; of one time, in the order in which it happened.
    outbox: BTreeMap<(Timestamp, u64), Event>,
    counted: u64,
}

/// An actor with what happens to it next.
#[derive(Debug)]
struct Waiting {
    actor: Actor,
    next: Event,
    fate: Random,
}

impl Simulation {
    /// From the beginning of its clock.
    pub fn new(options: Options) -> Self {
        let mut simulation = Self { options, actors: BTreeMap::new(), outbox: BTreeMap::new(), counted: 0 };
        let Options { devices, users, services, .. } = options;
        for (kind, count) in [(Kind::Device, devices), (Kind::User, users), (Kind::Service, services)] {
            for number in 0..count {
                let id = ActorId { kind, number };
                let fate = id.random(options.seed, Purpose::Disorder);
                simulation.wait(id, Actor::new(id, &options), fate);
            }
        }
        simulation
    }

    fn wait(&mut self, id: ActorId, mut actor: Actor, fate: Random) {
        let Happening { at, event: next } = actor.next();
        self.actors.insert((at, id), Waiting { actor, next, fate });
    }

    /// Lets the next thing happen.
    fn step(&mut self) -> Option<()> {
        let ((at, id), Waiting { actor, next: mut event, fate: mut random }) = self.actors.pop_first()?;
        let fate = Fate::draw(&self.options, &mut random);
        fate.befall(&mut event);
        let sent = at + fate.delay;
        if let Some(again) = fate.again {
            self.post(sent + again, event.clone());
        }
        self.post(sent, event);
        self.wait(id, actor, random);
        Some(())
    }

    fn post(&mut self, at: Timestamp, event: Event) {
        self.outbox.insert((at, self.counted), event);
        self.counted += 1;
    }

    /// Whether what is first in the outbox is sent before anything else happens.
    fn is_due(&self) -> bool {
        let due = self.outbox.first_key_value().map(|((at, _), _)| at);
        let next = self.actors.first_key_value().map(|((at, _), _)| at);
        due.is_some_and(|due| next.is_none_or(|next| due <= next))
    }
}

impl Iterator for Simulation {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        while !self.is_due() {
            self.step()?;
        }
        let ((at, _), event) = self.outbox.pop_first()?;
        Some(Sent { at, event })
    }
}

#[cfg(test)]
pub(crate) mod tests;
