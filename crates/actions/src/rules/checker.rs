//! What a condition may say: known names, types that go together, and no more work than an event can cost.
//!
//! A condition is a tree whose leaves are literals and parts of the event. Work grows in two ways. Loops (`exists`, `all`, `filter`, …)
//! go over lists: the elements of the event that one evaluation goes over are counted while it runs ([`super::seen::Meter`]), and what
//! stands inside of loops is counted here. Functions go over a text, a list or bytes from end to end: within a loop, only over what
//! comes from the loop's own element, so that all turns together go over the event once. Nothing makes texts or lists longer.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue};
use cornjacket_domain::violation::Reason;
use cornjacket_proto::descriptor_of;
use cornjacket_proto::events::Event;
use prost_reflect::MessageDescriptor;
use regex::Regex;

use super::calls::is_part;
use super::types::Type;

/// Levels of the tree: evaluation recurses, and has the stack of a worker.
const DEEPEST: usize = 24;
/// Loops within loops.
const MOST_NESTED: usize = 2;
/// Parts inside of loops, each as often as the lists in the condition itself repeat it.
const MOST_REPEATED: usize = 128;
/// Searches for a pattern, counted likewise.
const MOST_SEARCHES: usize = 16;
/// What evaluation calls the patterns: no source can name it.
pub(super) const PATTERN: &str = "@pattern";

/// Why a condition is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) description: String,
}

impl Fault {
    pub(super) fn new(reason: Reason, description: impl Into<String>) -> Self {
        Self { reason, description: description.into() }
    }

    pub(super) fn grammar(description: impl Into<String>) -> Self {
        Self::new(Reason::Grammar, description)
    }

    pub(super) fn mismatch(description: impl Into<String>) -> Self {
        Self::new(Reason::Mismatch, description)
    }
}

/// How long a value may take to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Bounded, whatever the event.
    Small,
    /// Up to all that is in an element of the loop of that number; loop 0 is the event itself.
    Part(usize),
}

impl Size {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Part(one), Self::Part(other)) => Self::Part(one.min(other)),
            (part @ Self::Part(_), Self::Small) | (Self::Small, part) => part,
        }
    }
}

/// What is known of an expression.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) of: Type,
    pub(super) size: Size,
}

impl Known {
    pub(super) const fn small(of: Type) -> Self {
        Self { of, size: Size::Small }
    }
}

#[derive(Default)]
pub(super) struct Checker {
    variables: Vec<(String, Known)>,
    /// Loops around this place that go over parts of the event.
    level: usize,
    /// Loops around this place.
    loops: usize,
    /// How often lists of the condition repeat what is at this place.
    times: usize,
    repeated: usize,
    searches: usize,
    patterns: Vec<Regex>,
}

impl Checker {
    /// Checks a condition and makes it ready: patterns are replaced by [`PATTERN`] and their number.
    pub(super) fn check(expression: &mut IdedExpr) -> Result<Vec<Regex>, Fault> {
        let mut checker = Self { times: 1, ..Self::default() };
        let known = checker.expression(expression, 0)?;
        if !known.of.may_be(&Type::Bool) {
            return Err(Fault::mismatch(format!("is {}, and must be true or false", known.of)));
        }
        Ok(checker.patterns)
    }

