//! SQLite's own messages in the log of the process: a WAL that was recovered, damage, failed system calls.

use std::ffi::c_int;
use std::sync::Once;

use rusqlite::ffi;

static STARTED: Once = Once::new();

/// Passes SQLite's messages on from the first call. `database::connect` calls it before it opens a
/// connection, since SQLite takes this setting only before its first use.
pub(super) fn start() {
    STARTED.call_once(|| {
        #[expect(unsafe_code, reason = "the library has no safe call for it")]
        // SAFETY: no SQLite call runs meanwhile, because connections are only opened after this one, by
        // `database::connect`, and other threads wait in `call_once`. `log` makes no SQLite call, and
        // any thread may run it.
        let started = unsafe { rusqlite::trace::config_log(Some(log)) };
        if let Err(error) = started {
            tracing::warn!(%error, "SQLite's own messages won't be logged");
        }
    });
}

fn log(code: c_int, message: &str) {
    // The low byte of an extended code is its class.
    match code & 0xff {
        ffi::SQLITE_NOTICE => tracing::info!(code, "SQLite: {message}"),
        // A statement is prepared again after another program changed the schema.
        ffi::SQLITE_SCHEMA => tracing::debug!(code, "SQLite: {message}"),
        _ => tracing::warn!(code, "SQLite: {message}"),
    }
}
