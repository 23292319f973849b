#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| outbox_sidecar::fuzzing::postgresql_conversation(input));
