//! What conditions may say, and what they are told when they may not.

use super::*;

fn holds(condition: &str, event: &Event) -> Result<bool, String> {
    let rule = Rule::try_new(&proto::Rule { condition: condition.into(), ..definition() })
        .unwrap_or_else(|problems| panic!("{condition}: {problems:?}"));
    rule.holds(&View::new(event)).map_err(|failed| failed.0)
}

fn why(condition: &str) -> String {
    let problems = refused(&proto::Rule { condition: condition.into(), ..definition() });
    let [(field, description)] = &problems[..] else { panic!("{condition}: {problems:?}") };
    assert_eq!(field, "condition");
    description.clone()
}

fn order() -> Event {
    json(vec![
        ("total", number(120.5)),
        ("name", text("ada & co")),
        ("tags", list(vec![text("vip"), text("eu")])),
        ("lines", list(vec![list(vec![number(1.0), number(2.0)]), list(vec![number(3.0)])])),
        ("nothing", Value { kind: Some(Kind::NullValue(0)) }),
        ("yes", Value { kind: Some(Kind::BoolValue(true)) }),
    ])
}

#[test]
fn conditions_see_the_event_as_the_contract_has_it() {
    let reading = reading(&[("temperature", 99.0), ("pressure", 2.5)]);
    let (anomaly, order) = (anomaly(), order());
    for (condition, event, expected) in [
        ("", &anomaly, true),
        ("event.anomaly_detected.score > 8.0", &anomaly, true),
        ("event.anomaly_detected.score > 8", &anomaly, true),
        ("event.anomaly_detected.severity == 'SEVERITY_CRITICAL'", &anomaly, true),
        ("event.anomaly_detected.severity in ['SEVERITY_INFO', 'SEVERITY_WARNING']", &anomaly, false),
        (
            "has(event.anomaly_detected.expected) && !has(event.anomaly_detected.expected_lower)",
            &anomaly,
            true,
        ),
        ("event.anomaly_detected.cause_id == ''", &anomaly, true),
        ("event.anomaly_detected.contributions.size() == 0", &anomaly, true),
        ("event.anomaly_detected.value - event.anomaly_detected.expected > 70.0", &anomaly, true),
        ("has(event.sensor_reading)", &anomaly, false),
        ("has(event.sensor_reading) && event.sensor_reading.measurements.size() > 0", &anomaly, false),
        (
            "event.sensor_reading.measurements.exists(m, m.metric == 'pressure' && m.value < 3.0)",
            &reading,
            true,
        ),
        ("event.sensor_reading.measurements.all(m, m.unit == 'Cel')", &reading, true),
        ("event.sensor_reading.measurements.filter(m, m.value > 3.0).size() == 1", &reading, true),
        ("'pressure' in event.sensor_reading.measurements.map(m, m.metric)", &reading, true),
        ("event.sensor_reading.measurements.exists_one(m, m.metric.startsWith('temp'))", &reading, true),
        ("event.sensor_reading.measurements[1].value == 2.5", &reading, true),
        ("event.subject.matches('^device-[0-9]+$') && matches(event.source, 'l.nt')", &reading, true),
        ("event.subject.contains('vice') && event.subject.endsWith('7')", &reading, true),
        ("event.position > 41 && event.position == 42u", &reading, true),
        ("event.clock_ahead || event.attributes['line'].string == '2'", &reading, true),
        ("event.attributes.line.string == '2' && !has(event.attributes.line.integer)", &reading, true),
        ("'line' in event.attributes && !('shift' in event.attributes)", &reading, true),
        (
            "event.event_time < timestamp('2023-12-01T00:00:00Z') && event.event_time.getHours() == 22",
            &reading,
            true,
        ),
        ("event.event_time - timestamp('2023-11-14T22:13:00Z') == duration('20s')", &reading, true),
        ("event.struct.total > 100", &order, true),
        ("event.struct.total * 2.0 == 241", &order, true),
        ("event.struct['total'] == 120.5 && event.struct.yes", &order, true),
        ("event.struct.tags == ['vip', 'eu'] && ['vip', 'eu'] == event.struct.tags", &order, true),
        ("event.struct.tags != ['vip', 'eu', 'x']", &order, true),
        ("event.struct.lines == event.struct.lines && event.struct == event.struct", &order, true),
        ("'vip' in event.struct.tags && event.struct.nothing == null", &order, true),
        ("event.struct.lines.exists(line, line.exists(n, n == 3.0))", &order, true),
        ("event.struct.exists(key, key == 'total')", &order, true),
        ("has(event.struct.missing)", &order, false),
        ("event.struct.missing > 1 || event.struct.total > 1", &order, true),
        ("[1, 2, 3].exists(n, n == 2) && size('abc') == 3 && (true ? true : false)", &order, true),
    ] {
        assert_eq!(holds(condition, event), Ok(expected), "{condition}");
    }
}

