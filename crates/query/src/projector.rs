//! From events to states.

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::Topic;
use cornjacket_store::{Build, StoreError, Tx};

use crate::fold::{fold, group};
use crate::projections::{Declared, Parameters};

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
    type Prepared = ();

    fn name(&self) -> &str {
        self.projection.id.name
    }

    fn topics(&self) -> &[Topic] {
        &self.topics
    }

    async fn handle(&self, tx: &mut Box<dyn Tx>, events: &[Delivered], (): ()) -> Result<(), HandlerError> {
        let by_subject = group(self.projection, events);
        let subjects: Vec<&str> = by_subject.keys().copied().collect();
        if subjects.is_empty() {
            return Ok(());
        }
        let id = self.projection.id;
        let known = tx.load_states(id, Build::Live, &subjects).await.map_err(failed)?;
        let states = fold(self.projection, &self.parameters, &known, by_subject)?;
        tx.save_states(id, Build::Live, &states).await.map_err(failed)
    }
}

fn failed(error: StoreError) -> HandlerError {
    HandlerError::of_store(error.is_unfit(), error)
}
