//! Rows that are read again and again, cached exactly as the database has them.
//!
//! Only this process writes the database (the data folder's lock ensures that), so entries need no
//! expiry. A write names the rows that it changes from before it is queued until it has committed or
//! failed. Meanwhile those rows are read from the database, and a read that overlaps with any write
//! caches nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use moka::sync::Cache;

/// Bound on the rows of one cache, in bytes. Above it the least used entries are evicted.
const MAX_BYTES: u64 = 8 << 20;

/// A key of a cached row.
pub(super) trait CacheKey: Clone + Eq + Hash + Send + Sync + 'static {}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> CacheKey for K {}

/// A cache of rows of one kind.
pub(super) struct RowCache<K, V> {
    rows: Cache<K, V>,
    writes: Mutex<Writes<K>>,
}

struct Writes<K> {
    /// The number of pending writes by row.
    pending: HashMap<K, usize>,
    /// Raised when any write begins or ends. A read that finds it unchanged overlapped with neither
    /// event.
    epoch: u64,
}

impl<K: CacheKey, V: Clone + Send + Sync + 'static> RowCache<K, V> {
    /// `row_bytes` estimates the memory of a row and its key.
    pub fn new(row_bytes: impl Fn(&V) -> usize + Send + Sync + 'static) -> Arc<RowCache<K, V>> {
        let weigher = move |_: &K, row: &V| u32::try_from(row_bytes(row)).unwrap_or(u32::MAX);
        Arc::new(RowCache {
            rows: Cache::builder()
                .max_capacity(MAX_BYTES)
                .weigher(weigher)
                .build(),
            writes: Mutex::new(Writes {
                pending: HashMap::new(),
                epoch: 0,
            }),
        })
    }

    /// Returns the cached row, or else what `read` gets from the database, and caches that.
    pub async fn get<E>(&self, key: K, read: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        if let Some(row) = self.rows.get(&key) {
            return Ok(row);
        }
        let epoch = self.writes().epoch;
        let row = read.await?;
        // A write that began or ended meanwhile may have changed the row after it was read.
        let writes = self.writes();
        if writes.epoch == epoch && !writes.pending.contains_key(&key) {
            self.rows.insert(key, row.clone());
        }
        Ok(row)
    }

    /// Announces a write of some rows. It ends when the returned guard is dropped, which must not be
    /// before the commit: callers move the guard into the write's job and return it from there.
    pub fn begin_write(self: &Arc<Self>, keys: Vec<K>) -> PendingWrite<K, V> {
        if !keys.is_empty() {
            let mut writes = self.writes();
            writes.epoch += 1;
            for key in &keys {
                *writes.pending.entry(key.clone()).or_default() += 1;
                self.rows.invalidate(key);
            }
        }
        PendingWrite {
            cache: Arc::clone(self),
            keys,
        }
    }

    fn writes(&self) -> MutexGuard<'_, Writes<K>> {
        self.writes.lock().expect("nothing panics while holding it")
    }
}

/// Guard of a write that has not ended.
pub(super) struct PendingWrite<K: CacheKey, V: Clone + Send + Sync + 'static> {
    cache: Arc<RowCache<K, V>>,
    keys: Vec<K>,
}

impl<K: CacheKey, V: Clone + Send + Sync + 'static> Drop for PendingWrite<K, V> {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut writes = self.cache.writes();
        writes.epoch += 1;
        for key in self.keys.drain(..) {
            let left = writes
                .pending
                .get_mut(&key)
                .expect("begin_write counted it");
            *left -= 1;
            if *left == 0 {
                writes.pending.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn cache() -> Arc<RowCache<&'static str, u32>> {
        RowCache::new(|_| 4)
    }

    /// What the cache answers when the database has `row`.
    async fn get(cache: &RowCache<&'static str, u32>, row: u32) -> u32 {
        let read = async { Ok::<_, Infallible>(row) };
        cache.get("ann", read).await.unwrap()
    }

    #[tokio::test]
    async fn a_row_is_read_once_until_it_is_written() {
        let cache = cache();
        assert_eq!(get(&cache, 1).await, 1);
        assert_eq!(get(&cache, 2).await, 1);
        drop(cache.begin_write(vec!["bob"]));
        assert_eq!(get(&cache, 2).await, 1);
        drop(cache.begin_write(vec!["ann", "bob"]));
        assert_eq!(get(&cache, 2).await, 2);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_row_while_it_is_written() {
        let cache = cache();
        let (first, second) = (
            cache.begin_write(vec!["ann"]),
            cache.begin_write(vec!["ann"]),
        );
        drop(first);
        assert_eq!(get(&cache, 1).await, 1);
        assert_eq!(get(&cache, 2).await, 2);
        drop(second);
        assert_eq!(get(&cache, 3).await, 3);
        assert_eq!(get(&cache, 4).await, 3);
    }

    #[tokio::test]
    async fn a_read_that_overlaps_with_a_write_keeps_nothing() {
        // A write begins, or ends, or both, between the read's begin and end.
        for ends in [false, true] {
            let cache = cache();
            let begun = ends.then(|| cache.begin_write(vec!["ann"]));
            let read = async {
                let during = cache.begin_write(vec!["ann"]);
                drop(begun);
                Ok::<_, Infallible>((1, during))
            };
            let read = async { read.await.map(|(row, during)| (drop(during), row).1) };
            assert_eq!(cache.get("ann", read).await, Ok(1));
            assert_eq!(get(&cache, 2).await, 2);
        }
    }
}
