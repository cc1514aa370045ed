//! A configuration file, and after a NUL lines `NAME=value` of the environment.

#![no_main]

use std::cell::RefCell;
use std::io::{Seek, Write};

use lakechat_fuzz::config::{Flags, load_from};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a file"));
}

fuzz_target!(|data: &[u8]| {
    let at = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let (file, environment) = data.split_at(at);
    let environment = String::from_utf8_lossy(environment);
    let variables = environment.trim_start_matches('\0').lines();
    let variables = variables.filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    FILE.with_borrow_mut(|written| {
        written.as_file().set_len(0).expect("ours");
        written.rewind().expect("ours");
        written.write_all(file).expect("ours");
        let flags = Flags {
            config: Some(written.path().to_owned()),
            ..Flags::default()
        };
        if let Err(errors) = load_from(&flags, variables) {
            assert!(!errors.to_string().is_empty());
        }
    });
});
