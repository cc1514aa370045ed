//! Loads that are shared: callers that want the same thing at the same time wait for one load.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

type Load<T> = BoxFuture<'static, T>;

/// The loads that are under way, by key.
///
/// A load belongs to no caller in particular: it goes on while any of them waits, and ends when the
/// last one is dropped. A result is not kept, so a call that begins after a load has ended loads
/// again. If a load panics, all calls that share it panic.
pub struct SingleFlight<K, T: Clone>(Arc<Mutex<Flights<K, T>>>);

struct Flights<K, T: Clone> {
    next_id: u64,
    running: HashMap<K, Flight<T>>,
}

struct Flight<T: Clone> {
    id: u64,
    load: WeakShared<Load<T>>,
}

impl<K, T: Clone> Default for SingleFlight<K, T> {
    fn default() -> SingleFlight<K, T> {
        SingleFlight(Arc::new(Mutex::new(Flights {
            next_id: 0,
            running: HashMap::new(),
        })))
    }
}

impl<K, T> SingleFlight<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The result of the load of this key that is under way; starts one if there is none. That load
    /// may have begun before the call, so it may miss what happened just before the call.
    pub async fn share<F>(&self, key: K, load: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (load, _) = self.join(key, load);
        load.await
    }

    /// The load to wait for, and whether it had begun before.
    fn join<F>(&self, key: K, load: impl FnOnce() -> F) -> (Shared<Load<T>>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut flights = lock(&self.0);
        let running = flights.running.get(&key);
        if let Some(load) = running.and_then(|flight| flight.load.upgrade()) {
            return (load, true);
        }
        let id = flights.next_id;
        flights.next_id += 1;
        let landing = Landing {
            flights: Arc::clone(&self.0),
            key: key.clone(),
            id,
        };
        let load = load();
        let load = async move {
            let landing = landing;
            let result = load.await;
            // Before any caller gets the result: one that isn't content with it starts another load.
            drop(landing);
            result
        };
        let load = load.boxed().shared();
        let weak = load.downgrade().expect("it has not been polled");
        flights.running.insert(key, Flight { id, load: weak });
        (load, false)
    }
}

impl<K, V, E> SingleFlight<K, Result<Option<V>, E>>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Like [`SingleFlight::share`], for a thing that may not exist. `None` comes only from a load
    /// that began after the call: what the caller has just created is found.
    pub async fn find<F>(&self, key: K, load: impl Fn() -> F) -> Result<Option<V>, E>
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        let (first, began_before) = self.join(key.clone(), &load);
        match first.await {
            Ok(None) if began_before => self.share(key, load).await,
            found => found,
        }
    }
}

/// Removes a load from the map when it has ended, or when nobody waits for it any more.
struct Landing<K: Eq + Hash, T: Clone> {
    flights: Arc<Mutex<Flights<K, T>>>,
    key: K,
    id: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        // Between the end of its last caller and this, another load may have taken its place.
        if flights
            .running
            .get(&self.key)
            .is_some_and(|f| f.id == self.id)
        {
            flights.running.remove(&self.key);
        }
    }
}

fn lock<K, T: Clone>(flights: &Mutex<Flights<K, T>>) -> MutexGuard<'_, Flights<K, T>> {
    flights.lock().expect("no panic while held")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures_util::future::join_all;
    use futures_util::poll;
    use tokio::sync::Semaphore;

    use super::*;

    type Answer = Result<Option<usize>, ()>;

    /// A store that counts its loads; each waits for a permit before it returns.
    struct Store {
        flights: SingleFlight<&'static str, Answer>,
        permits: Arc<Semaphore>,
        loads: Arc<AtomicUsize>,
        exists: bool,
    }

    impl Store {
        fn new(exists: bool) -> Store {
            Store {
                flights: SingleFlight::default(),
                permits: Arc::new(Semaphore::new(0)),
                loads: Arc::default(),
                exists,
            }
        }

        async fn find(&self, key: &'static str) -> Answer {
            let load = || {
                let (permits, exists) = (self.permits.clone(), self.exists);
                let number = self.loads.fetch_add(1, SeqCst) + 1;
                async move {
                    permits.acquire().await.expect("open").forget();
                    Ok(exists.then_some(number))
                }
            };
            self.flights.find(key, load).await
        }

        fn running(&self) -> usize {
            lock(&self.flights.0).running.len()
        }
    }

    #[tokio::test]
    async fn calls_at_the_same_time_are_one_load_and_later_ones_load_again() {
        let store = Store::new(true);
        let calls = join_all((0..100).map(|_| store.find("a")));
        let mut other = Box::pin(store.find("b"));
        let mut calls = Box::pin(calls);
        assert!(poll!(&mut calls).is_pending());
        assert!(poll!(&mut other).is_pending());
        assert_eq!(store.loads.load(SeqCst), 2, "each key has its own load");
        store.permits.add_permits(2);
        assert_eq!(calls.await, vec![Ok(Some(1)); 100]);
        assert_eq!(other.await, Ok(Some(2)));
        assert_eq!(store.running(), 0);
        store.permits.add_permits(1);
        assert_eq!(store.find("a").await, Ok(Some(3)));
    }

    #[tokio::test]
    async fn a_load_outlives_the_caller_that_began_it_but_not_the_last_one() {
        let store = Store::new(true);
        let mut first = Box::pin(store.find("a"));
        let mut second = Box::pin(store.find("a"));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        drop(first);
        store.permits.add_permits(1);
        assert_eq!(second.await, Ok(Some(1)));

        let mut left = Box::pin(store.find("a"));
        assert!(poll!(&mut left).is_pending());
        assert_eq!(store.running(), 1);
        drop(left);
        assert_eq!(store.running(), 0);
    }

    #[tokio::test]
    async fn absence_counts_only_from_a_load_that_began_after_the_call() {
        let store = Store::new(false);
        let mut calls: Vec<_> = (0..10).map(|_| Box::pin(store.find("a"))).collect();
        for call in &mut calls {
            assert!(poll!(call).is_pending());
        }
        let mut joined = calls.split_off(1);
        let began = calls.pop().expect("the one that began the load");
        store.permits.add_permits(1);
        assert_eq!(began.await, Ok(None));
        for call in &mut joined {
            assert!(poll!(call).is_pending(), "they share a second load");
        }
        assert_eq!(store.loads.load(SeqCst), 2);
        store.permits.add_permits(1);
        assert_eq!(join_all(joined).await, vec![Ok(None); 9]);
        assert_eq!(store.loads.load(SeqCst), 2);
    }
}
