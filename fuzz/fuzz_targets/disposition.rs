//! A `Content-Disposition` header.

#![no_main]

use http::HeaderValue;
use lakechat_fuzz::files::{file_names, header_for};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(header) = HeaderValue::from_bytes(data) else {
        return;
    };
    for name in file_names(&header).into_iter().flatten() {
        let [again, _] = file_names(&header_for(&name));
        assert_eq!(again.as_deref(), Some(&*name));
    }
});