    pub(super) fn expression(&mut self, expression: &mut IdedExpr, depth: usize) -> Result<Known, Fault> {
        if depth > DEEPEST {
            return Err(too_many(format!("is nested deeper than {DEEPEST} levels")));
        }
        if self.loops > 0 {
            self.repeated += self.times;
            if self.repeated > MOST_REPEATED {
                return Err(too_many(format!("has more than {MOST_REPEATED} parts inside of loops")));
            }
        }
        let depth = depth + 1;
        match &mut expression.expr {
            Expr::Literal(literal) => Ok(Known::small(type_of(literal))),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                let path = path(&select.operand);
                let operand = self.expression(&mut select.operand, depth)?;
                let field = field(&operand, &select.field, &path)?;
                Ok(if select.test { Known::small(Type::Bool) } else { field })
            }
            Expr::Call(call) => self.call(call, depth),
            Expr::List(list) => self.list(&mut list.elements, depth),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth),
            Expr::Map(_) | Expr::Struct(_) => {
                Err(Fault::grammar("makes a map: conditions only look at what is there"))
            }
            Expr::Unspecified => Err(Fault::grammar("is not complete")),
        }
    }

    fn variable(&self, name: &str) -> Result<Known, Fault> {
        if let Some((_, known)) = self.variables.iter().rev().find(|(variable, _)| variable == name) {
            return Ok(known.clone());
        }
        if name == "event" {
            return Ok(Known { of: Type::Message(descriptor_of::<Event>()), size: Size::Part(0) });
        }
        let names = self.variables.iter().map(|(variable, _)| variable.clone()).chain(["event".to_owned()]);
        Err(Fault::grammar(format!("`{name}` is unknown{}", nearest(name, names))))
    }

    fn list(&mut self, elements: &mut [IdedExpr], depth: usize) -> Result<Known, Fault> {
        let (mut of, mut size) = (None, Size::Small);
        for element in elements {
            let known = self.expression(element, depth)?;
            if matches!(known.of, Type::List(_) | Type::Map(_) | Type::Message(_)) {
                return Err(Fault::mismatch(format!("has a list of what is {} itself", known.of)));
            }
            size = size.and(known.size);
            of = match of {
                Some(before) if before != known.of => Some(Type::Any),
                _ => Some(known.of),
            };
        }
        Ok(Known { of: Type::List(Box::new(of.unwrap_or(Type::Any))), size })
    }

    /// A loop, as the macros write it: `loop_step` makes `accu_var` of itself and `iter_var`.
    fn comprehension(&mut self, looped: &mut ComprehensionExpr, depth: usize) -> Result<Known, Fault> {
        let length = literal_length(&looped.iter_range);
        if length.is_none() && !is_part(&looped.iter_range) && !is_loop(&looped.iter_range) {
            return Err(Fault::grammar(
                "goes over something that is neither a part of the event nor a list nor what another loop made",
            ));
        }
        let range = self.expression(&mut looped.iter_range, depth)?;
        let element = match &range.of {
            Type::List(of) => (**of).clone(),
            Type::Map(_) => Type::Text,
            Type::Any => Type::Any,
            other => {
                return Err(Fault::mismatch(format!(
                    "goes over {other}, and can only go over lists and maps"
                )));
            }
        };
        if self.loops == MOST_NESTED {
            return Err(too_many(format!("has loops nested deeper than {MOST_NESTED}")));
        }
        if looped.iter_var == "event" || self.variables.iter().any(|(name, _)| *name == looped.iter_var) {
            return Err(Fault::grammar(format!(
                "`{}` is the name of something else already",
                looped.iter_var
            )));
        }
        self.goes_over(&range, "a loop")?;
        let outside = (self.level, self.times);
        let size = if let Some(length) = length {
            self.times *= length;
            range.size
        } else {
            self.level += 1;
            Size::Part(self.level)
        };
        self.loops += 1;
        self.variables.push((looped.iter_var.clone(), Known { of: element, size }));
        let result = self.turn(looped, depth);
        self.variables.pop();
        self.loops -= 1;
        (self.level, self.times) = outside;
        // What a loop makes of a list is no larger than the list.
        let size = range.size;
        result.map(|known| Known { size: if known.of.is_small() { Size::Small } else { size }, ..known })
    }

    fn turn(&mut self, looped: &mut ComprehensionExpr, depth: usize) -> Result<Known, Fault> {
        let start = self.expression(&mut looped.accu_init, depth)?;
        self.variables.push((looped.accu_var.clone(), start));
        let turned = self.expression(&mut looped.loop_cond, depth).and_then(|_| {
            let step = self.expression(&mut looped.loop_step, depth)?;
            self.variables.pop();
            self.variables.push((looped.accu_var.clone(), step));
            self.expression(&mut looped.result, depth)
        });
        self.variables.pop();
        turned
    }

    /// `what` goes from one end of `known` to the other.
    pub(super) fn goes_over(&self, known: &Known, what: &str) -> Result<(), Fault> {
        match known.size {
            Size::Part(level) if level < self.level && !known.of.is_small() => Err(too_many(format!(
                "has {what} inside of a loop that goes over the same {} in each turn",
                match &known.of {
                    Type::List(_) => "list",
                    Type::Map(_) => "map",
                    Type::Bytes => "bytes",
                    _ => "text",
                }
            ))),
            _ => Ok(()),
        }
    }

    /// Compiles the pattern and leaves its name in its place.
    pub(super) fn pattern(&mut self, expression: &mut IdedExpr) -> Result<(), Fault> {
        /// Bytes of a compiled pattern.
        const LARGEST: usize = 256 << 10;
        let Expr::Literal(LiteralValue::String(pattern)) = &expression.expr else {
            return Err(Fault::grammar("has a pattern for `matches` that is not written out in quotes"));
        };
        let built = regex::RegexBuilder::new(pattern.inner()).size_limit(LARGEST).nest_limit(32).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => too_many(format!(
                "has a pattern for `matches` that is larger than {LARGEST} bytes when compiled"
            )),
            // Its last line says what; those before it show where.
            other => {
                let text = other.to_string();
                let what = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Fault::grammar(format!("has a bad pattern {:?}: {what}", pattern.inner()))
            }
        })?;
        self.searches += self.times;
        if self.searches > MOST_SEARCHES {
            return Err(too_many(format!("searches for patterns more than {MOST_SEARCHES} times")));
        }
        expression.expr = Expr::Ident(format!("{PATTERN}{}", self.patterns.len()));
        self.patterns.push(regex);
        Ok(())
    }
}

