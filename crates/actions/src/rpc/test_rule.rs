//! `TestRule`: what a rule would decide on an event or on what is stored, of which nobody is told and nothing is written.

mod history;
mod report;

use std::time::Duration;

use cornjacket_bus::Delivered;
use cornjacket_domain::{Event, Invalid, StoredEvent, Timestamp};
use cornjacket_proto::actions::test_rule_request::{Over, Tested};
use cornjacket_proto::actions::test_rule_response::Problem;
use cornjacket_proto::actions::{self as proto, TestRuleRequest, TestRuleResponse};
use cornjacket_proto::deadline::time_left;
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{DefinitionKind, Definitions, Select};
use prost::Message as _;
use tokio::time::Instant;
use tonic::Request;

pub use self::history::TestTurns;
use self::history::{MOST_EVENTS, Reading};
use self::report::Report;
use super::definitions::found;
use super::{ActionRpc, caller_of, required, rules};
use crate::dispatcher::trial::Trial;
use crate::rule_set::RuleSet;
use crate::rules::Rule;

/// How long a test may take, and what of that is left for the answer's way back.
const LONGEST: Duration = Duration::from_secs(10);
const WAY_BACK: Duration = Duration::from_millis(250);

pub(super) async fn test(
    rpc: &ActionRpc,
    request: Request<TestRuleRequest>,
) -> Result<TestRuleResponse, Failure> {
    caller_of(&request)?;
    let within = time_left(request.metadata()).map_or(LONGEST, |left| left.min(LONGEST));
    let deadline = Instant::now() + within.saturating_sub(WAY_BACK);
    let TestRuleRequest { tested, over, limit } = request.into_inner();
    let definitions = rpc.defined().await?;
    let definition = definition(tested, &definitions)?;
    let rule = compiled(&definition)?;
    let select = select(&rule);
    let rules = RuleSet::trial(rule, &definitions);
    let mut trial = Trial::new(&rules);
    let mut report = Report::new(limit, problems(&definition, &definitions));
    match over {
        None => return Err(Failure::invalid("event", "an event or a history must be set", "REQUIRED")),
        Some(Over::Event(event)) => {
            let now = rpc.clock.now();
            let event = taken_in(rpc, event, now)?;
            report.add(trial.event(&event, now));
        }
        Some(Over::History(history)) => {
            let _turn = rpc.test_turns.next(deadline).await?;
            let reading = Reading { snapshots: rpc.snapshots.as_ref(), select, most: MOST_EVENTS, deadline };
            let each = |event: &Delivered| report.add(trial.event(event, event.ingest_time));
            let next = reading.run(&history, each).await?;
            report.goes_on_after(next);
        }
    }
    Ok(report.response())
}

/// What is tested, as it is stated or as it is kept.
fn definition(tested: Option<Tested>, definitions: &Definitions) -> Result<proto::Rule, Failure> {
    match tested {
        None => Err(Failure::invalid("rule", "a rule or the name of one must be set", "REQUIRED")),
        Some(Tested::Rule(rule)) => Ok(rule),
        Some(Tested::Name(name)) => {
            required("name", &name)?;
            rules::to_proto(found(definitions, DefinitionKind::Rule, &name)?)
        }
    }
}

/// It decides also where it is disabled: that is what tests are for.
fn compiled(definition: &proto::Rule) -> Result<Rule, Failure> {
    let enabled = proto::Rule { disabled: false, ..definition.clone() };
    Rule::try_new(&enabled).map_err(|problems| Invalid::Fields(problems).into_failure("rule"))
}

/// What the log finds faster than the rule looks.
fn select(rule: &Rule) -> Select {
    let (event_type, subject) = rule.only();
    Select { subject: subject.map(str::to_owned), event_type: event_type.map(str::to_owned) }
}

/// An event that nobody has stored, as it would be if it were stored now: position 0 is that of none.
fn taken_in(
    rpc: &ActionRpc,
    event: cornjacket_proto::events::Event,
    now: Timestamp,
) -> Result<Delivered, Failure> {
    let event = Event::new(event, now, &rpc.limits).map_err(|invalid| invalid.into_failure("event"))?;
    delivered(&StoredEvent {
        position: 0,
        ingest_time: now,
        event_type: event.event_type().to_owned(),
        subject: event.subject().to_owned(),
        encoded: event.encoded().clone(),
    })
}

/// An event of the log as consumers have it.
pub(super) fn delivered(stored: &StoredEvent) -> Result<Delivered, Failure> {
    let event = stored.decode().map_err(|error| {
        tracing::error!(%error, position = stored.position, "an event of the log does not decode");
        Failure::new(ErrorKind::Internal, "an event of the log does not decode")
    })?;
    Ok(Delivered { offset: stored.position, ingest_time: stored.ingest_time, event })
}

/// Endpoints that would not be told.
fn problems(rule: &proto::Rule, definitions: &Definitions) -> Vec<Problem> {
    let problem = |(index, name): (usize, &String)| {
        let description = match definitions.get(DefinitionKind::Endpoint, name) {
            None => format!("names no endpoint: there is no {name:?}"),
            Some(kept) => {
                let endpoint = proto::Endpoint::decode(kept.bytes.as_slice());
                if !endpoint.is_ok_and(|endpoint| endpoint.disabled) {
                    return None;
                }
                format!("the endpoint {name:?} is disabled")
            }
        };
        Some(Problem { field: format!("rule.endpoints[{index}]"), description })
    };
    rule.endpoints.iter().enumerate().filter_map(problem).collect()
}
