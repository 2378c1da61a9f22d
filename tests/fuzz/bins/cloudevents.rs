#![no_main]

#[path = "../targets/cloudevents.rs"]
mod cloudevents;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cloudevents::run(data));