pub(super) fn too_many(description: String) -> Fault {
    Fault::new(Reason::TooMany, description)
}

/// How many elements a list has that is written out.
fn literal_length(expression: &IdedExpr) -> Option<usize> {
    if let Expr::List(list) = &expression.expr { Some(list.elements.len()) } else { None }
}

const fn is_loop(expression: &IdedExpr) -> bool {
    matches!(expression.expr, Expr::Comprehension(_))
}

const fn type_of(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

fn field(operand: &Known, name: &str, path: &str) -> Result<Known, Fault> {
    let of = match &operand.of {
        Type::Message(message) => {
            let field = message.get_field_by_name(name).ok_or_else(|| {
                let names = message.fields().map(|field| field.name().to_owned());
                Fault::grammar(format!("{path} has no field `{name}`{}", nearest(name, names)))
            })?;
            Type::of_field(&field)
        }
        Type::Map(of) => (**of).clone(),
        Type::Any => Type::Any,
        other => return Err(Fault::mismatch(format!("{path} is {other}, and has no field `{name}`"))),
    };
    let bounded = matches!(&operand.of, Type::Message(message) if is_envelope(message, name));
    let size = if bounded || of.is_small() { Size::Small } else { operand.size };
    Ok(Known { of, size })
}

/// Whether it is one of the names of an event, which are at most 256 characters.
fn is_envelope(message: &MessageDescriptor, field: &str) -> bool {
    message.full_name() == "cornjacket.events.v1.Event"
        && ["id", "source", "type", "subject"].contains(&field)
}

/// As the source has it, where it is a chain of names.
pub(super) fn path(expression: &IdedExpr) -> String {
    fn names(expression: &IdedExpr) -> Option<String> {
        match &expression.expr {
            Expr::Ident(name) => Some(name.clone()),
            Expr::Select(select) if !select.test => {
                Some(format!("{}.{}", names(&select.operand)?, select.field))
            }
            _ => None,
        }
    }
    names(expression).map_or_else(|| "what is before the dot".to_owned(), |names| format!("`{names}`"))
}

/// The name that was perhaps meant.
pub(super) fn nearest(name: &str, names: impl Iterator<Item = String>) -> String {
    const ALIKE: f64 = 0.75;
    names
        .filter(|known| !known.starts_with('@'))
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map_or_else(String::new, |(_, known)| format!(": did you mean `{known}`?"))
}
