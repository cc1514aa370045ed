//! The body of a form with the boundary `X`, in chunks of one size, which the first byte gives.

#![no_main]

use bytes::Bytes;
use lakechat_fuzz::files::file_in_form;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((size, body)) = data.split_first() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without drivers");
    let read = |size| {
        let chunks = body.chunks(size).map(Bytes::copy_from_slice).collect();
        runtime.block_on(file_in_form(chunks, "X"))
    };
    let (whole, cut) = (read(usize::MAX), read(usize::from(*size) + 1));
    if let (Ok(whole), Ok(cut)) = (whole, cut) {
        assert!(whole == cut, "{whole:?} {cut:?}");
    }
});
