//! Memory with a limit for all users together, and one for each user.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;

/// A key may hold this part of the memory, so that one that holds much leaves the rest to others.
const PARTS: usize = 8;

/// How long a reservation waits for its key's part, and again for all.
const WAIT: Duration = Duration::from_secs(10);

/// The unit of reservations.
const KIB: usize = 1024;

/// The number of keys at which the map is swept the first time.
const SWEEP_AT: usize = 1024;

/// A limit in bytes, of which each key, such as a user, may hold an eighth.
///
/// Whoever waits gets memory in the order of arrival. A reservation of more than a key's part is
/// reduced to it: the caller limits how much it takes at once.
#[derive(Debug)]
pub struct KeyedMemory<K> {
    all: Arc<Semaphore>,
    parts: Mutex<Parts<K>>,
    part_kib: usize,
}

#[derive(Debug)]
struct Parts<K> {
    /// The keys that hold or wait for memory, and some that did earlier.
    by_key: HashMap<K, Weak<Semaphore>>,
    sweep_at: usize,
}

/// Why a reservation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The key's other reservations hold its part.
    Part,
    /// All keys together hold everything.
    All,
}

/// Reserved memory. Dropping it frees the memory.
#[derive(Debug)]
pub struct ReservedMemory {
    part: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl<K: Hash + Eq + Clone> KeyedMemory<K> {
    pub fn new(limit_bytes: usize) -> KeyedMemory<K> {
        let kib = (limit_bytes / KIB).clamp(PARTS, u32::MAX as usize);
        KeyedMemory {
            all: Arc::new(Semaphore::new(kib)),
            parts: Mutex::new(Parts {
                by_key: HashMap::new(),
                sweep_at: SWEEP_AT,
            }),
            part_kib: kib / PARTS,
        }
    }

    /// What one key may hold.
    pub fn part_bytes(&self) -> usize {
        self.part_kib * KIB
    }

    /// Reserves memory, and waits for it for a limited time.
    pub async fn reserve(&self, key: &K, bytes: usize) -> Result<ReservedMemory, Exhausted> {
        let kib = self.kib(bytes);
        // The key's own part comes first: while waiting for it, nothing of others is held.
        let part = self.part_of(key).acquire_many_owned(kib);
        let part = timeout(WAIT, part).await.map_err(|_| Exhausted::Part)?;
        let all = self.all.clone().acquire_many_owned(kib);
        let all = timeout(WAIT, all).await.map_err(|_| Exhausted::All)?;
        Ok(ReservedMemory {
            part: part.expect("it is never closed"),
            all: all.expect("it is never closed"),
        })
    }

    /// Reserves memory if it is free at once.
    pub fn try_reserve(&self, key: &K, bytes: usize) -> Result<ReservedMemory, Exhausted> {
        let kib = self.kib(bytes);
        let part = self.part_of(key).try_acquire_many_owned(kib);
        let part = part.map_err(|_: TryAcquireError| Exhausted::Part)?;
        let all = self.all.clone().try_acquire_many_owned(kib);
        let all = all.map_err(|_: TryAcquireError| Exhausted::All)?;
        Ok(ReservedMemory { part, all })
    }

    fn kib(&self, bytes: usize) -> u32 {
        let kib = bytes.div_ceil(KIB).clamp(1, self.part_kib);
        u32::try_from(kib).expect("the limit fits")
    }

    fn part_of(&self, key: &K) -> Arc<Semaphore> {
        let mut parts = self.parts.lock().expect("no panic while held");
        if let Some(part) = parts.by_key.get(key).and_then(Weak::upgrade) {
            return part;
        }
        if parts.by_key.len() >= parts.sweep_at {
            parts.by_key.retain(|_, part| part.strong_count() > 0);
            parts.sweep_at = SWEEP_AT.max(2 * parts.by_key.len());
        }
        let part = Arc::new(Semaphore::new(self.part_kib));
        parts.by_key.insert(key.clone(), Arc::downgrade(&part));
        part
    }
}

impl ReservedMemory {
    /// Frees all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.part.num_permits().saturating_sub(bytes.div_ceil(KIB));
        // Dropped at once, which frees it.
        drop((self.part.split(surplus), self.all.split(surplus)));
    }

    /// Splits off memory, as far as there is enough.
    pub fn split(&mut self, bytes: usize) -> ReservedMemory {
        let kib = bytes.div_ceil(KIB).min(self.part.num_permits());
        let (part, all) = (self.part.split(kib), self.all.split(kib));
        let there = "both have the same number of permits";
        ReservedMemory {
            part: part.expect(there),
            all: all.expect(there),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_gets_a_part_and_all_keys_together_the_whole() {
        let memory = KeyedMemory::new(16 * KIB);
        let ann = memory.reserve(&"ann", 100 * KIB).await.expect("free");
        let own = memory.reserve(&"ann", 1).await;
        assert_eq!(own.expect_err("her part"), Exhausted::Part);
        let others = ["b", "c", "d", "e", "f", "g", "h"];
        let others = others.map(|key| memory.try_reserve(&key, 2 * KIB).expect("free"));
        let all = memory.reserve(&"eve", 1).await;
        assert_eq!(all.expect_err("the whole"), Exhausted::All);
        drop(ann);
        memory.try_reserve(&"eve", 1).expect("free again");
        drop(others);
    }

    #[test]
    fn memory_is_split_and_shrunk() {
        let memory = KeyedMemory::new(16 * KIB);
        let mut reserved = memory.try_reserve(&(), 2 * KIB).expect("free");
        let half = reserved.split(KIB);
        drop(reserved);
        let mut other = memory.try_reserve(&(), KIB).expect("the other half");
        memory.try_reserve(&(), 1).expect_err("all is held");
        other.shrink_to(0);
        memory.try_reserve(&(), KIB).expect("free again");
        drop((half, other));
    }

    #[test]
    fn keys_that_hold_nothing_are_forgotten() {
        let memory = KeyedMemory::new(16 * KIB);
        for n in 0..10 * SWEEP_AT {
            drop(memory.part_of(&n));
        }
        assert!(memory.parts.lock().unwrap().by_key.len() <= SWEEP_AT);
    }
}
