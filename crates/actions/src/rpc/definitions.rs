//! What rules and endpoints have in common: changed by who has seen the last change, listed by name.

use cornjacket_domain::Timestamp;
use cornjacket_domain::page::{self, Cursor};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::audit::Action;
use cornjacket_store::{Definition, DefinitionKind, Definitions, NewSecret, Redefined, Redefinition};

use super::{ActionRpc, no_such, store_failed};

/// Changes that others make while one is being made, at the most.
const TRIES: u32 = 8;

/// A change that is good for what was looked at.
#[derive(Debug)]
pub struct Change {
    /// What it says from now on; nothing ends it.
    pub bytes: Option<Vec<u8>>,
    /// A secret that it has from now on.
    pub secret: Option<Sealed>,
    /// Whether an endpoint begins anew as one that is well.
    pub forgives: bool,
}

/// A secret that takes the place of the one before.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// It, under the key of the settings.
    pub envelope: Vec<u8>,
    /// Until when those before it are good as well.
    pub former_until: Timestamp,
}

impl Change {
    /// It says something else.
    pub const fn to(bytes: Vec<u8>) -> Self {
        Self { bytes: Some(bytes), secret: None, forgives: false }
    }

    /// There is none any more.
    pub const fn end() -> Self {
        Self { bytes: None, secret: None, forgives: true }
    }
}

/// Something that is changed.
#[derive(Debug)]
pub struct Changing<'a> {
    /// What it is of.
    pub kind: DefinitionKind,
    /// Its name.
    pub name: &'a str,
    /// Who asks for what.
    pub action: Action<'a>,
}

impl ActionRpc {
    /// Everything that is defined.
    pub(super) async fn defined(&self) -> Result<Definitions, Failure> {
        self.defining.read().await.map_err(|error| store_failed(&error))
    }

    /// Makes a change that follows from what there is: looks again when somebody else has changed something meanwhile. What
    /// there is afterwards.
    pub(super) async fn change(
        &self,
        changing: &Changing<'_>,
        change: impl Fn(&Definitions) -> Result<Change, Failure> + Send + Sync,
    ) -> Result<Definitions, Failure> {
        let mut is_stored = false;
        for _ in 0..TRIES {
            let seen = self.defined().await?;
            let Change { bytes, secret, forgives } = change(&seen)?;
            if !is_stored {
                changing.action.record(self.log.as_ref(), self.clock.now()).await?;
                is_stored = true;
            }
            let redefinition = Redefinition {
                revision: seen.revision,
                kind: changing.kind,
                name: changing.name,
                bytes: bytes.as_deref(),
                secret: secret
                    .as_ref()
                    .map(|secret| NewSecret { sealed: &secret.envelope, former_until: secret.former_until }),
                forgives,
                by: changing.action.caller.name(),
                now: self.clock.now(),
            };
            match self.defining.redefine(&redefinition).await.map_err(|error| store_failed(&error))? {
                Redefined::Done => return self.defined().await,
                Redefined::Moved => {}
            }
        }
        let message = "others change rules and endpoints all the time: try again";
        Err(Failure::new(ErrorKind::Aborted, message).with_reason("CONTENTION", []))
    }
}

/// The one of that name.
pub fn found<'a>(
    definitions: &'a Definitions,
    kind: DefinitionKind,
    name: &str,
) -> Result<&'a Definition, Failure> {
    definitions.get(kind, name).ok_or_else(|| no_such(kind.name(), name))
}

/// The name of what is changed, which is stated beside it, in it, or both.
pub fn named(beside: String, within: &mut String) -> Result<(), Failure> {
    if within.is_empty() {
        *within = beside;
    } else if !beside.is_empty() && beside != *within {
        return Err(Failure::invalid("name", &format!("is {beside:?}, and {within:?} within"), "CONFLICT"));
    }
    Ok(())
}

/// Refuses a name that is taken.
pub fn is_new(definitions: &Definitions, kind: DefinitionKind, name: &str) -> Result<(), Failure> {
    if definitions.get(kind, name).is_none() {
        return Ok(());
    }
    let message = format!("the {} {name:?} is there already", kind.name());
    Err(Failure::new(ErrorKind::AlreadyExists, message))
}

/// What a version is called by those who change it.
pub fn etag(definition: &Definition) -> String {
    definition.version.to_string()
}

/// Refuses a change to what the caller has not seen; an empty etag is whatever there is.
pub fn is_seen(definition: &Definition, wanted: &str) -> Result<(), Failure> {
    if wanted.is_empty() || wanted == etag(definition) {
        return Ok(());
    }
    let message = format!(
        "etag {wanted:?} is not that of the {} {:?} as it is: {:?}",
        definition.kind.name(),
        definition.name,
        etag(definition)
    );
    Err(Failure::new(ErrorKind::Aborted, message).with_reason("ETAG_MISMATCH", []))
}

/// A page of those of a kind, by name, and what leads to the next one.
pub fn page(
    definitions: &Definitions,
    kind: DefinitionKind,
    page_size: i32,
    page_token: &str,
) -> Result<(Vec<Definition>, String), Failure> {
    let (size, cursor) = (page::size(page_size)? as usize, Cursor::of(kind.name()));
    let after: Option<String> = cursor.read(page_token)?;
    let rest = definitions.of(kind).filter(|one| after.as_ref().is_none_or(|after| one.name > *after));
    let mut found: Vec<Definition> = rest.take(size + 1).cloned().collect();
    let is_last = found.len() <= size;
    found.truncate(size);
    let next = found.last().filter(|_| !is_last).map(|last| cursor.write(&last.name));
    Ok((found, next.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use cornjacket_store::Signature;

    use super::*;
    use crate::testing::NOW;

    fn definition(kind: DefinitionKind, name: &str) -> Definition {
        let made = Signature { by: None, at: NOW };
        Definition {
            kind,
            name: name.into(),
            version: 3,
            bytes: Vec::new(),
            made: made.clone(),
            changed: made,
        }
    }

    #[test]
    fn pages_go_by_name_and_have_those_of_one_kind() {
        let names = ["a", "b", "c", "d"];
        let mut all: Vec<_> = names.map(|name| definition(DefinitionKind::Rule, name)).into();
        all.push(definition(DefinitionKind::Endpoint, "b"));
        let definitions = Definitions { revision: 1, all };
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let (found, next) = page(&definitions, DefinitionKind::Rule, 2, &token).expect("a page");
            seen.extend(found.into_iter().map(|one| one.name));
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, names);
        assert!(page(&definitions, DefinitionKind::Endpoint, 2, &token).is_err(), "of another list");
        assert_eq!(
            page(&definitions, DefinitionKind::Rule, 4, "").expect("a page").1,
            "",
            "no empty page follows"
        );
    }

    #[test]
    fn whoever_has_not_seen_it_does_not_change_it() {
        let definition = definition(DefinitionKind::Rule, "a");
        assert!(is_seen(&definition, "").is_ok());
        assert!(is_seen(&definition, "3").is_ok());
        assert_eq!(is_seen(&definition, "2").expect_err("old").kind(), ErrorKind::Aborted);
    }
}
