//! Whatever is written and whatever happens: no panic, no overflow, and an end in good time.

use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// More than enough for what takes a fraction of it, on a busy machine and without optimization.
const SOON: Duration = Duration::from_secs(20);
/// The largest event.
const EVENT_BYTES: usize = 256 << 10;

/// What sources grow by, in depth or in length.
const PIECES: [&str; 45] = [
    "(",
    "[",
    "{",
    "{1:",
    "f(",
    "!",
    "-",
    "1+",
    "1<",
    "a&&",
    "a||",
    "a?b:",
    "a?",
    ".b",
    "[0]",
    ".b()",
    "((!a?[{",
    "a.b(c,[d,{e:",
    "a.exists(x,",
    "a{b:",
    ",",
    "\"",
    "'",
    "((!a",
    "!(",
    "a[b ? [c ? {d ? (",
    "-(-",
    "!!(",
    "has(",
    "1 in [",
    "\\",
    "/*",
    "//",
    "\u{0}",
    "event.struct.a==",
    "(a?b:",
    "{a?b:",
    "[a?",
    "`",
    "r'",
    "b\"",
    "\"\"\"",
    "0x",
    "1e",
    "é",
];

fn with_condition(condition: String) -> Result<Rule, Vec<Violation>> {
    Rule::try_new(&proto::Rule { condition, ..definition() })
}

fn big(values: usize) -> Event {
    json(vec![("l", list(vec![Value { kind: Some(Kind::NullValue(0)) }; values]))])
}

#[test]
fn sources_that_are_deep_or_long_are_refused_or_bounded() {
    for piece in PIECES {
        for (before, after) in [("", ""), ("true || ", "1"), ("event", ""), ("a", ")")] {
            for times in [20, 24, 4_080 / piece.len()] {
                let begun = Instant::now();
                let source = format!("{before}{}1{after}", piece.repeat(times));
                let closed = format!("{}1{}", piece.repeat(times.min(300)), ")".repeat(times.min(300)));
                for source in [source, closed] {
                    // It is refused or it runs; neither takes long.
                    if let Ok(rule) = with_condition(source) {
                        assert!(rule.holds(&View::new(&anomaly())).is_ok() || rule.name() == "hot");
                    }
                }
                assert!(begun.elapsed() < SOON, "{piece:?} {times}: {:?}", begun.elapsed());
            }
        }
    }
}

#[test]
fn the_deepest_condition_that_is_allowed_runs_on_the_stack_of_a_worker() {
    let nested = (1..40)
        .rev()
        .map(|depth| "!".to_owned() + &"(true ? ".repeat(depth) + "true" + &" : false)".repeat(depth));
    let sums = (1..40).rev().map(|terms| format!("1{} > 0", "+1".repeat(terms)));
    for mut sources in [Box::new(nested) as Box<dyn Iterator<Item = String>>, Box::new(sums)] {
        let rule = sources.find_map(|source| with_condition(source).ok()).expect("one is allowed");
        let run = move || rule.holds(&View::new(&anomaly())).is_ok();
        let worker = std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread");
        assert!(worker.join().expect("no overflow"));
    }
}

#[test]
fn loops_go_over_so_many_elements_and_no_more() {
    let rule = |condition: &str| with_condition(condition.to_owned()).expect("a good condition");
    let once = rule("event.struct.l.all(x, x == null)");
    assert_eq!(once.holds(&View::new(&big(10_000))), Ok(true));
    let told = ConditionFailed("its loops go over more than 10000 elements".into());
    assert_eq!(once.holds(&View::new(&big(10_001))), Err(told.clone()));
    let twice = rule("event.struct.l.all(x, x == null) && event.struct.l.all(x, x == null)");
    assert_eq!(twice.holds(&View::new(&big(6_000))), Err(told.clone()));
    let absorbed = rule("null in event.struct.l || event.struct.l == [1] || true");
    assert_eq!(absorbed.holds(&View::new(&big(10_001))), Err(told));
    assert_eq!(rule("event.struct.l.size() == 60000").holds(&View::new(&big(60_000))), Ok(true));
}

#[test]
fn the_most_that_a_condition_can_cost_is_bounded() {
    let body = "x.a.b.c == 1 || ".repeat(16) + "false";
    let text_of = |length: usize| {
        json(vec![
            ("l", list(vec![Value { kind: Some(Kind::NullValue(0)) }; 10_000])),
            ("t", text(&"a".repeat(length))),
        ])
    };
    let searches = "event.struct.t.matches('(a|aa)+(a|aa)+b') || ".repeat(16) + "false";
    let contains = "event.struct.t.contains('aaaaaaaaaaaaaaab') || ".repeat(80) + "false";
    for (name, condition, event) in [
        ("turns", format!("event.struct.l.exists(x, {body})"), big(10_000)),
        ("searches", searches, text_of(EVENT_BYTES - 60_000)),
        ("contains", contains, text_of(EVENT_BYTES - 60_000)),
        ("chain", format!("event.struct.l{}.size() > 1", ".filter(x, true)".repeat(16)), big(10_000)),
    ] {
        let rule = with_condition(condition).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        let view = View::new(&event);
        let begun = Instant::now();
        let result = rule.holds(&view);
        println!("{name}: {:?} {result:?}", begun.elapsed());
        assert!(begun.elapsed() < SOON, "{name}: {:?}", begun.elapsed());
    }
    let more = "event.struct.l.exists(x, ".to_owned() + &"x.a == 1 || ".repeat(100) + "false)";
    let refused = with_condition(more).expect_err("too much for each turn");
    assert_eq!(refused[0].description, "has more than 128 parts inside of loops");
    let lists = format!("[{}].exists(x, x == 2)", "1,".repeat(200) + "1");
    let refused = with_condition(lists).expect_err("too many turns");
    assert_eq!(refused[0].description, "has more than 128 parts inside of loops");
}

