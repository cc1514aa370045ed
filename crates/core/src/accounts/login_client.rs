//! Who logs in: shown in the list of a user's logins.

use std::net::IpAddr;

/// The longest name of a program that is kept, in bytes.
const MOST_BYTES: usize = 128;

/// Where a login or a refresh comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginClient {
    pub address: IpAddr,
    /// The program, as it calls itself.
    pub name: Option<String>,
}

impl LoginClient {
    /// Control characters are dropped from the name, and it is cut to 128 bytes.
    pub fn new(address: IpAddr, name: Option<&str>) -> LoginClient {
        let mut name = name.unwrap_or_default().trim().to_owned();
        name.retain(|c| !c.is_control());
        name.truncate(name.floor_char_boundary(MOST_BYTES));
        LoginClient {
            address,
            name: Some(name).filter(|name| !name.is_empty()),
        }
    }
}

impl From<IpAddr> for LoginClient {
    fn from(address: IpAddr) -> LoginClient {
        LoginClient::new(address, None)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_name_is_printable_and_short() {
        let name = |given| LoginClient::new(Ipv4Addr::LOCALHOST.into(), Some(given)).name;
        assert_eq!(name(" curl/8.5.0 ").as_deref(), Some("curl/8.5.0"));
        assert_eq!(name("a\u{1b}[31mb\u{9b}c").as_deref(), Some("a[31mbc"));
        assert_eq!(name(" \t"), None);
        let cut = name(&"ü".repeat(100)).expect("a name");
        assert_eq!(cut, "ü".repeat(64));
    }
}
