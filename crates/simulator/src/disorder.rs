//! What befalls events on their way: some come late, some twice, some cannot be handled where they arrive.

use std::time::Duration;

use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;

use crate::options::Options;
use crate::random::Random;

/// Whoever did not hear back tries again within this.
const AGAIN_WITHIN: Duration = Duration::from_secs(30);

/// What befalls one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How long after it happened it is sent.
    pub delay: Duration,
    /// How long after that it is sent once more.
    pub again: Option<Duration>,
    poison: bool,
}

impl Fate {
    /// Draws as many numbers whatever the options, so that a share that is changed leaves the others as they were.
    pub fn draw(options: &Options, random: &mut Random) -> Self {
        let (late, delay) = (random.happens(options.late), random.span(Duration::ZERO, options.late_by));
        let (twice, again) = (random.happens(options.duplicates), random.span(Duration::ZERO, AGAIN_WITHIN));
        Self {
            delay: if late { delay } else { Duration::ZERO },
            again: twice.then_some(again),
            poison: random.happens(options.poison),
        }
    }

    /// Makes a reading one that the log takes and a state on PostgreSQL does not: there is no NUL in its JSON.
    pub fn befall(self, event: &mut Event) {
        if let (true, Some(Payload::SensorReading(reading))) = (self.poison, &mut event.payload) {
            for measurement in &mut reading.measurements {
                measurement.metric.push_str("\0poison");
            }
        }
    }
}
