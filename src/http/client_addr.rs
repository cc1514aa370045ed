//! The address of a client behind proxies.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub fn new(nets: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(nets)
    }

    /// The rightmost hop that is not a trusted proxy. Each trusted proxy vouches for the entry that
    /// it appended; an untrusted hop may have invented everything to the left of its own entry.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let lines = headers.get_all("x-forwarded-for").iter();
        let hops: Vec<&str> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .collect();
        for hop in hops.into_iter().rev() {
            let Some(address) = parse_hop(hop.trim()) else {
                break;
            };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// `address` must be canonical: an IPv4-mapped one matches no IPv4 net.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

/// An entry is an address. Some proxies add a port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let plain = hop.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let address = plain
        .unwrap_or(hop)
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|a| a.ip()));
    address.ok().map(|a| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let nets = ["127.0.0.1/32", "10.0.0.0/8"];
        let proxies = TrustedProxies(nets.iter().map(|n| n.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_speak_for_others() {
        assert_eq!(client("9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(client("127.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("::ffff:127.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client() {
        let forged = ["6.6.6.6, 2.2.2.2:4711", "10.0.0.7"];
        assert_eq!(client("127.0.0.1", &forged), "2.2.2.2");
        assert_eq!(client("127.0.0.1", &["10.0.0.1, 10.0.0.2"]), "10.0.0.1");
        assert_eq!(
            client("127.0.0.1", &["2001:db8::1, [2001:db8::2]:80"]),
            "2001:db8::2"
        );
    }

    #[test]
    fn nonsense_ends_the_chain() {
        assert_eq!(client("127.0.0.1", &["1.1.1.1, unknown"]), "127.0.0.1");
        assert_eq!(
            client("127.0.0.1", &["1.1.1.1, unknown, 10.0.0.3"]),
            "10.0.0.3"
        );
    }
}
