use proptest::prelude::*;

use super::*;

/// The variables' values, `None` when the path is another.
fn values(template: &str, path: &str) -> Option<Vec<String>> {
    let template = Template::parse(template).expect("a template");
    let captures = template.matches(path)?;
    Some(captures.iter().map(|capture| capture.value().expect("UTF-8").into_owned()).collect())
}

#[test]
fn paths_match_as_http_proto_says() {
    let cases: &[(&str, &str, Option<&[&str]>)] = &[
        ("/v1/messages/{id}", "/v1/messages/123456", Some(&["123456"])),
        ("/v1/{name=messages/*}", "/v1/messages/123456", Some(&["messages/123456"])),
        ("/v1/{name=messages/*}", "/v1/messages/1/2", None),
        ("/v1/messages/{id}", "/v1/messages/a%2Fb", Some(&["a/b"])),
        ("/v1/{name=messages/*}", "/v1/messages/a%2fb%20c", Some(&["messages/a%2fb c"])),
        ("/v1/{name=**}", "/v1/a/b%2Fc%25", Some(&["a/b%2Fc%"])),
        ("/v1/{name=**}", "/v1", Some(&[""])),
        ("/v1/{name=**}", "/v1/", Some(&[""])),
        ("/v1/messages/{id}", "/v1/messages/", None),
        ("/v1/messages/{id}", "/v1/messages", None),
        ("/v1/messages", "/v1/mess%61ges", Some(&[])),
        ("/v1/messages", "/v1/messages/", None),
        ("/v1/messages", "v1/messages", None),
        ("/v1/messages:batch", "/v1/messages:batch", Some(&[])),
        ("/v1/messages:batch", "/v1/messages", None),
        ("/v1/messages:batch", "/v1/messages%3Abatch", None),
        ("/v1/{id}:pause", "/v1/a:b:pause", Some(&["a:b"])),
        ("/v1/{id=**}:timeline", "/v1/a/b:timeline", Some(&["a/b"])),
        ("/v1/{id}", "/v1/a:pause", Some(&["a:pause"])),
        ("/v1/users/{user_id}/messages/{message.id}", "/v1/users/me/messages/1", Some(&["me", "1"])),
        ("/*/x", "/anything/x", Some(&[])),
    ];
    for (template, path, expected) in cases {
        let expected = expected.map(|values| values.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(values(template, path), expected, "{template} on {path}");
    }
}

#[test]
fn what_is_no_template_is_refused_with_its_place() {
    let cases = [
        ("", "expected `/`", 0),
        ("v1", "expected `/`", 0),
        ("/", "expected a segment", 1),
        ("/v1//a", "expected a segment", 4),
        ("/v1/", "expected a segment", 4),
        ("/**/a", "nothing may follow `**`", 4),
        ("/{a=**}/{b}", "nothing may follow `**`", 8),
        ("/{a", "expected `}`", 3),
        ("/{a=b", "expected `}`", 5),
        ("/{1a}", "expected a field's name", 2),
        ("/{a.}", "expected a field's name", 4),
        ("/{a={b}}", "a variable within a variable", 5),
        ("/{a}/{a}", "a variable twice", 7),
        ("/a:", "expected a verb", 3),
        ("/a:b/c", "unexpected character", 4),
        ("/ä", "expected a segment", 1),
    ];
    for (text, problem, at) in cases {
        let error = Template::parse(text).expect_err(text);
        assert_eq!((error.problem, error.at), (problem, at), "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_have_no_value() {
    let template = Template::parse("/{id}").expect("a template");
    assert_eq!(template.matches("/%ff").expect("a match")[0].value(), None);
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "[/{}*=:.a%2F]{0,24}", path in "\\PC{0,24}") {
        if let Ok(template) = Template::parse(&text) {
            for capture in template.matches(&path).into_iter().flatten() {
                let _ = capture.value();
            }
        }
    }

    #[test]
    fn a_single_segment_brings_any_text_over(id in "\\PC{1,24}") {
        let encoded = percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC).to_string();
        let found = values("/v1/{id}:get", &format!("/v1/{encoded}:get"));
        prop_assert_eq!(found, Some(vec![id]));
    }

    #[test]
    fn what_is_displayed_matches_the_same_paths(path in "(/[a-c:]{0,2}){1,4}") {
        for text in ["/a/{x}/**", "/{x=a/*}:b", "/*/b", "/{x=**}:c"] {
            let template = Template::parse(text).expect("a template");
            let shown = Template::parse(&template.to_string()).expect("a template");
            prop_assert_eq!(template.matches(&path).is_some(), shown.matches(&path).is_some());
        }
    }
}
