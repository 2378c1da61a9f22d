//! The fuzz target of `tests/fuzz` for MQTT near its seeds, on any compiler.

#[path = "../../../tests/fuzz/targets/mqtt.rs"]
mod mqtt;
#[path = "../../../tests/fuzz/mutate.rs"]
mod mutate;

#[test]
fn messages_are_the_events_of_their_topics_or_are_refused_in_few_words() {
    mutate::run("mqtt", 10_000, mqtt::run);
}
