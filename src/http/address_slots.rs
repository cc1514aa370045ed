//! Open connections per client address, up to a limit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lakechat_core::limits::network;

/// Counts per address; an IPv6 /64 counts as one. Clones share their counts.
///
/// Memory: one entry per address with an open connection.
#[derive(Clone, Debug)]
pub struct AddressSlots(Arc<Slots>);

#[derive(Debug)]
struct Slots {
    max: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One open connection of an address. Dropping it frees the slot.
#[derive(Debug)]
pub struct AddressSlot {
    slots: AddressSlots,
    network: IpAddr,
}

impl AddressSlots {
    /// `max` connections per address; 0: unlimited.
    pub fn new(max: usize) -> AddressSlots {
        let taken = Mutex::default();
        AddressSlots(Arc::new(Slots { max, taken }))
    }

    /// None: the address has reached its limit.
    pub fn take(&self, address: IpAddr) -> Option<AddressSlot> {
        let network = network(address);
        let mut all = self.taken();
        let taken = all.entry(network).or_insert(0);
        if self.0.max > 0 && *taken >= self.0.max {
            return None;
        }
        *taken += 1;
        drop(all);
        let slots = self.clone();
        Some(AddressSlot { slots, network })
    }

    /// Frees the memory of addresses without connections.
    pub fn shrink(&self) {
        self.taken().shrink_to_fit();
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut all = self.slots.taken();
        if let Some(taken) = all.get_mut(&self.network) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let slots = AddressSlots::new(2);
        let first = slots.take(ip("1.1.1.1"));
        let second = slots.take(ip("::ffff:1.1.1.1"));
        assert!(first.is_some() && second.is_some());
        assert!(slots.take(ip("1.1.1.1")).is_none());
        assert!(slots.take(ip("2.2.2.2")).is_some());
        drop(first);
        assert!(slots.take(ip("1.1.1.1")).is_some());
        assert_eq!(slots.taken().len(), 1, "the quiet are forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let slots = AddressSlots::new(1);
        let first = slots.take(ip("2001:db8::1"));
        assert!(first.is_some() && slots.take(ip("2001:db8::2")).is_none());
        assert!(slots.take(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn zero_is_off() {
        let slots = AddressSlots::new(0);
        let open: Vec<_> = (0..500).map(|_| slots.take(ip("1.1.1.1"))).collect();
        assert!(open.iter().all(Option::is_some));
    }
}
