//! A frame from a client.

#![no_main]

use lakechat_core::chat::wire::Incoming;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &str| {
    let _ = Incoming::parse(frame);
});
