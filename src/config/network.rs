//! Addresses that no list of workers may lead us to: pure, so that every range is tried.
//!
//! Whoever can write a list or a DNS record could otherwise make us ask what only this machine can reach, the metadata
//! service of a cloud above all, which hands out credentials.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses, `169.254.10.0/24`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let ip = plain(ip);
        let differ = bits(ip) ^ bits(self.base);
        ip.is_ipv4() == self.base.is_ipv4() && (self.prefix == 0 || differ >> (128 - u32::from(self.prefix)) == 0)
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.parse().map_err(drop)?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // `+8` would parse as well.
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => prefix.parse().map_err(drop)?,
            Some(_) => return Err(()),
            None => longest,
        };
        // IPv4 inside IPv6 is compared as IPv4, so it is kept as that.
        match (plain(base), prefix) {
            (_, prefix) if prefix > longest => Err(()),
            (v4 @ IpAddr::V4(_), 96..) if base.is_ipv6() => Ok(Self { base: v4, prefix: prefix - 96 }),
            _ => Ok(Self { base, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// What is wrong with asking a worker at this address, wherever it is written. `None`: nothing.
#[must_use]
pub fn refused(ip: IpAddr, allowed: &[Network]) -> Option<&'static str> {
    let ip = plain(ip);
    if allowed.iter().any(|network| network.contains(ip)) {
        return None;
    }
    match ip {
        IpAddr::V4(ip) => of_v4(ip),
        IpAddr::V6(ip) => of_v6(ip),
    }
}

/// The same for an address that somebody else's list gives: our own machine is none of its business either.
#[must_use]
pub fn refused_to_lists(ip: IpAddr, allowed: &[Network]) -> Option<&'static str> {
    let own = plain(ip).is_loopback() && !allowed.iter().any(|network| network.contains(ip));
    if own { Some("it is this machine itself (loopback)") } else { refused(ip, allowed) }
}

fn of_v4(ip: Ipv4Addr) -> Option<&'static str> {
    match ip.octets() {
        [169, 254, ..] => Some("it is link-local, where clouds hand out credentials"),
        // The metadata service of one cloud stands in the range of carriers.
        [100, 100, 100, 200] => Some("it is the metadata service of a cloud"),
        [0, ..] => Some("it is unspecified"),
        [224..=239, ..] => Some("it is multicast"),
        [255, 255, 255, 255] => Some("it is broadcast"),
        _ => None,
    }
}

fn of_v6(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        [0xfe80..=0xfebf, ..] => Some("it is link-local"),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Some("it is the metadata service of a cloud"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("it is unspecified"),
        [0xff00..=0xffff, ..] => Some("it is multicast"),
        _ => None,
    }
}

/// IPv4 as such, also where it hides in IPv6: mapped, or translated by a NAT64.
fn plain(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
            }
            _ => IpAddr::V6(v6),
        },
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_only_this_machine_can_reach_is_refused_in_every_spelling() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "239.255.255.255",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(refused(ip(text), &[]).is_some(), "{text}");
            assert!(refused_to_lists(ip(text), &[]).is_some(), "{text}");
        }
    }

    #[test]
    fn where_workers_live_is_fine_and_loopback_only_for_the_owner() {
        for text in
            ["10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "8.8.8.8", "fd12::1", "2001:db8::1", "169.253.0.1"]
        {
            assert_eq!(refused_to_lists(ip(text), &[]), None, "{text}");
        }
        for text in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(refused(ip(text), &[]), None, "{text}");
            assert!(refused_to_lists(ip(text), &[]).is_some(), "{text}");
        }
    }

    #[test]
    fn what_the_owner_allows_is_allowed_and_nothing_beside_it() {
        let allowed = ["169.254.10.0/24", "fe80::/64", "127.0.0.0/8"].map(|text| text.parse().unwrap());
        for text in ["169.254.10.7", "::ffff:169.254.10.7", "fe80::1", "127.0.0.1"] {
            assert_eq!(refused_to_lists(ip(text), &allowed), None, "{text}");
        }
        for text in ["169.254.11.1", "169.254.169.254", "fe80:0:0:1::1", "::1"] {
            assert!(refused_to_lists(ip(text), &allowed).is_some(), "{text}");
        }
    }

    #[test]
    fn a_network_is_read_as_it_is_written() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "fe80::/10", "1.2.3.4/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("::ffff:1.2.3.4".parse::<Network>().unwrap().to_string(), "1.2.3.4/32");
        assert_eq!("64:ff9b::a00:0/104".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("1.2.3.4".parse::<Network>().unwrap().to_string(), "1.2.3.4/32");
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "localhost", "10.0.0.0/8/8"] {
            assert_eq!(text.parse::<Network>(), Err(()), "{text}");
        }
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains(ip("1.2.3.4")));
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains(ip("2001::1")), "all of IPv4 is not IPv6");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let _ = text.parse::<Network>();
        }

        #[test]
        fn a_network_contains_its_base_whatever_its_prefix(bits in any::<u128>(), prefix in 0_u8..=128) {
            let base = IpAddr::V6(Ipv6Addr::from_bits(bits));
            prop_assume!(plain(base) == base);
            let network = Network { base, prefix };
            prop_assert!(network.contains(base));
        }
    }
}
