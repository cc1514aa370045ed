//! Slots per client address, such as open connections.

use std::net::IpAddr;

use lakechat_core::limits::{KeyedSlot, KeyedSlots, network};

/// Counts per address, up to a limit; an IPv6 /64 counts as one. Clones share their counts.
#[derive(Clone, Debug)]
pub struct AddressSlots(KeyedSlots<IpAddr>);

/// One slot of an address. Dropping it frees the slot.
#[derive(Debug)]
pub struct AddressSlot {
    #[expect(dead_code, reason = "held for its drop")]
    slot: KeyedSlot<IpAddr>,
}

impl AddressSlots {
    /// `max` slots per address; 0: unlimited.
    pub fn new(max: usize) -> AddressSlots {
        AddressSlots(KeyedSlots::new(max))
    }

    /// None: the address has reached its limit.
    pub fn take(&self, address: IpAddr) -> Option<AddressSlot> {
        let slot = self.0.take(&network(address))?;
        Some(AddressSlot { slot })
    }

    /// Frees the memory of addresses without slots.
    pub fn shrink(&self) {
        self.0.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_address_and_mapped_ipv4_is_ipv4() {
        let ip = |text: &str| text.parse().expect("an address");
        let slots = AddressSlots::new(1);
        let first = slots.take(ip("2001:db8::1"));
        assert!(first.is_some() && slots.take(ip("2001:db8::2")).is_none());
        assert!(slots.take(ip("2001:db8:0:1::1")).is_some());
        let second = slots.take(ip("192.0.2.1"));
        assert!(second.is_some() && slots.take(ip("::ffff:192.0.2.1")).is_none());
    }
}
