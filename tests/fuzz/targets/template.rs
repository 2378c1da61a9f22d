//! Path templates: a template in the first line, a path behind it.

use cornjacket_gateway::Template;
use cornjacket_gateway::template::Segment;

/// Runs the target once.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (template, path) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(template) = Template::parse(template) else { return };
    let written = template.to_string();
    let again = Template::parse(&written).expect("what is written can be read");
    assert_eq!((again.segments(), again.verb()), (template.segments(), template.verb()));
    assert_eq!(template.matches(path).is_some(), again.matches(path).is_some());
    for capture in template.matches(path).into_iter().flatten() {
        assert!(path.contains(capture.raw));
        let _ = capture.value();
    }
    let path = path_of(&template);
    let captures = template.matches(&path).expect("a path of the template's own");
    assert!(captures.iter().all(|capture| capture.value().is_some_and(|value| value == capture.raw)));
}

/// A path that the template must match.
fn path_of(template: &Template) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Literal(literal) => format!("/{literal}"),
        Segment::One => "/one".to_owned(),
        Segment::Rest => "/all/the/rest".to_owned(),
    };
    let verb = template.verb().map(|verb| format!(":{verb}"));
    template.segments().iter().map(segment).chain(verb).collect()
}