#[test]
fn what_an_event_does_not_have_fails_and_is_named() {
    for (condition, told) in [
        ("event.anomaly_detected.score > 8.0", "the event has no `anomaly_detected`"),
        ("event.struct.missing == 1", "the event has no `missing`"),
        ("event.struct.total", "it is neither true nor false, but a double"),
        ("event.struct.tags[7] == 'a'", "Index out of bounds: Int(7)"),
        ("event.struct.total > 'a'", "found no matching overload for '_>_' applied to '(double, string)'"),
        ("event.struct.name.size() / 0 == 1", "Division by zero of Int(8)"),
    ] {
        assert_eq!(holds(condition, &order()), Err(told.to_owned()), "{condition}");
    }
}

#[test]
fn what_cannot_be_true_of_any_event_is_told_when_it_is_made() {
    for (condition, told) in [
        (
            "event.anomaly_detected.scor > 1.0",
            "`event.anomaly_detected` has no field `scor`: did you mean `score`?",
        ),
        ("event.anomaly.score > 1.0", "`event` has no field `anomaly`: did you mean `anomaly_detected`?"),
        ("evnt.subject == 'a'", "`evnt` is unknown: did you mean `event`?"),
        ("event.subject.xyz == 'a'", "`event.subject` is a string, and has no field `xyz`"),
        (
            "event.subject.startWith('a')",
            "calls `startWith` in a way that is unknown: did you mean `startsWith`?",
        ),
        ("event.subject", "is a string, and must be true or false"),
        ("event.subject == 1", "compares a string with an int, which are never equal"),
        (
            "event.anomaly_detected == event.anomaly_detected",
            "compares a message AnomalyDetected with a message AnomalyDetected, which are never equal",
        ),
        (
            "event.system_event.status == 'down'",
            "has \"down\", which is none of \"STATUS_UNSPECIFIED\", \"OK\", \"DEGRADED\", \"DOWN\"",
        ),
        (
            "event.system_event.status in ['OK', 'BAD']",
            "has \"BAD\", which is none of \"STATUS_UNSPECIFIED\", \"OK\", \"DEGRADED\", \"DOWN\"",
        ),
        (
            "event.anomaly_detected.severity > 'SEVERITY_INFO'",
            "asks which is more of the name of an enum's value and a string",
        ),
        (
            "event.anomaly_detected.score * 2 > 1.0",
            "has `*` of a double and an int, which do not mix: write `double(…)` around one, or 2.0 for 2",
        ),
        (
            "event.struct.a + event.struct.b > 1.0",
            "has `+` of what may be no numbers: write `double(…)` around the first",
        ),
        ("event.subject + 'a' == 'ba'", "has `+` of a string and a string"),
        ("event.subject && true", "has a string where it needs true or false"),
        (
            "event.subject.matches(event.source)",
            "has a pattern for `matches` that is not written out in quotes",
        ),
        ("event.subject.matches('(')", "has a bad pattern \"(\": unclosed group"),
        (
            "event.subject.matches('(a{1000}){1000}')",
            "has a pattern for `matches` that is larger than 262144 bytes when compiled",
        ),
        ("{'a': 1}.size() > 1", "makes a map: conditions only look at what is there"),
        (
            "(true ? [1] : [2]).exists(a, a == 1)",
            "goes over something that is neither a part of the event nor a list nor what another loop made",
        ),
        ("event.struct.a.map(a, [1, 2]).size() > 1", "makes a list of what is a list"),
        ("event.struct.a.map(a, true ? a : 1).size() > 1", "makes a list of what is anything"),
        ("[[1], [2]].size() > 1", "has a list of what is a list itself"),
        (
            "event.struct.a.exists(a, event.struct.b - 1.0 > 1.0)",
            "has a sum inside of a loop that goes over the same text in each turn",
        ),
        ("event.subject.exists(a, true)", "goes over a string, and can only go over lists and maps"),
        ("event.struct.a.exists(event, true)", "`event` is the name of something else already"),
        ("event.struct.a.exists(a, a.exists(a, true))", "`a` is the name of something else already"),
        ("event.struct.a.exists(a, a.exists(b, b.exists(c, true)))", "has loops nested deeper than 2"),
        (
            "event.struct.a.exists(a, event.struct.b.exists(b, a == b))",
            "has a loop inside of a loop that goes over the same text in each turn",
        ),
        (
            "event.struct.a.exists(a, event.struct.b.contains('x'))",
            "has `contains` inside of a loop that goes over the same text in each turn",
        ),
        (
            "event.struct.a.exists(a, a in event.struct.b)",
            "has `in` inside of a loop that goes over the same text in each turn",
        ),
        (
            "event.struct.a.exists(a, event.struct.b == event.struct.c)",
            "has `==` inside of a loop that goes over the same text in each turn",
        ),
        (&"(".repeat(25), "has brackets nested deeper than 24"),
        (&"é".repeat(4_097), "has 4097 characters; the limit is 4096"),
        (
            "event.subject ==",
            "is no CEL at line 1, column 17: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("event.?subject == 'a'", "is no CEL at line 1, column 6: unsupported syntax '.?'"),
    ] {
        assert_eq!(why(condition), told, "{condition}");
    }
}