#[test]
fn templates_end_whatever_they_go_over() {
    let template = |text: String| {
        let template = Some(proto::Template { title: "t".into(), text });
        rule(&proto::Rule { template, ..definition() })
    };
    let nested =
        "{% for a in event.struct.l %}".repeat(5) + "{{ event.id ~ event.id }}" + &"{% endfor %}".repeat(5);
    let quiet = "{% for a in event.struct.l %}".repeat(5) + &"{% endfor %}".repeat(5);
    for (source, event) in
        [(nested, big(60_000)), (quiet, big(60_000)), ("{{ event }}".repeat(1_000), big(60_000))]
    {
        let begun = Instant::now();
        let said = template(source).render(&View::new(&event), Escape::Slack);
        println!("{:?} {:?}", begun.elapsed(), said.as_ref().map(|said| said.text.len()));
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    let many: Vec<_> = (0..10_000).map(|_| ("m", 0.0)).collect();
    let said = rule(&definition())
        .render(&View::new(&reading(&many)), Escape::Plain)
        .expect("the default has an end");
    assert_eq!(said.title.chars().count(), 1_024);
}

/// Sources of pieces that belong to conditions, in any order.
fn source() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "event",
        ".struct",
        ".a",
        ".subject",
        ".sensor_reading",
        ".measurements",
        ".anomaly_detected",
        ".score",
        ".event_time",
        "==",
        "!=",
        "<",
        "+",
        "-",
        "/",
        "%",
        "&&",
        "||",
        "!",
        "(",
        ")",
        "[",
        "]",
        "1",
        "0",
        "2.5",
        "'a'",
        "null",
        "true",
        ".exists(x, ",
        ".all(x, ",
        ".map(x, ",
        "x",
        " in ",
        ".size()",
        ".matches('a+')",
        "has(",
        "? ",
        " : ",
        "int(",
        "double(",
        "string(",
        "timestamp(",
        ".getHours()",
        ", ",
        "9223372036854775807",
        "duration('1s')",
        "{",
        "}",
        ".attributes",
        "['k']",
        ".position",
        "1u",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value { kind: None }),
        Just(Value { kind: Some(Kind::NullValue(0)) }),
        any::<f64>().prop_map(number),
        ".{0,8}".prop_map(|string| text(&string)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(list),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|fields| Value {
                kind: Some(Kind::StructValue(Struct { fields: fields.into_iter().collect() })),
            }),
        ]
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let payload = prop_oneof![
        prop::collection::btree_map("[a-c]", value(), 0..4)
            .prop_map(|fields| Some(Payload::Struct(Struct { fields: fields.into_iter().collect() }))),
        prop::collection::vec((".{0,4}", any::<f64>()), 0..4).prop_map(|metrics| {
            let metrics: Vec<_> = metrics.iter().map(|(metric, value)| (metric.as_str(), *value)).collect();
            reading(&metrics).payload
        }),
        (any::<f64>(), any::<i32>(), any::<i64>(), any::<i32>()).prop_map(
            |(score, severity, seconds, nanos)| {
                let sample_time = Some(prost_types::Timestamp { seconds, nanos });
                Some(Payload::AnomalyDetected(AnomalyDetected {
                    score,
                    severity,
                    sample_time,
                    ..AnomalyDetected::default()
                }))
            }
        ),
        Just(None),
    ];
    (payload, ".{0,6}", any::<i64>(), any::<i32>()).prop_map(|(payload, subject, seconds, nanos)| Event {
        payload,
        subject,
        event_time: Some(prost_types::Timestamp { seconds, nanos }),
        attributes: [("k".to_owned(), attribute("v"))].into(),
        ..Event::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_condition_panics_and_each_says_the_same_again(source in source(), event in any_event()) {
        if let Ok(rule) = with_condition(source) {
            let (once, again) = (rule.holds(&View::new(&event)), rule.holds(&View::new(&event)));
            prop_assert_eq!(once, again);
        }
    }

    #[test]
    fn no_source_overflows_the_parser(
        parts in prop::collection::vec((prop::sample::select(&PIECES[..]), prop::sample::select(vec![1, 7, 24, 95, 700])), 1..6),
    ) {
        let mut source: String = parts.iter().map(|(piece, times)| piece.repeat(*times)).collect();
        source.truncate(source.floor_char_boundary(4_080));
        for end in ["", "1", ")))))))))))))))"] {
            let begun = Instant::now();
            drop(with_condition(format!("{source}{end}")));
            prop_assert!(begun.elapsed() < SOON);
        }
    }

    #[test]
    fn no_text_panics(condition in ".{0,60}", template in "[ -~{}%#]{0,40}") {
        let template = Some(proto::Template { title: template.clone(), text: template });
        let made = Rule::try_new(&proto::Rule { condition, template, ..definition() });
        if let Ok(rule) = made {
            let event = anomaly();
            let view = View::new(&event);
            prop_assert_eq!(rule.render(&view, Escape::Slack), rule.render(&view, Escape::Slack));
        }
    }

    #[test]
    fn whatever_happens_can_be_said(event in any_event()) {
        let view = View::new(&event);
        let said = rule(&definition()).render(&view, Escape::Plain).expect("the default");
        prop_assert!(!said.title.chars().any(char::is_control) && said.title.chars().count() <= 1_024);
    }
}
