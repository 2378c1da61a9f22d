//! The routes: a tree of path segments, made once from the contract's annotations.
//!
//! A path is looked up segment by segment. A literal beats `*`, `*` beats `**`, and a verb beats none; where the better one
//! leads nowhere, the other is taken.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use http::Method;
use prost_reflect::DescriptorPool;

use crate::annotation::{self, rules};
use crate::error::BuildError;
use crate::route::Route;
use crate::template::{self, Capture, Segment};

/// Services whose package begins so are served.
const PACKAGES: &str = "cornjacket.";

/// Every route of the contract.
#[derive(Debug, Default)]
pub struct Routes {
    root: Node,
    all: Vec<Arc<Route>>,
}

/// What a request's method and path lead to.
#[derive(Debug)]
pub enum Found<'r, 'p> {
    /// A route, with what its variables are.
    Route(&'r Arc<Route>, Vec<Capture<'r, 'p>>),
    /// The path is known, with these methods.
    OtherMethods(Vec<Method>),
    /// No such path.
    Nothing,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Node>,
    one: Option<Box<Node>>,
    ends: Vec<Arc<Route>>,
    rest: Vec<Arc<Route>>,
}

/// A path that is looked up, as one of its two readings: with a verb or without.
struct Wanted<'p> {
    path: &'p str,
    verb: Option<&'p str>,
    spans: Vec<Range<usize>>,
}

impl Routes {
    /// The routes of every service of ours in `pool`.
    pub fn new(pool: &DescriptorPool) -> Result<Self, BuildError> {
        let mut routes = Self::default();
        let Some(http) = pool.get_extension_by_name(annotation::EXTENSION) else { return Ok(routes) };
        let ours = pool.services().filter(|service| service.full_name().starts_with(PACKAGES));
        for method in ours.flat_map(|service| service.methods().collect::<Vec<_>>()) {
            for rule in rules(&method, &http)? {
                routes.add(Route::new(&method, rule)?)?;
            }
        }
        Ok(routes)
    }

    /// All of them, in the order of the contract.
    pub fn all(&self) -> &[Arc<Route>] {
        &self.all
    }

    /// Adds a route, unless another one answers the same requests.
    fn add(&mut self, route: Route) -> Result<(), BuildError> {
        let mut node = &mut self.root;
        let mut rest = false;
        for segment in route.template.segments() {
            match segment {
                Segment::Literal(literal) => node = node.literals.entry(literal.clone()).or_default(),
                Segment::One => node = node.one.get_or_insert_default(),
                Segment::Rest => rest = true,
            }
        }
        let ends = if rest { &mut node.rest } else { &mut node.ends };
        let same = |other: &&Arc<Route>| {
            other.http_method == route.http_method && other.template.verb() == route.template.verb()
        };
        if let Some(other) = ends.iter().find(same) {
            return Err(BuildError::Ambiguous {
                method: route.method.full_name().to_owned(),
                other: other.method.full_name().to_owned(),
                http_method: route.http_method,
                template: route.template.to_string(),
            });
        }
        let route = Arc::new(route);
        ends.push(Arc::clone(&route));
        self.all.push(route);
        Ok(())
    }

    /// Looks a request up; `path` is as it was sent, without its query.
    pub fn find<'p>(&self, method: &Method, path: &'p str) -> Found<'_, 'p> {
        let readings =
            [template::split_verb(path).map(|(path, verb)| (path, Some(verb))), Some((path, None))];
        let mut methods = Vec::new();
        for (path, verb) in readings.into_iter().flatten() {
            let Some(spans) = template::spans(path) else { continue };
            let wanted = Wanted { path, verb, spans };
            if let Some(route) = wanted.below(&self.root, 0, method, &mut methods) {
                return Found::Route(route, route.template.captures(wanted.path, &wanted.spans));
            }
        }
        if methods.is_empty() { Found::Nothing } else { Found::OtherMethods(methods) }
    }
}

impl Wanted<'_> {
    /// The best route below `node` for the segments from `depth` on; notes the methods of those that do not fit.
    fn below<'r>(
        &self,
        node: &'r Node,
        depth: usize,
        method: &Method,
        methods: &mut Vec<Method>,
    ) -> Option<&'r Arc<Route>> {
        let Some(span) = self.spans.get(depth) else {
            let ends = self.among(&node.ends, method, methods);
            return ends.or_else(|| self.among(&node.rest, method, methods));
        };
        let segment = &self.path[span.clone()];
        let literal = node.literals.get(template::decoded(segment).as_ref());
        let one = node.one.as_deref().filter(|_| !segment.is_empty());
        for next in literal.into_iter().chain(one) {
            if let Some(route) = self.below(next, depth + 1, method, methods) {
                return Some(route);
            }
        }
        self.among(&node.rest, method, methods)
    }

    fn among<'r>(
        &self,
        ends: &'r [Arc<Route>],
        method: &Method,
        methods: &mut Vec<Method>,
    ) -> Option<&'r Arc<Route>> {
        for route in ends.iter().filter(|route| route.template.verb() == self.verb) {
            if route.http_method == *method {
                return Some(route);
            }
            if !methods.contains(&route.http_method) {
                methods.push(route.http_method.clone());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
