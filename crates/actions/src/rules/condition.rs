//! Whether an event is one that a rule tells of: a CEL expression over `event`.
//!
//! What a condition may cost is decided when it is made, by [`super::checker`]; what is left to count while it runs is how many elements
//! of the event its loops go over. Evaluation borrows the event: nothing is copied that is not looked at.

use std::sync::{Arc, LazyLock};
use std::{any::Any, thread};

use cel::common::ast::IdedExpr;
use cel::common::types::{CelBool, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Context, Env, ExecutionError, Value};
use cornjacket_domain::violation::{Reason, brief};
use regex::Regex;

use super::checker::{Checker, Fault, PATTERN, too_many};
use super::seen::{MOST_ELEMENTS, Meter, Seen};
use super::view::View;

/// Characters of a condition.
const LONGEST: usize = 4_096;
/// Brackets within brackets, before anything is parsed.
const MOST_BRACKETS: usize = 24;
/// The parser recurses: what the laws find to be deepest within [`LONGEST`] and [`MOST_BRACKETS`] takes less than 8 MiB in a debug
/// build. What is not touched is not taken.
const PARSER_STACK: usize = 64 << 20;

/// A condition that has been checked.
#[derive(Debug)]
pub(super) struct Condition {
    expression: IdedExpr,
    patterns: Vec<Arc<Regex>>,
}

/// Why a condition says neither yes nor no of an event. It would say the same again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the condition fails: {0}")]
pub struct ConditionFailed(pub String);

impl Condition {
    /// Parses and checks a source that is not empty.
    pub(super) fn new(source: &str) -> Result<Self, Fault> {
        let characters = source.chars().count();
        if characters > LONGEST {
            let description = format!("has {characters} characters; the limit is {LONGEST}");
            return Err(Fault::new(Reason::TooLong, description));
        }
        if deepest_bracket(source) > MOST_BRACKETS {
            return Err(too_many(format!("has brackets nested deeper than {MOST_BRACKETS}")));
        }
        // What is too deep is also dropped there.
        let source = source.to_owned();
        let parser = thread::Builder::new().name("condition".to_owned()).stack_size(PARSER_STACK);
        let parsing = parser.spawn(move || parse(&source));
        let parsing = parsing.map_err(|error| Fault::grammar(format!("cannot be parsed now: {error}")))?;
        parsing.join().unwrap_or_else(|_| Err(Fault::grammar("cannot be parsed")))
    }

    /// Whether it is true of the event.
    pub(super) fn holds(&self, view: &View<'_>) -> Result<bool, ConditionFailed> {
        let message = view.message().map_err(|error| ConditionFailed(error.to_string()))?;
        let meter = Meter::default();
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_as_val("event", Box::new(Seen::new(message, &meter)));
        for (number, pattern) in self.patterns.iter().enumerate() {
            context.add_variable_as_val(format!("{PATTERN}{number}"), Box::new(Pattern(Arc::clone(pattern))));
        }
        let result = Value::resolve_val(&self.expression, &context);
        if meter.is_exceeded() {
            return Err(ConditionFailed(format!("its loops go over more than {MOST_ELEMENTS} elements")));
        }
        let result = result.map_err(|error| ConditionFailed(brief(told(&error)).into_owned()))?;
        let truth = result.downcast_ref::<CelBool>().map(|truth| *truth.inner());
        truth.ok_or_else(|| {
            ConditionFailed(format!("it is neither true nor false, but a {}", result.get_type().name()))
        })
    }
}

fn told(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(name) => format!("the event has no `{name}`"),
        other => other.to_string(),
    }
}

fn parse(source: &str) -> Result<Condition, Fault> {
    let parsed = ENVIRONMENT.parser().parse(source);
    let mut expression = parsed.map_err(|errors| match errors.errors.first() {
        Some(error) => {
            let ((line, column), what) = (error.pos, error.msg.lines().next().unwrap_or_default());
            Fault::grammar(format!("is no CEL at line {line}, column {column}: {what}"))
        }
        None => Fault::grammar("is no CEL"),
    })?;
    let patterns = Checker::check(&mut expression)?.into_iter().map(Arc::new).collect();
    Ok(Condition { expression, patterns })
}

/// How deep brackets go, whatever they stand in.
fn deepest_bracket(source: &str) -> usize {
    let (mut deepest, mut depth) = (0, 0_usize);
    for character in source.bytes() {
        match character {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The standard functions, and `matches` with a pattern that is compiled.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib().with_optional_support(false);
    let pattern = || PATTERN_TYPE.to_owned();
    environment
        .add_member_overload("matches", "string_matches_pattern", STRING_TYPE, vec![pattern()], matches)
        .and_then(|()| {
            environment.add_overload("matches", "matches_pattern", vec![STRING_TYPE, pattern()], matches)
        })
        .expect("no other overload takes a pattern");
    Arc::new(environment)
});

static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

#[allow(clippy::needless_pass_by_value, reason = "so are functions of CEL")]
fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, arguments.len()));
    };
    match (text.downcast_ref::<CelString>(), pattern.downcast_ref::<Pattern>()) {
        (Some(text), Some(Pattern(regex))) => Ok(CowVal::owned(CelBool::from(regex.is_match(text.inner())))),
        _ => Err(ExecutionError::function_error("matches", "takes a text and a pattern")),
    }
}

/// A pattern as a value, so that it is compiled once and not for each event. A clone of the regex itself would have memory of its own.
#[derive(Clone, Debug)]
struct Pattern(Arc<Regex>);

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
