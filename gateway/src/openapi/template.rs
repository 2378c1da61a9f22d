//! Path templates of `google.api.http`, as `OpenAPI` writes them.

/// A path template and what its variables stand for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template<'a> {
    /// The template's text, such as `/v1/events/{id=**}:timeline`.
    text: &'a str,
    /// Its variables, from left to right.
    pub(super) variables: Vec<Variable<'a>>,
}

/// One variable of a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable<'a> {
    /// The path of the field that it fills, in the contract's names: `event.id`.
    pub(super) field: &'a str,
    /// The segments that it takes: `*`, `**`, or a pattern such as `shelves/*`.
    pub(super) segments: &'a str,
}

impl<'a> Template<'a> {
    /// Reads a template; what is not closed is taken for text.
    pub(super) fn parse(text: &'a str) -> Self {
        let closed = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
        let variable = |(inside, _): (&'a str, &'a str)| {
            let (field, segments) = inside.split_once('=').unwrap_or((inside, "*"));
            Variable { field, segments }
        };
        Self { text, variables: closed.map(variable).collect() }
    }

    /// The path as `OpenAPI` writes it, every variable called what `name` calls its field.
    pub(super) fn path(&self, name: impl Fn(&str) -> String) -> String {
        let mut path = self.text.to_owned();
        for Variable { field, segments } in &self.variables {
            let named = format!("{{{}}}", name(field));
            path = path.replacen(&format!("{{{field}={segments}}}"), &named, 1);
            path = path.replacen(&format!("{{{field}}}"), &named, 1);
        }
        path
    }
}

impl Variable<'_> {
    /// Whether its value may have slashes.
    pub(super) fn spans_segments(&self) -> bool {
        self.segments != "*"
    }

    /// The pattern of its values, where it is more than one segment or any number of them.
    pub(super) fn pattern(&self) -> Option<String> {
        if matches!(self.segments, "*" | "**") {
            return None;
        }
        let segment = |segment: &str| match segment {
            "*" => "[^/]+".to_owned(),
            "**" => ".+".to_owned(),
            literal => literal.replace('.', r"\."),
        };
        let segments: Vec<_> = self.segments.split('/').map(segment).collect();
        Some(format!("^{}$", segments.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        Template::parse(text).path(|field| field.replace('_', "-"))
    }

    #[test]
    fn variables_lose_their_segments_and_verbs_stay() {
        assert_eq!(path("/v1/events:batch"), "/v1/events:batch");
        assert_eq!(path("/v1/events/{id=**}:timeline"), "/v1/events/{id}:timeline");
        assert_eq!(path("/v1/{a}/{b_c}:pause"), "/v1/{a}/{b-c}:pause");
    }

    #[test]
    fn patterns_are_those_of_the_segments() {
        let template = Template::parse("/v1/{name=shelves/*/v1.x/**}/{id}/{rest=**}");
        let patterns: Vec<_> = template.variables.iter().map(Variable::pattern).collect();
        assert_eq!(patterns, [Some(r"^shelves/[^/]+/v1\.x/.+$".to_owned()), None, None]);
        assert!(template.variables[2].spans_segments());
    }
}
