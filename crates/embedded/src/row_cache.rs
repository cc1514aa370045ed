//! Rows that are asked for again and again, kept in memory exactly as the database has them.
//!
//! Only this process writes the database (the data folder's lock sees to that), so what is kept
//! needs no expiry: a write says which rows it changes before it is queued and until it is committed
//! or has come to nothing. In between they are read from the database, and a read that overlaps with
//! a write keeps nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use moka::sync::Cache;

/// The bytes of rows kept by each kind; of more, those go first that are of least use.
const MAX_BYTES: u64 = 8 << 20;

/// What can be the key of a kept row.
pub(super) trait Key: Clone + Eq + Hash + Send + Sync + 'static {}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Key for K {}

/// Rows of one kind, by what they are asked for.
pub(super) struct Known<K, V> {
    rows: Cache<K, V>,
    writes: Mutex<Writes<K>>,
}

struct Writes<K> {
    /// How many writes of each row are under way.
    under_way: HashMap<K, usize>,
    /// How often any write has begun or ended: a read between two equal counts met none.
    count: u64,
}

impl<K: Key, V: Clone + Send + Sync + 'static> Known<K, V> {
    /// `bytes` tells what a row takes.
    pub fn new(bytes: impl Fn(&V) -> usize + Send + Sync + 'static) -> Arc<Known<K, V>> {
        let bytes = move |_: &K, row: &V| u32::try_from(bytes(row)).unwrap_or(u32::MAX);
        Arc::new(Known {
            rows: Cache::builder()
                .max_capacity(MAX_BYTES)
                .weigher(bytes)
                .build(),
            writes: Mutex::new(Writes {
                under_way: HashMap::new(),
                count: 0,
            }),
        })
    }

    /// The row that is kept, or else the one that `read` gets from the database.
    pub async fn get<E>(&self, key: K, read: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        if let Some(row) = self.rows.get(&key) {
            return Ok(row);
        }
        let count = self.writes().count;
        let row = read.await?;
        let writes = self.writes();
        if writes.count == count && !writes.under_way.contains_key(&key) {
            self.rows.insert(key, row.clone());
        }
        Ok(row)
    }

    /// Begins a write of some rows, which ends when what is returned is dropped: not before the
    /// commit, so it goes into the write's job and out with its result.
    pub fn write(self: &Arc<Self>, keys: Vec<K>) -> Writing<K, V> {
        if !keys.is_empty() {
            let mut writes = self.writes();
            writes.count += 1;
            for key in &keys {
                *writes.under_way.entry(key.clone()).or_default() += 1;
                self.rows.invalidate(key);
            }
        }
        Writing {
            known: Arc::clone(self),
            keys,
        }
    }

    fn writes(&self) -> MutexGuard<'_, Writes<K>> {
        self.writes.lock().expect("nothing panics under it")
    }
}

/// A write under way.
pub(super) struct Writing<K: Key, V: Clone + Send + Sync + 'static> {
    known: Arc<Known<K, V>>,
    keys: Vec<K>,
}

impl<K: Key, V: Clone + Send + Sync + 'static> Drop for Writing<K, V> {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut writes = self.known.writes();
        writes.count += 1;
        for key in self.keys.drain(..) {
            let left = writes.under_way.get_mut(&key).expect("it was begun");
            *left -= 1;
            if *left == 0 {
                writes.under_way.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn known() -> Arc<Known<&'static str, u32>> {
        Known::new(|_| 4)
    }

    /// What is answered where the database has `row`.
    async fn get(known: &Known<&'static str, u32>, row: u32) -> u32 {
        let read = async { Ok::<_, Infallible>(row) };
        known.get("ann", read).await.unwrap()
    }

    #[tokio::test]
    async fn a_row_is_read_once_until_it_is_written() {
        let known = known();
        assert_eq!(get(&known, 1).await, 1);
        assert_eq!(get(&known, 2).await, 1);
        drop(known.write(vec!["bob"]));
        assert_eq!(get(&known, 2).await, 1);
        drop(known.write(vec!["ann", "bob"]));
        assert_eq!(get(&known, 2).await, 2);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_row_while_it_is_written() {
        let known = known();
        let (first, second) = (known.write(vec!["ann"]), known.write(vec!["ann"]));
        drop(first);
        assert_eq!(get(&known, 1).await, 1);
        assert_eq!(get(&known, 2).await, 2);
        drop(second);
        assert_eq!(get(&known, 3).await, 3);
        assert_eq!(get(&known, 4).await, 3);
    }

    #[tokio::test]
    async fn a_read_that_overlaps_with_a_write_keeps_nothing() {
        // A write begins, or ends, or both, between the read's begin and end.
        for ends in [false, true] {
            let known = known();
            let begun = ends.then(|| known.write(vec!["ann"]));
            let read = async {
                let during = known.write(vec!["ann"]);
                drop(begun);
                Ok::<_, Infallible>((1, during))
            };
            let read = async { read.await.map(|(row, during)| (drop(during), row).1) };
            assert_eq!(known.get("ann", read).await, Ok(1));
            assert_eq!(get(&known, 2).await, 2);
        }
    }
}
