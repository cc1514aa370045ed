//! The state of a SHA-256 between two requests, as a text.

use sha2::Sha256;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

use crate::domain::Upload;
use crate::ports::PortError;

/// The state before the first byte.
pub(super) fn initial() -> String {
    write(&Sha256::default())
}

pub(super) fn write(sum: &Sha256) -> String {
    hex::encode(sum.serialize())
}

/// The sum of the bytes of an upload so far.
pub(super) fn read(upload: &Upload) -> Result<Sha256, PortError> {
    let mut state = SerializedState::<Sha256>::default();
    hex::decode_to_slice(&upload.sha256_state, &mut state)
        .ok()
        .and_then(|()| Sha256::deserialize(&state).ok())
        .ok_or_else(|| {
            let reason = format!("the SHA-256 of upload {} can't be read", upload.id);
            PortError::broken("directory", reason)
        })
}
