use std::time::Duration;

use cornjacket_proto::google::rpc::bad_request::FieldViolation;

use super::*;

fn violation() -> FieldViolation {
    FieldViolation { field: "event.event_time".into(), description: "is wrong".into(), reason: "X".into() }
}

/// A failure of that kind, as services make it.
fn failure(kind: ErrorKind) -> Failure {
    let failure = Failure::new(kind, "why");
    match kind {
        ErrorKind::Exhausted | ErrorKind::Unavailable => failure.with_retry_after(Duration::from_millis(10)),
        ErrorKind::Invalid | ErrorKind::TooLarge => failure.with_violations(vec![violation()]),
        _ => failure,
    }
}

#[test]
fn kinds_have_the_status_of_the_one_table() {
    for kind in ErrorKind::ALL {
        let problem = Problem::from(failure(kind));
        assert_eq!(problem.status(), kind.http_status(), "{kind:?}");
        let again = matches!(kind, ErrorKind::Exhausted | ErrorKind::Unavailable);
        assert_eq!(problem.0.headers.contains_key(RETRY_AFTER), again, "{kind:?}");
        let challenged = kind == ErrorKind::Unauthenticated;
        assert_eq!(problem.0.headers.contains_key(WWW_AUTHENTICATE), challenged, "{kind:?}");
        let hidden = kind == ErrorKind::Internal;
        assert_eq!(problem.0.content.detail != "why", hidden, "{kind:?}");
    }
}

#[test]
fn codes_without_a_kind_have_a_status_too() {
    let cases = [
        (Code::Cancelled, 499),
        (Code::Unimplemented, 501),
        (Code::Aborted, 409),
        (Code::Unknown, 500),
        (Code::DataLoss, 500),
        (Code::ResourceExhausted, 429),
    ];
    for (code, status) in cases {
        assert_eq!(Problem::from(tonic::Status::new(code, "x")).status(), status, "{code:?}");
    }
}

#[test]
fn fields_and_details_are_there() {
    let failure = failure(ErrorKind::Invalid).with_reason("STABLE", [("key", "value".into())]);
    let problem = Problem::from(failure).with_request_id("r");
    let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "type": "urn:cornjacket:problem:invalid-argument",
            "title": "Bad Request",
            "status": 400,
            "detail": "why",
            "code": "INVALID_ARGUMENT",
            "requestId": "r",
            "errors": [{"field": "event.eventTime", "description": "is wrong", "reason": "X"}],
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "event.event_time", "description": "is wrong", "reason": "X"}],
                },
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "STABLE",
                    "domain": "cornjacket",
                    "metadata": {"key": "value"},
                },
            ],
        })
    );
}

#[test]
fn details_of_unknown_types_keep_their_bytes() {
    let any = cornjacket_proto::Any { type_url: "type.googleapis.com/not.Known".into(), value: vec![1, 2] };
    assert_eq!(any::to_json(&any), serde_json::json!({"@type": any.type_url, "value": "AQI="}));
}

#[test]
fn a_transports_failure_says_nothing_of_it() {
    let status = tonic::Status::from_error("tcp connect error: 10.0.0.1:8080".into());
    let problem = Problem::from(status);
    assert_eq!(problem.status(), 503);
    assert!(!String::from_utf8(problem.to_json()).expect("UTF-8").contains("10.0.0.1"));
}
