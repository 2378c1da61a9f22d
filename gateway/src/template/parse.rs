//! The parser of path templates: one pass, no backtracking.

use super::{Segment, Template, TemplateError, Variable};

pub(super) fn template(text: &str) -> Result<Template, TemplateError> {
    let mut parser = Parser { text, at: 0, segments: Vec::new(), variables: Vec::new() };
    let verb = parser.template().map_err(|problem| TemplateError {
        template: text.to_owned(),
        problem,
        at: parser.at,
    })?;
    Ok(Template { segments: parser.segments, verb, variables: parser.variables })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

type Parsed<T> = Result<T, &'static str>;

impl Parser<'_> {
    /// `"/" Segments [ ":" Verb ]`
    fn template(&mut self) -> Parsed<Option<String>> {
        if !self.eats("/") {
            return Err("expected `/`");
        }
        self.segments(true)?;
        let verb = if self.eats(":") { Some(self.literal("expected a verb")?) } else { None };
        if self.at == self.text.len() { Ok(verb) } else { Err("unexpected character") }
    }

    /// `Segment { "/" Segment }`
    fn segments(&mut self, variables: bool) -> Parsed<()> {
        loop {
            self.segment(variables)?;
            if !self.eats("/") {
                return Ok(());
            }
        }
    }

    /// `"*" | "**" | LITERAL | Variable`
    fn segment(&mut self, variables: bool) -> Parsed<()> {
        if matches!(self.segments.last(), Some(Segment::Rest)) {
            return Err("nothing may follow `**`");
        }
        if self.eats("**") {
            self.segments.push(Segment::Rest);
        } else if self.eats("*") {
            self.segments.push(Segment::One);
        } else if self.eats("{") {
            return if variables { self.variable() } else { Err("a variable within a variable") };
        } else {
            let literal = self.literal("expected a segment")?;
            self.segments.push(Segment::Literal(literal));
        }
        Ok(())
    }

    /// `"{" FieldPath [ "=" Segments ] "}"`
    fn variable(&mut self) -> Parsed<()> {
        let field = self.field_path()?;
        if self.variables.iter().any(|other| other.field == field) {
            return Err("a variable twice");
        }
        let start = self.segments.len();
        if self.eats("=") {
            self.segments(false)?;
        } else {
            self.segments.push(Segment::One);
        }
        if !self.eats("}") {
            return Err("expected `}`");
        }
        let segments = start..self.segments.len();
        let multi = segments.len() > 1 || matches!(self.segments.last(), Some(Segment::Rest));
        self.variables.push(Variable { field, segments, multi });
        Ok(())
    }

    /// `IDENT { "." IDENT }`
    fn field_path(&mut self) -> Parsed<Vec<String>> {
        let mut path = Vec::new();
        loop {
            if self.text.as_bytes().get(self.at).is_none_or(u8::is_ascii_digit) {
                return Err("expected a field's name");
            }
            let name = self.taken_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_').to_owned();
            if name.is_empty() {
                return Err("expected a field's name");
            }
            path.push(name);
            if !self.eats(".") {
                return Ok(path);
            }
        }
    }

    /// Characters that RFC 3986 allows in a segment, but for those that mean something here.
    fn literal(&mut self, otherwise: &'static str) -> Parsed<String> {
        let literal =
            self.taken_while(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,;@".contains(&byte));
        if literal.is_empty() { Err(otherwise) } else { Ok(literal.to_owned()) }
    }

    fn taken_while(&mut self, may: impl Fn(u8) -> bool) -> &str {
        let start = self.at;
        self.at += self.text.as_bytes()[start..].iter().take_while(|byte| may(**byte)).count();
        &self.text[start..self.at]
    }

    fn eats(&mut self, token: &str) -> bool {
        let next = self.text[self.at..].starts_with(token);
        self.at += if next { token.len() } else { 0 };
        next
    }
}
