//! Which IP addresses are somebody's on the public internet.
//!
//! IPv6 is an allow-list: 2000::/3 without the blocks below. IPv4 has no such single block, so it is the unicast space
//! without IANA's special-purpose registry. Every form that carries an IPv4 address inside an IPv6 one is closed,
//! whatever it carries: no seller needs it, and each is a second way to write an address that is closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Global unicast: anybody's.
    Public,
    /// 127.0.0.0/8 or ::1: this machine.
    Loopback,
    /// Nobody's, or only ours; with the reason.
    Closed(&'static str),
}

const CLOSED_V4: [(Ipv4Addr, u32, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private network"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a provider's inner network"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, where clouds keep their metadata service"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private network"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "an anycast sink"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "a multicast relay"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private network"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "an anycast sink"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 3, "multicast or reserved"),
];

const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const CLOSED_V6: [(Ipv6Addr, u32, &str); 6] = [
    // Teredo, ORCHID, benchmarks and more; what is reachable in it is infrastructure, never a seller.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved for protocols"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "a 6to4 tunnel"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "an anycast sink"),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, "a network that was given back"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
];

/// Tells what an address is to us.
pub(super) fn standing(ip: IpAddr) -> Standing {
    match ip {
        IpAddr::V4(ip) => standing_v4(ip),
        IpAddr::V6(ip) => standing_v6(ip),
    }
}

fn standing_v4(ip: Ipv4Addr) -> Standing {
    if ip.is_loopback() {
        return Standing::Loopback;
    }
    let closed = CLOSED_V4.iter().find(|(net, len, _)| (ip.to_bits() ^ net.to_bits()) >> (32 - len) == 0);
    closed.map_or(Standing::Public, |(_, _, why)| Standing::Closed(why))
}

fn standing_v6(ip: Ipv6Addr) -> Standing {
    if ip.is_loopback() {
        return Standing::Loopback;
    }
    let within = |net: Ipv6Addr, len: u32| (ip.to_bits() ^ net.to_bits()) >> (128 - len) == 0;
    if !within(GLOBAL_V6.0, GLOBAL_V6.1) {
        return Standing::Closed("not global unicast");
    }
    if let Some((_, _, why)) = CLOSED_V6.iter().find(|(net, len, _)| within(*net, *len)) {
        return Standing::Closed(why);
    }
    // ISATAP hides an IPv4 address behind any prefix, so it is known by its interface identifier.
    if matches!(ip.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]) {
        return Standing::Closed("an ISATAP tunnel");
    }
    Standing::Public
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.17",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "2620:4f:8001::1",
        ] {
            assert_eq!(standing(text.parse().unwrap()), Standing::Public, "{text}");
        }
    }

    #[test]
    fn every_block_is_closed_at_both_ends() {
        for (net, len, why) in CLOSED_V4 {
            let last = net.to_bits() | (u32::MAX.checked_shr(len).unwrap_or(0));
            for ip in [net, Ipv4Addr::from_bits(last)] {
                assert_eq!(standing(ip.into()), Standing::Closed(why), "{ip}");
            }
        }
        for (net, len, why) in CLOSED_V6 {
            for ip in [net, Ipv6Addr::from_bits(net.to_bits() | (u128::MAX >> len))] {
                assert_eq!(standing(ip.into()), Standing::Closed(why), "{ip}");
            }
        }
    }

    #[test]
    fn no_ipv4_address_hides_in_an_ipv6_one() {
        for text in [
            "::",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "3ffe:831f::1",
            "2a00:1450::5efe:7f00:1",
            "2a00:1450::200:5efe:a00:1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(matches!(standing(text.parse().unwrap()), Standing::Closed(_)), "{text}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for text in ["127.0.0.1", "127.255.255.255", "::1"] {
            assert_eq!(standing(text.parse().unwrap()), Standing::Loopback, "{text}");
        }
    }
}
