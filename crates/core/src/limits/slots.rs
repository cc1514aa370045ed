//! How many of something each key may hold at the same time.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts per key, up to a limit. Clones share their counts.
///
/// Memory: one entry per key that holds a slot.
pub struct KeyedSlots<K: Hash + Eq + Clone>(Arc<Slots<K>>);

struct Slots<K> {
    max: usize,
    taken: Mutex<HashMap<K, usize>>,
}

/// One slot of a key. Dropping it frees the slot.
pub struct KeyedSlot<K: Hash + Eq + Clone> {
    slots: KeyedSlots<K>,
    key: K,
}

impl<K: Hash + Eq + Clone> KeyedSlots<K> {
    /// `max` slots per key; 0: unlimited.
    pub fn new(max: usize) -> KeyedSlots<K> {
        let taken = Mutex::default();
        KeyedSlots(Arc::new(Slots { max, taken }))
    }

    /// None: the key has reached its limit.
    pub fn take(&self, key: &K) -> Option<KeyedSlot<K>> {
        let mut all = self.taken();
        let taken = all.get(key).copied().unwrap_or(0);
        if self.0.max > 0 && taken >= self.0.max {
            return None;
        }
        all.insert(key.clone(), taken + 1);
        drop(all);
        let (slots, key) = (self.clone(), key.clone());
        Some(KeyedSlot { slots, key })
    }

    /// Frees the memory of keys without slots.
    pub fn shrink(&self) {
        self.taken().shrink_to_fit();
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> Clone for KeyedSlots<K> {
    fn clone(&self) -> KeyedSlots<K> {
        KeyedSlots(Arc::clone(&self.0))
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for KeyedSlots<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedSlots").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for KeyedSlot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedSlot").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Drop for KeyedSlot<K> {
    fn drop(&mut self) {
        let mut all = self.slots.taken();
        if let Some(taken) = all.get_mut(&self.key) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_slots_and_gets_them_back() {
        let slots = KeyedSlots::new(2);
        let first = slots.take(&"ann");
        let second = slots.take(&"ann");
        assert!(first.is_some() && second.is_some());
        assert!(slots.take(&"ann").is_none());
        assert!(slots.take(&"bob").is_some(), "each key has its own");
        drop(first);
        assert!(slots.take(&"ann").is_some());
        assert_eq!(slots.taken().len(), 1, "keys without slots are forgotten");
    }

    #[test]
    fn zero_is_off() {
        let slots = KeyedSlots::new(0);
        let held: Vec<_> = (0..500).map(|_| slots.take(&1)).collect();
        assert!(held.iter().all(Option::is_some));
    }
}
