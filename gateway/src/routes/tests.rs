use cornjacket_proto::DESCRIPTOR_POOL;

use super::*;

fn contract() -> Routes {
    Routes::new(&DESCRIPTOR_POOL).expect("the contract's annotations are right")
}

fn rule(http_method: Method, path: &str) -> annotation::Rule {
    annotation::Rule { http_method, path: path.into(), body: String::new(), response_body: String::new() }
}

/// Routes of `GetEvent`, whose request has `id` and `source`.
fn routes(paths: &[&str]) -> Result<Routes, BuildError> {
    let service = DESCRIPTOR_POOL.get_service_by_name("cornjacket.query.v1.QueryService").expect("a service");
    let method = service.methods().find(|method| method.name() == "GetEvent").expect("a method");
    let mut routes = Routes::default();
    for path in paths {
        routes.add(Route::new(&method, rule(Method::GET, path))?)?;
    }
    Ok(routes)
}

/// The template that a path leads to.
fn found(routes: &Routes, path: &str) -> Option<String> {
    match routes.find(&Method::GET, path) {
        Found::Route(route, _) => Some(route.template.to_string()),
        Found::OtherMethods(_) | Found::Nothing => None,
    }
}

#[test]
fn every_annotated_method_has_its_routes() {
    let routes = contract();
    let annotated: Vec<_> = routes.all().iter().map(|route| route.method.full_name()).collect();
    for service in DESCRIPTOR_POOL.services().filter(|service| service.full_name().starts_with(PACKAGES)) {
        for method in service.methods() {
            let expected = !method.is_client_streaming();
            assert_eq!(annotated.contains(&method.full_name()), expected, "{}", method.full_name());
        }
    }
    let series = annotated.iter().filter(|name| name.ends_with("QuerySeries")).count();
    assert_eq!(series, 2, "the additional binding");
}

#[test]
fn the_more_precise_template_is_taken() {
    let all =
        ["/v1/{id=**}", "/v1/{id}", "/v1/a", "/v1/a/{id}", "/v1/{id}/b", "/v1/{id=**}:get", "/v1/a:get"];
    let routes = routes(&all).expect("no two are the same");
    let cases = [
        ("/v1/a", "/v1/a"),
        ("/v1/%61", "/v1/a"),
        ("/v1/x", "/v1/*"),
        ("/v1/a/b", "/v1/a/*"),
        ("/v1/x/b", "/v1/*/b"),
        ("/v1/x/y", "/v1/**"),
        ("/v1/a/b/c", "/v1/**"),
        ("/v1", "/v1/**"),
        ("/v1/a:get", "/v1/a:get"),
        ("/v1/a/b:get", "/v1/**:get"),
        ("/v1/a:put", "/v1/*"),
        ("/v1/a%3Aget", "/v1/*"),
    ];
    for (path, template) in cases {
        assert_eq!(found(&routes, path).as_deref(), Some(template), "{path}");
    }
    assert_eq!(found(&routes, "/v2/a"), None);
    assert_eq!(found(&routes, "*"), None);
}

#[test]
fn the_tree_and_the_template_agree() {
    let texts = ["/v1/{id=**}", "/v1/{id}", "/v1/a/{id}", "/v1/{id=a/*}:get", "/{id}"];
    let paths = ["/v1", "/v1/", "/v1/a", "/v1/a/b", "/v1/a/b:get", "/v1//", "/x", "/", "", "/v1/a:get"];
    for text in texts {
        let routes = routes(&[text]).expect("one route");
        for path in paths {
            let template = &routes.all()[0].template;
            let matches = template.matches(path);
            let Found::Route(_, captures) = routes.find(&Method::GET, path) else {
                assert_eq!(matches, None, "{text} on {path}");
                continue;
            };
            assert_eq!(matches, Some(captures), "{text} on {path}");
        }
    }
}

#[test]
fn annotations_that_cannot_be_followed_are_refused() {
    let ambiguous = routes(&["/v1/{id}", "/v1/{source}"]).expect_err("the same paths");
    assert!(matches!(ambiguous, BuildError::Ambiguous { .. }), "{ambiguous}");
    assert!(matches!(routes(&["/v1/{nope}"]), Err(BuildError::Annotation { .. })));
    assert!(matches!(routes(&["/v1/{id.x}"]), Err(BuildError::Annotation { .. })));
    assert!(matches!(routes(&["v1"]), Err(BuildError::Template { .. })));
}

#[test]
fn other_methods_of_a_path_are_known() {
    let routes = contract();
    let Found::OtherMethods(methods) = routes.find(&Method::DELETE, "/api/v1/query/series:query") else {
        panic!("the path has other methods")
    };
    assert_eq!(methods, [Method::GET, Method::POST]);
    assert!(matches!(routes.find(&Method::GET, "/api/v1/nothing"), Found::Nothing));
}
