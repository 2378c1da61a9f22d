//! What is said, in which words.

use super::*;

fn said(title: &str, text: &str, event: &Event, escape: Escape) -> Result<Rendered, String> {
    let template = proto::Template { title: title.into(), text: text.into() };
    let rule = Rule::try_new(&proto::Rule { template: Some(template), ..definition() })
        .unwrap_or_else(|problems| panic!("{title}: {problems:?}"));
    rule.render(&View::new(event), escape).map_err(|failed| failed.0)
}

fn plainly(event: &Event) -> (String, String) {
    let rendered = rule(&definition()).render(&View::new(event), Escape::Plain).expect("the default");
    (rendered.title, rendered.text)
}

#[test]
fn without_a_template_it_is_said_what_happened_to_whom() {
    let (title, text) = plainly(&anomaly());
    assert_eq!(title, "critical: temperature of device-7 is 99, expected 21.3 (ai.anomaly_detected)");
    assert_eq!(
        text,
        "Score 8.25 by model spikes, version 1 (threshold).\nSample of 2023-11-14T22:13:20Z.\n\
         Event e-1 of plant, position 42, 2023-11-14T22:13:20Z. Rule hot."
    );
    let breach = BreachExpected {
        series_subject: "tank".into(),
        metric: "level".into(),
        limit: 0.1 + 0.2,
        direction: 1,
        probability: 0.834,
        rule: "full".into(),
        forecaster: "ets".into(),
        last_time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
        ..BreachExpected::default()
    };
    let (title, text) = plainly(&event("ai.breach_expected", Payload::BreachExpected(breach)));
    assert_eq!(title, "warning: level of tank is expected above 0.3 (83 %) (ai.breach_expected)");
    assert!(text.starts_with("Less likely than not.\nLast value: 0 at 1970-01-01T00:00:00Z."), "{text}");
    let down = SystemEvent {
        component: "db".into(),
        status: 3,
        message: "no disk".into(),
        ..SystemEvent::default()
    };
    let (title, text) = plainly(&event("system.health", Payload::SystemEvent(down)));
    assert_eq!(title, "warning: db is down: no disk (system.health)");
    assert!(text.starts_with("no disk\nEvent e-1 of plant"), "{text}");
    let (title, _) = plainly(&reading(&[("temperature", 99.0), ("pressure", 2.5)]));
    assert_eq!(
        title,
        "warning: temperature of device-7 is 99 Cel, pressure of device-7 is 2.5 Cel (sensor.reading)"
    );
    let (title, text) = plainly(&json(vec![]));
    assert_eq!(title, "warning: device-7 (shop.order)");
    assert_eq!(text, "Event e-1 of plant, position 42, 2023-11-14T22:13:20Z. Rule hot.");
}

#[test]
fn templates_see_the_event_and_what_is_missing_is_empty() {
    let event = json(vec![
        ("total", number(120.5)),
        ("count", number(3.0)),
        ("tags", list(vec![text("a"), text("b")])),
        ("nothing", Value { kind: Some(Kind::NullValue(0)) }),
    ]);
    for (template, expected) in [
        ("{{ rule }} {{ severity }} {{ event.subject }}", "hot warning device-7"),
        ("{{ event.struct.total }}/{{ event.struct.count }}/{{ event.struct.count / 2 }}", "120.5/3/1.5"),
        ("[{{ event.struct.a.b.c }}{{ event.anomaly_detected.score }}{{ event.struct.nothing }}]", "[]"),
        ("{% for tag in event.struct.tags %}{{ loop.index }}{{ tag }}{% endfor %}", "1a2b"),
        ("{% if event.struct.total > 100 %}much{% else %}little{% endif %}", "much"),
        ("{{ event.attributes.line.string }} {{ event.event_time }}", "2 2023-11-14T22:13:20Z"),
        (
            "{{ event.subject | upper }} {{ 0.256 | percent }} {{ 1234.56789 | short }}",
            "DEVICE-7 26 % 1234.57",
        ),
        ("a\u{7}b\nc", "a b c"),
    ] {
        assert_eq!(
            said(template, "", &event, Escape::Plain).map(|said| said.title),
            Ok(expected.into()),
            "{template}"
        );
    }
    let text = said("t", "a\u{7}b\n\tc\r\n", &event, Escape::Plain).map(|said| said.text);
    assert_eq!(text.as_deref(), Ok("ab\n\tc"));
}

#[test]
fn what_comes_from_events_is_escaped_for_slack() {
    let event = json(vec![("name", text("<!channel> & <https://evil|x>"))]);
    let template = "*<b>* {{ event.struct.name }}";
    let said = |escape| said(template, template, &event, escape).expect("a good template");
    let slack = "*<b>* &lt;!channel&gt; &amp; &lt;https://evil|x&gt;";
    assert_eq!(said(Escape::Slack), Rendered { title: slack.into(), text: slack.into() });
    let plain = "*<b>* <!channel> & <https://evil|x>";
    assert_eq!(said(Escape::Plain), Rendered { title: plain.into(), text: plain.into() });
}

#[test]
fn what_is_said_ends_at_its_limit_on_a_character() {
    let event = json(vec![("long", text(&"é&".repeat(20_000)))]);
    for (escape, last, titles, texts) in
        [(Escape::Plain, "é&", 1_024, 16_384), (Escape::Slack, "&amp;", 1_023, 16_383)]
    {
        let said =
            said("a{{ event.struct.long }}", "{{ event.struct.long }}", &event, escape).expect("it is cut");
        assert!(said.title.chars().count() >= titles - 5 && said.title.chars().count() <= 1_024);
        assert!(said.text.chars().count() >= texts - 5 && said.text.chars().count() <= 16_384);
        assert!(
            said.text.ends_with(last) || said.text.ends_with('é'),
            "{}",
            &said.text[said.text.len() - 9..]
        );
    }
}

#[test]
fn templates_that_cannot_be_are_told_with_their_line() {
    for (title, told) in [
        ("{{ event.subject", "has `{{` without `}}` at line 1"),
        (
            "a\n{% if event.subject %}b",
            "syntax error: unexpected end of input, expected end of block at line 2",
        ),
        (
            "{{ event.subject | shout }}",
            "has a filter `shout` at line 1, which is unknown: did you mean `short`?",
        ),
        ("{{ range(9) }}", "unknown function: range is unknown at line 1"),
        ("{% if event.id is odd %}{% endif %}", "unknown test: test odd is unknown at line 1"),
        ("{% include 'x' %}", "has `include` at line 1; there is only `if` and `for`"),
        ("{% macro a() %}{% endmacro %}", "has `macro` at line 1; there is only `if` and `for`"),
    ] {
        let template = proto::Template { title: title.into(), text: String::new() };
        let problems = refused(&proto::Rule { template: Some(template), ..definition() });
        assert_eq!(problems, [("template.title".to_owned(), told.to_owned())], "{title}");
    }
    let long = proto::Template { title: "a".repeat(1_025), text: "b".repeat(16_385) };
    let problems = refused(&proto::Rule { template: Some(long), ..definition() });
    assert_eq!(problems[0].1, "has 1025 characters; the limit is 1024");
    assert_eq!(problems[1].1, "has 16385 characters; the limit is 16384");
}
