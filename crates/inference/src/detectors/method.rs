//! What the detectors of this crate share: parameters that all series have in common, beside a state for each.
//!
//! A [`Method`] is parameters that were checked, and says what they make of a state and a sample. [`Prepared`] is the
//! model that it is, [`Watcher`] the detector. A state that is saved begins with a seal: an FNV-1a hash over the kind, its
//! version, the parameters and the state itself, so that what another model saved, or what is damaged, is refused.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::Sample;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Bar, Detector, Feedback, Finding, Kind, Model, StateError, Verdict};

/// A way of finding what is unusual, with its parameters.
pub(crate) trait Method: Debug + Send + Sync + Serialize + 'static {
    /// What is kept of a series. It is bounded.
    type State: Debug + Default + Send + Serialize + DeserializeOwned + 'static;

    /// The state of a series of which nothing was seen, as [`Model::start`].
    fn start(&self, _seed: u64) -> Self::State {
        Self::State::default()
    }

    /// As [`Detector::observe`]. The factor is the bar's.
    fn observe(&self, state: &mut Self::State, sample: &Sample, factor: f64) -> Verdict;

    /// As [`Model::minds_silence`].
    const MINDS_SILENCE: bool = false;

    /// As [`Detector::patience`].
    fn patience(&self, _state: &Self::State, _factor: f64) -> Option<(Duration, Finding)> {
        None
    }

    /// The bytes that a state owns outside itself.
    fn owned_bytes(_state: &Self::State) -> usize {
        0
    }
}

/// A model that is a method.
#[derive(Debug)]
pub(crate) struct Prepared<M> {
    method: Arc<M>,
    seal: Seal,
}

impl<M: Method> Prepared<M> {
    pub fn model(kind: &dyn Kind, method: M) -> Box<dyn Model> {
        let parameters = serde_json::to_value(&method).unwrap_or_default().to_string();
        let seal = Seal::default().with(kind.name()).with(kind.version()).with(&parameters);
        Box::new(Self { method: Arc::new(method), seal })
    }

    fn watcher(&self, bar: Bar, state: M::State) -> Box<dyn Detector> {
        Box::new(Watcher { method: Arc::clone(&self.method), seal: self.seal, bar, state })
    }
}

impl<M: Method> Model for Prepared<M> {
    fn parameters(&self) -> Value {
        serde_json::to_value(self.method.as_ref()).unwrap_or_default()
    }

    fn minds_silence(&self) -> bool {
        M::MINDS_SILENCE
    }

    fn start(&self, seed: u64) -> Box<dyn Detector> {
        self.watcher(Bar::default(), self.method.start(seed))
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn Detector>, StateError> {
        let (bar, state) = self.seal.open(state)?;
        Ok(self.watcher(bar, state))
    }
}

/// A detector that is a method with a state.
#[derive(Debug)]
struct Watcher<M: Method> {
    method: Arc<M>,
    seal: Seal,
    bar: Bar,
    state: M::State,
}

impl<M: Method> Detector for Watcher<M> {
    fn observe(&mut self, sample: &Sample) -> Verdict {
        self.method.observe(&mut self.state, sample, self.bar.factor())
    }

    fn patience(&self) -> Option<(Duration, Finding)> {
        self.method.patience(&self.state, self.bar.factor())
    }

    fn learn(&mut self, feedback: Feedback) {
        self.bar = self.bar.after(feedback);
    }

    fn save(&self) -> Vec<u8> {
        self.seal.close(&(self.bar, &self.state))
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + M::owned_bytes(&self.state)
    }
}

/// An FNV-1a hash of 64 bits (Fowler, Noll and Vo; RFC 9923) of everything so far. Two texts that differ in one byte never
/// have the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal(u64);

impl Default for Seal {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Seal {
    const BYTES: usize = 8;

    /// With one more text.
    #[must_use]
    pub fn with(self, text: &str) -> Self {
        self.over(text.as_bytes()).over(&[0xff])
    }

    fn over(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// The bytes of a state, sealed.
    pub fn close<S: Serialize>(self, state: &S) -> Vec<u8> {
        // Only a sequence that does not know its length could fail; states have none. Without a seal it is refused.
        let Ok(mut bytes) = postcard::to_extend(state, vec![0; Self::BYTES]) else { return Vec::new() };
        let seal = self.over(&bytes[Self::BYTES..]).0.to_le_bytes();
        bytes[..Self::BYTES].copy_from_slice(&seal);
        bytes
    }

    /// The state that [`Seal::close`] made these bytes of.
    pub fn open<S: DeserializeOwned>(self, bytes: &[u8]) -> Result<S, StateError> {
        let (seal, state) = bytes.split_first_chunk().ok_or_else(|| StateError("it is too short".into()))?;
        if self.over(state).0 != u64::from_le_bytes(*seal) {
            return Err(StateError("another model saved it, or it is damaged".into()));
        }
        match postcard::take_from_bytes(state) {
            Ok((state, [])) => Ok(state),
            Ok(_) => Err(StateError("it is too long".into())),
            Err(error) => Err(StateError(error.to_string())),
        }
    }
}
