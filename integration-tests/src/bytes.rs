//! Bytes that don't fit memory: made on the way, and known again by their checksum.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

const CHUNK: usize = 256 << 10;

/// The `size` bytes that belong to a seed.
pub fn made(seed: u64, size: u64) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    chunks(seed, size).map(Ok)
}

/// The checksum of those bytes, in hex.
pub async fn sha256_of(seed: u64, size: u64) -> String {
    let hash =
        chunks(seed, size).fold(Sha256::new(), async |hash, chunk| hash.chain_update(&chunk));
    hex(&hash.await.finalize())
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// One random block repeated with the offset written into each: as fast as memory, and no two
/// chunks alike.
fn chunks(seed: u64, size: u64) -> impl Stream<Item = Bytes> + Send + 'static {
    let mut block = vec![0; CHUNK];
    StdRng::seed_from_u64(seed).fill_bytes(&mut block);
    stream::iter((0..size).step_by(CHUNK)).map(move |offset| {
        let mut chunk = block.clone();
        chunk[..8].copy_from_slice(&offset.to_be_bytes());
        chunk.truncate(usize::try_from(size - offset).map_or(CHUNK, |left| left.min(CHUNK)));
        chunk.into()
    })
}
