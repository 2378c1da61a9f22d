#![no_main]

#[path = "../targets/mqtt.rs"]
mod mqtt;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mqtt::run(data));
