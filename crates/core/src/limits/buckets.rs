//! The state of token buckets by key, which a limiter shares with those that charge them.

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{DefaultKeyedStateStore, ShrinkableKeyedStateStore};

/// For each key, the time at which its bucket will be full again, since the limiter's start. Clones
/// share their state.
///
/// A limiter can only take what a bucket holds. What another server has admitted can't be refused
/// any more, so it is taken here, beyond that.
pub(super) struct Buckets<K: Hash + Eq + Clone>(Arc<DefaultKeyedStateStore<K>>);

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Takes a token at a time since the limiter's start.
    pub(super) fn charge(&self, key: &K, at: Duration, per_token: Duration) {
        let (at, per_token) = (Nanos::from(at), Nanos::from(per_token));
        let charged = self.0.measure_and_replace(key, |full_at| {
            let from = full_at.map_or(at, |full_at| full_at.max(at));
            Ok::<_, Infallible>(((), from + per_token))
        });
        let Ok(()) = charged;
    }
}

impl<K: Hash + Eq + Clone> Default for Buckets<K> {
    fn default() -> Buckets<K> {
        Buckets(Arc::default())
    }
}

impl<K: Hash + Eq + Clone> Clone for Buckets<K> {
    fn clone(&self) -> Buckets<K> {
        Buckets(Arc::clone(&self.0))
    }
}

impl<K: Hash + Eq + Clone> StateStore for Buckets<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Buckets<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn len(&self) -> usize {
        ShrinkableKeyedStateStore::len(&*self.0)
    }

    fn is_empty(&self) -> bool {
        ShrinkableKeyedStateStore::is_empty(&*self.0)
    }
}
