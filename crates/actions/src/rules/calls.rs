//! The operators and functions that a condition may use.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::checker::{Checker, Fault, Known, Size, nearest};
use super::types::Type;

/// Functions beside the operators, for when one is misspelt.
const FUNCTIONS: [&str; 28] = [
    "all",
    "contains",
    "double",
    "duration",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "has",
    "int",
    "map",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "uint",
    "bool",
];

impl Checker {
    pub(super) fn call(&mut self, call: &mut CallExpr, depth: usize) -> Result<Known, Fault> {
        let CallExpr { func_name: name, target, args } = call;
        if let Some(target) = target {
            return self.member(name, target, args, depth);
        }
        match (name.as_str(), args.as_mut_slice()) {
            (operators::ADD, [accumulated, IdedExpr { expr: Expr::List(list), .. }])
                if is_accumulator(accumulated) =>
            {
                let is_made = !is_part(&list.elements[0]);
                let element = self.expression(&mut list.elements[0], depth)?;
                if is_made && !element.of.is_small() && element.of != Type::Text {
                    return Err(Fault::mismatch(format!("makes a list of what is {}", element.of)));
                }
                self.goes_over(&element, "a list made")?;
                Ok(Known { of: Type::List(Box::new(element.of)), size: element.size })
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.truth(condition, depth)?;
                let (yes, no) = (self.expression(yes, depth)?, self.expression(no, depth)?);
                let size = yes.size.and(no.size);
                // The list of `filter` begins as a list of anything.
                let of = if yes.of == no.of || matches!(yes.of, Type::List(_)) { yes.of } else { Type::Any };
                Ok(Known { of, size })
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.truth(left, depth)?;
                self.truth(right, depth)
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [operand]) => self.truth(operand, depth),
            (operators::NEGATE, [operand]) => {
                let known = self.expression(operand, depth)?;
                match known.of {
                    Type::Int | Type::Double | Type::Any => Ok(Known::small(known.of)),
                    other => Err(Fault::mismatch(format!("has `-` before {other}"))),
                }
            }
            (operators::INDEX, [operand, index]) => self.index(operand, index, depth),
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => self.equality(left, right, depth),
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => self.order(left, right, depth),
            (operators::IN, [element, container]) => self.membership(element, container, depth),
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                [left, right],
            ) => {
                let (left, right) = (self.expression(left, depth)?, self.expression(right, depth)?);
                // An operand that turns out to be no number is copied for the error.
                self.goes_over(&left, "a sum")?;
                self.goes_over(&right, "a sum")?;
                arithmetic(name, &left.of, &right.of).map(Known::small)
            }
            ("matches" | "size", [first, rest @ ..]) => self.member(name, first, rest, depth),
            (_, [operand]) => self.conversion(name, operand, depth),
            (name, _) => Err(unknown(name)),
        }
    }

    fn truth(&mut self, expression: &mut IdedExpr, depth: usize) -> Result<Known, Fault> {
        let known = self.expression(expression, depth)?;
        if known.of.may_be(&Type::Bool) {
            return Ok(Known::small(Type::Bool));
        }
        Err(Fault::mismatch(format!("has {} where it needs true or false", known.of)))
    }

    fn index(&mut self, operand: &mut IdedExpr, index: &mut IdedExpr, depth: usize) -> Result<Known, Fault> {
        let (operand, index) = (self.expression(operand, depth)?, self.expression(index, depth)?);
        let (of, by) = match &operand.of {
            Type::List(of) => ((**of).clone(), Type::Int),
            Type::Map(of) => ((**of).clone(), Type::Text),
            Type::Any => (Type::Any, Type::Any),
            other => return Err(Fault::mismatch(format!("has `[…]` behind {other}"))),
        };
        if !index.of.may_be(&by) {
            return Err(Fault::mismatch(format!("looks up {} in {}", index.of, operand.of)));
        }
        self.goes_over(&index, "`[…]`")?;
        let size = if of.is_small() { Size::Small } else { operand.size };
        Ok(Known { of, size })
    }

    fn equality(&mut self, left: &mut IdedExpr, right: &mut IdedExpr, depth: usize) -> Result<Known, Fault> {
        let (one, other) = (self.expression(left, depth)?, self.expression(right, depth)?);
        for (known, literal) in [(&one, &right.expr), (&other, &left.expr)] {
            is_value(known, literal)?;
        }
        if matches!(one.of, Type::Message(_)) || !one.of.compares_with(&other.of) {
            return Err(Fault::mismatch(format!(
                "compares {} with {}, which are never equal",
                one.of, other.of
            )));
        }
        if self.goes_over(&one, "`==`").is_err() {
            self.goes_over(&other, "`==`")?;
        }
        // The lists of an event know how they are compared with others, and others do not.
        if is_part(right) {
            std::mem::swap(left, right);
        }
        Ok(Known::small(Type::Bool))
    }

    fn order(&mut self, left: &mut IdedExpr, right: &mut IdedExpr, depth: usize) -> Result<Known, Fault> {
        let (left, right) = (self.expression(left, depth)?, self.expression(right, depth)?);
        let ordered = |of: &Type| {
            of.is_number()
                || matches!(of, Type::Bool | Type::Text | Type::Bytes | Type::Time | Type::Span | Type::Any)
        };
        if !ordered(&left.of) || !ordered(&right.of) || !left.of.compares_with(&right.of) {
            return Err(Fault::mismatch(format!("asks which is more of {} and {}", left.of, right.of)));
        }
        self.goes_over(&left, "`<`")?;
        self.goes_over(&right, "`<`")?;
        Ok(Known::small(Type::Bool))
    }

    fn membership(
        &mut self,
        element: &mut IdedExpr,
        container: &mut IdedExpr,
        depth: usize,
    ) -> Result<Known, Fault> {
        let (one, among) = (self.expression(element, depth)?, self.expression(container, depth)?);
        if let Expr::List(list) = &container.expr {
            for literal in &list.elements {
                is_value(&one, &literal.expr)?;
            }
        }
        let of = match &among.of {
            Type::List(of) => (**of).clone(),
            Type::Map(_) => Type::Text,
            Type::Any => Type::Any,
            other => return Err(Fault::mismatch(format!("looks for something `in` {other}"))),
        };
        if matches!(one.of, Type::Message(_) | Type::List(_) | Type::Map(_)) || !one.of.compares_with(&of) {
            return Err(Fault::mismatch(format!("looks for {} `in` {} of {of}", one.of, among.of)));
        }
        self.goes_over(&one, "`in`")?;
        self.goes_over(&among, "`in`")?;
        Ok(Known::small(Type::Bool))
    }

    fn member(
        &mut self,
        name: &str,
        target: &mut IdedExpr,
        args: &mut [IdedExpr],
        depth: usize,
    ) -> Result<Known, Fault> {
        let known = self.expression(target, depth)?;
        match (name, args) {
            ("matches", [pattern]) => {
                self.text(&known, name)?;
                self.pattern(pattern)?;
                Ok(Known::small(Type::Bool))
            }
            ("contains" | "startsWith" | "endsWith", [part]) => {
                self.text(&known, name)?;
                let part = self.expression(part, depth)?;
                self.text(&part, name)?;
                Ok(Known::small(Type::Bool))
            }
            ("size", []) => match &known.of {
                Type::List(_) | Type::Map(_) => Ok(Known::small(Type::Int)),
                Type::Text | Type::Bytes | Type::Any => {
                    self.goes_over(&known, "`size`")?;
                    Ok(Known::small(Type::Int))
                }
                other => Err(Fault::mismatch(format!("has `size` of {other}"))),
            },
            (
                "getDate" | "getDayOfMonth" | "getDayOfWeek" | "getDayOfYear" | "getFullYear" | "getHours"
                | "getMilliseconds" | "getMinutes" | "getMonth" | "getSeconds",
                zone,
            ) if zone.len() < 2 => {
                let of_span = name.ends_with("Hours") || name.ends_with("onds") || name.ends_with("Minutes");
                let has_it =
                    known.of.may_be(&Type::Time) || of_span && zone.is_empty() && known.of == Type::Span;
                if !has_it {
                    return Err(Fault::mismatch(format!("has `{name}` of {}", known.of)));
                }
                if zone.iter().any(|zone| !matches!(zone.expr, Expr::Literal(LiteralValue::String(_)))) {
                    return Err(Fault::grammar(format!(
                        "has a time zone for `{name}` that is not written out in quotes"
                    )));
                }
                Ok(Known::small(Type::Int))
            }
            (name, _) => Err(unknown(name)),
        }
    }

    fn text(&self, known: &Known, function: &str) -> Result<(), Fault> {
        if !known.of.may_be(&Type::Text) {
            return Err(Fault::mismatch(format!("has `{function}` of {}", known.of)));
        }
        self.goes_over(known, &format!("`{function}`"))
    }

    fn conversion(&mut self, name: &str, operand: &mut IdedExpr, depth: usize) -> Result<Known, Fault> {
        let to = match name {
            "double" => Type::Double,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "string" => Type::Text,
            "bool" => Type::Bool,
            "timestamp" => Type::Time,
            "duration" => Type::Span,
            other => return Err(unknown(other)),
        };
        let known = self.expression(operand, depth)?;
        if matches!(known.of, Type::List(_) | Type::Map(_) | Type::Message(_) | Type::Null) {
            return Err(Fault::mismatch(format!("makes a {name} of {}", known.of)));
        }
        self.goes_over(&known, &format!("`{name}`"))?;
        let size = if to == Type::Text && !known.of.is_small() { known.size } else { Size::Small };
        Ok(Known { of: to, size })
    }
}

