//! The port onto what operators define of actions: rules, endpoints and silences. What they say is for others to read; here it is bytes
//! with a name and a version.

use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::StoreError;

/// What a definition is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionKind {
    /// What is told to whom.
    Rule,
    /// Where something is told.
    Endpoint,
    /// When something is not told.
    Silence,
}

impl DefinitionKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rule, Self::Endpoint, Self::Silence];

    /// As it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Endpoint => "endpoint",
            Self::Silence => "silence",
        }
    }

    /// The one that is kept so.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Nobody where nobody has a name.
    pub by: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Something that is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What it is of.
    pub kind: DefinitionKind,
    /// Its name among those of its kind.
    pub name: String,
    /// From 1 on, also over a deletion: no version is given twice.
    pub version: u32,
    /// What it says.
    pub bytes: Vec<u8>,
    /// Who made it.
    pub made: Signature,
    /// Who changed it last.
    pub changed: Signature,
}

/// Everything that is defined at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Changes that there have been.
    pub revision: u64,
    /// By kind and name.
    pub all: Vec<Definition>,
}

impl Definitions {
    /// Those of a kind, by name.
    pub fn of(&self, kind: DefinitionKind) -> impl Iterator<Item = &Definition> {
        self.all.iter().filter(move |one| one.kind == kind)
    }

    /// The one of that name.
    pub fn get(&self, kind: DefinitionKind, name: &str) -> Option<&Definition> {
        self.of(kind).find(|one| one.name == name)
    }
}

/// Secrets that an endpoint has had and that are good for a while beside the last one, at the most.
pub const MOST_FORMER_SECRETS: u8 = 10;

/// A secret that takes the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSecret<'a> {
    /// It, sealed.
    pub sealed: &'a [u8],
    /// Until when those before it are good as well, at the longest; with a time that is not to come they no longer are.
    pub former_until: Timestamp,
}

/// A change to what is defined.
#[derive(Clone, Copy, Debug)]
pub struct Redefinition<'a> {
    /// What whoever changes has seen: it is good for that alone.
    pub revision: u64,
    /// Of what ...
    pub kind: DefinitionKind,
    /// ... by which name.
    pub name: &'a str,
    /// What it says from now on; nothing ends it.
    pub bytes: Option<&'a [u8]>,
    /// An endpoint's secret; nothing leaves it as it is. All of them go with the endpoint.
    pub secret: Option<NewSecret<'a>>,
    /// Whether an endpoint that was not well is one again that nothing is known of.
    pub forgives: bool,
    /// Who does it.
    pub by: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redefined {
    /// It is done.
    Done,
    /// Somebody else has changed something meanwhile: look again.
    Moved,
}

/// What operators define.
#[async_trait]
pub trait Defining: Debug + Send + Sync {
    /// Everything.
    async fn read(&self) -> Result<Definitions, StoreError>;

    /// Changes something, if nothing else was changed since it was looked at.
    async fn redefine(&self, change: &Redefinition<'_>) -> Result<Redefined, StoreError>;

    /// An endpoint's secrets that are good at that time, sealed: the last one, and those before it, the newest first. Nothing when the
    /// endpoint is no longer what it is in that version: they may be for another place.
    async fn secrets(
        &self,
        endpoint: &str,
        version: u32,
        now: Timestamp,
    ) -> Result<Option<Vec<Vec<u8>>>, StoreError>;
}

/// What is defined, within a transaction.
#[async_trait]
pub trait DefinitionsTx: Send {
    /// Changes that there have been.
    async fn revision(&mut self) -> Result<u64, StoreError>;

    /// Everything.
    async fn definitions(&mut self) -> Result<Definitions, StoreError>;
}
