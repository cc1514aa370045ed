//! Link options of the binary.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // librdkafka comes with full debug information, whatever the profile says.
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    }
}
