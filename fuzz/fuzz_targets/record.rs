//! A record of the log: its key, a NUL, its value.

#![no_main]

use lakechat_core::chat::log::record::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|byte| *byte == 0);
    let Some((key, value)) = at.map(|at| (&data[..at], &data[at + 1..])) else {
        return;
    };
    if let Ok(record) = Record::decode(key, value) {
        let again = Record::decode(key, &record.encode());
        assert_eq!(again.as_ref(), Ok(&record));
    }
});
