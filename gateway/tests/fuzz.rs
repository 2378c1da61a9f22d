//! The fuzz targets of `tests/fuzz` near their seeds, on any compiler.

#[path = "../../tests/fuzz/targets/cloudevents.rs"]
mod cloudevents;
#[path = "../../tests/fuzz/targets/json.rs"]
mod json;
#[path = "../../tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../tests/fuzz/targets/template.rs"]
mod template;

#[test]
fn templates_match_what_they_are_written_as() {
    mutate::run("template", 50_000, template::run);
}

#[test]
fn what_json_was_read_is_written_and_read_again() {
    mutate::run("json", 20_000, json::run);
}

#[test]
fn cloudevents_that_are_read_leave_and_come_back() {
    mutate::run("cloudevents", 10_000, cloudevents::run);
}