/// Whether it is a part of the event or of an element, as opposed to something made of one.
pub(super) fn is_part(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Ident(_) => true,
        Expr::Select(select) => is_part(&select.operand),
        Expr::Call(call) => call.func_name == operators::INDEX && call.args.first().is_some_and(is_part),
        _ => false,
    }
}

fn is_accumulator(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Ident(name) if name.starts_with('@'))
}

/// A text that an enum is compared with must be the name of one of its values.
fn is_value(known: &Known, literal: &Expr) -> Result<(), Fault> {
    if let (Type::Name(of), Expr::Literal(LiteralValue::String(name))) = (&known.of, literal)
        && of.get_value_by_name(name.inner()).is_none()
    {
        let names: Vec<_> = of.values().map(|value| format!("\"{}\"", value.name())).collect();
        return Err(Fault::mismatch(format!(
            "has {:?}, which is none of {}",
            name.inner(),
            names.join(", ")
        )));
    }
    Ok(())
}

fn unknown(name: &str) -> Fault {
    let near = nearest(name, FUNCTIONS.iter().map(ToString::to_string));
    Fault::grammar(format!("calls `{name}` in a way that is unknown{near}"))
}

/// Numbers with numbers of their kind, and times. Of something that is only known when there is an event one side at least must
/// be a number or a time: otherwise both may be texts, which grow when they are added.
fn arithmetic(operator: &str, left: &Type, right: &Type) -> Result<Type, Fault> {
    use Type::{Any, Span, Time};
    let sign = operator.trim_matches('_');
    let (plus, minus) = (operator == operators::ADD, operator == operators::SUBSTRACT);
    match (left, right) {
        (Any, Any) => Err(Fault::mismatch(format!(
            "has `{sign}` of what may be no numbers: write `double(…)` around the first"
        ))),
        (one, other) if one.is_number() && (one == other || *other == Any) => Ok(one.clone()),
        (Any, other) if other.is_number() => Ok(other.clone()),
        (one, other) if one.is_number() && other.is_number() => Err(Fault::mismatch(format!(
            "has `{sign}` of {one} and {other}, which do not mix: write `double(…)` around one, or 2.0 for 2"
        ))),
        (Time, Time) | (Span, Span) if minus => Ok(Span),
        (Time | Span, Span) | (Span, Time) if plus => Ok(if left == right { Span } else { Time }),
        (Time, Span) if minus => Ok(Time),
        (one, other) => Err(Fault::mismatch(format!("has `{sign}` of {one} and {other}"))),
    }
}
