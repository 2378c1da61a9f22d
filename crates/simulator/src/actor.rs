//! Whoever sends events.

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::Event;

use crate::device::Device;
use crate::options::Options;
use crate::random::Random;
use crate::service::Service;
use crate::user::User;

/// What kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Device = 1,
    User = 2,
    Service = 3,
}

/// An actor's name among all: the same whoever else there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId {
    pub kind: Kind,
    pub number: u32,
}

/// What an actor's numbers are for. What befalls its events on their way must not change what it does.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Behaviour = 0,
    Disorder = 1,
}

impl ActorId {
    /// Its own numbers, for that purpose.
    pub fn random(self, seed: u64, purpose: Purpose) -> Random {
        let stream = (self.kind as u64) << 40 | (purpose as u64) << 32 | u64::from(self.number);
        Random::new(seed, stream)
    }
}

/// An actor and all that it remembers.
#[derive(Debug)]
pub enum Actor {
    Device(Box<Device>),
    User(User),
    Service(Service),
}

/// What happens to an actor.
#[derive(Debug)]
pub struct Happening {
    pub at: Timestamp,
    pub event: Event,
}

impl Actor {
    /// As it is when the clock begins.
    pub fn new(id: ActorId, options: &Options) -> Self {
        let random = id.random(options.seed, Purpose::Behaviour);
        match id.kind {
            Kind::Device => Self::Device(Box::new(Device::new(id.number, random, options))),
            Kind::User => Self::User(User::new(id.number, random, options.start)),
            Kind::Service => Self::Service(Service::new(id.number, random, options.start)),
        }
    }

    /// What happens to it next, in its own order of time. It never ends.
    pub fn next(&mut self) -> Happening {
        match self {
            Self::Device(device) => device.next(),
            Self::User(user) => user.next(),
            Self::Service(service) => service.next(),
        }
    }
}
