//! `cornjacket events timeline`: how far an event has come, and when.

use cornjacket_domain::Timestamp;
use cornjacket_proto::query::{GetEventTimelineRequest, Stage};

use super::client::{Server, told};
use super::table;
use crate::config::Settings;

/// Asks and prints.
pub async fn run(server: &Server, settings: &Settings, source: String, id: String) -> anyhow::Result<()> {
    let request = GetEventTimelineRequest { id, source };
    let response = server.query(settings).await?.get_event_timeline(request).await;
    let timeline = response.map_err(|status| told(&status))?.into_inner();
    println!("position {} in {}, partition {}", timeline.position, timeline.topic, timeline.partition);
    print!("{}", draw(&timeline.stages));
    Ok(())
}

/// The stages, with how long after the first each was done.
fn draw(stages: &[Stage]) -> String {
    let time = |stage: &Stage| stage.time.as_ref().and_then(Timestamp::from_proto);
    let first = stages.first().and_then(time);
    let row = |stage: &Stage| {
        let after = time(stage).zip(first).map(|(time, first)| time.as_micros() - first.as_micros());
        let after = after.map(|micros| format!("+{}.{:03} ms", micros / 1_000, micros % 1_000));
        let at = stage.time.map(|time| time.to_string()).unwrap_or_default();
        [stage.name.clone(), stage.state.clone(), at, after.unwrap_or_default()]
    };
    table::of(&["STAGE", "STATE", "BY", "AFTER"], stages.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_without_a_time_has_none() {
        let stage = |name: &str, micros: Option<i64>| Stage {
            name: name.into(),
            state: "done".into(),
            time: micros.map(|micros| Timestamp::from_micros(micros).to_proto()),
        };
        let drawn = draw(&[stage("accepted", Some(0)), stage("a", Some(1_002_003)), stage("b", None)]);
        let lines: Vec<&str> = drawn.lines().skip(1).collect();
        assert!(lines[1].ends_with("1970-01-01T00:00:01.002003Z  +1002.003 ms"), "{drawn}");
        assert_eq!(lines[2], "b         done");
    }
}
