use proptest::prelude::*;

use super::*;

fn allow(entries: &[&str]) -> Allow {
    Allow::parse(entries).expect("good entries")
}

fn vet(address: &str) -> Result<(), Forbidden> {
    Allow::default().vet(address.parse().expect("an address"))
}

/// An address of IPv4 in each of its disguises.
fn disguises(v4: Ipv4Addr) -> [IpAddr; 5] {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    [
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
    ]
    .map(IpAddr::V6)
}

#[test]
fn the_first_and_the_last_address_of_every_row_are_refused() {
    for (network, reason) in FORBIDDEN {
        let network = ours(network);
        assert_eq!(network.trunc(), network, "{network}: bits behind the prefix");
        for address in [network.network(), network.broadcast()] {
            assert!(Allow::default().vet(address).is_err(), "{address}, {reason}");
        }
    }
}

/// A row behind one that has all of it would never be said.
#[test]
fn no_row_is_hidden_by_one_before_it() {
    for (at, (network, _)) in FORBIDDEN.into_iter().enumerate() {
        let before = FORBIDDEN[..at].iter().find(|(earlier, _)| ours(earlier).contains(&ours(network)));
        assert_eq!(before, None, "{network}");
    }
}

#[test]
fn the_internet_is_allowed() {
    for address in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2000::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80f::200e",
        "3ffe:ffff::1",
    ] {
        assert_eq!(vet(address), Ok(()), "{address}");
    }
}

/// Written down a second time, as the table cannot vouch for itself.
#[test]
fn networks_are_refused_from_their_first_to_their_last_address() {
    for (first, last) in [
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
        ("::1:0:0:0", "1fff:ffff::1"),
        ("2001::", "2001:1ff:ffff::1"),
        ("2001:db8::", "2001:db8:ffff::1"),
        ("3fff::", "3fff:fff:ffff::1"),
        ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ] {
        assert!(vet(first).is_err() && vet(last).is_err(), "{first} to {last}");
    }
    for (first, last, reason) in [
        ("fc00::", "fdff:ffff::1", "unique local"),
        ("fe80::", "febf:ffff::1", "link-local"),
        ("fec0::", "feff:ffff::1", "site-local"),
        ("ff00::", "ffff:ffff::1", "multicast"),
        ("100.64.0.0", "100.127.255.255", "shared"),
        ("240.0.0.0", "255.255.255.254", "reserved"),
    ] {
        for address in [first, last] {
            assert!(vet(address).is_err_and(|refused| refused.reason.starts_with(reason)), "{address}");
        }
    }
}

#[test]
fn a_refusal_says_what_the_address_is() {
    let cases = [
        ("127.0.0.1", "the address 127.0.0.1 is not allowed: loopback (RFC 1122)"),
        ("::1", "the address ::1 is not allowed: loopback (RFC 4291)"),
        ("::", "the address :: is not allowed: unspecified (RFC 4291)"),
        (
            "169.254.169.254",
            "the address 169.254.169.254 is not allowed: a metadata service (AWS, Azure, Google and others)",
        ),
        ("fd00:ec2::254", "the address fd00:ec2::254 is not allowed: a metadata service (AWS)"),
        (
            "64:ff9b:1::a00:1",
            "the address 64:ff9b:1::a00:1 is not allowed: for a translation of its own (NAT64, RFC 8215)",
        ),
        (
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "the address 2001:0:4136:e378:8000:63bf:3fff:fdd2 is not allowed: Teredo (RFC 4380)",
        ),
        (
            "::ffff:10.0.0.1",
            "the address ::ffff:10.0.0.1, which stands for 10.0.0.1, is not allowed: private (RFC 1918)",
        ),
        (
            "2002:7f00:1::",
            "the address 2002:7f00:1::, which stands for 127.0.0.1, is not allowed: loopback (RFC 1122)",
        ),
    ];
    for (address, said) in cases {
        assert_eq!(vet(address).map_err(|refused| refused.to_string()), Err(said.to_owned()));
    }
}

#[test]
fn what_the_settings_allow_is_allowed_and_nothing_beside_it() {
    let some = allow(&["127.0.0.1", "10.1.0.0/16", "::1", "fd12::/16"]);
    for (address, allowed) in [
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("10.1.255.255", true),
        ("10.2.0.0", false),
        ("::1", true),
        ("::2", false),
        ("fd12:3::4", true),
        ("fd13::4", false),
        ("::ffff:10.1.2.3", true),
        ("::ffff:10.2.2.3", false),
        ("169.254.169.254", false),
    ] {
        assert_eq!(some.vet(address.parse().expect("an address")).is_ok(), allowed, "{address}");
    }
    assert_eq!(allow(&["::ffff:127.0.0.1"]).vet(Ipv4Addr::LOCALHOST.into()), Ok(()), "in disguise itself");
}

#[test]
fn a_bad_entry_is_named() {
    let bad = |entry: &str| Allow::parse(["127.0.0.1", entry]).map(drop).map_err(|error| error.to_string());
    for entry in ["localhost", "10.0.0.0/33", "10.0.0/8", "", "::1/129", "10.0.0.1-9"] {
        assert_eq!(bad(entry), Err(BadEntry::Grammar(entry.to_owned()).to_string()));
    }
    let said = r#""10.0.0.1/8" has bits behind its prefix: did you mean 10.0.0.0/8?"#;
    assert_eq!(bad("10.0.0.1/8"), Err(said.to_owned()));
}

proptest! {
    #[test]
    fn a_disguise_changes_nothing(v4 in any::<u32>().prop_map(Ipv4Addr::from), allowed in any::<bool>()) {
        let allow = if allowed { Allow(vec![IpAddr::V4(v4).into()]) } else { Allow::default() };
        let plain = allow.vet(v4.into()).map_err(|refused| refused.reason);
        for disguised in disguises(v4).into_iter().filter(|disguised| !is_itself(*disguised)) {
            let verdict = allow.vet(disguised).map_err(|refused| refused.reason);
            prop_assert_eq!(verdict, plain, "{} as {}", v4, disguised);
        }
    }

    #[test]
    fn every_private_address_is_refused_in_every_disguise(low in any::<[u8; 3]>(), which in 0..4) {
        let [b, c, d] = low;
        let v4 = match which {
            0 => Ipv4Addr::new(10, b, c, d),
            1 => Ipv4Addr::new(127, b, c, d),
            2 => Ipv4Addr::new(192, 168, c, d),
            _ => Ipv4Addr::new(169, 254, c, d),
        };
        for address in disguises(v4).into_iter().chain([IpAddr::V4(v4)]) {
            prop_assert!(Allow::default().vet(address).is_err(), "{}", address);
        }
    }

    #[test]
    fn nothing_outside_2000_is_allowed(bits in any::<u128>()) {
        let address = IpAddr::V6(Ipv6Addr::from(bits));
        let global = bits >> 125 == 1;
        prop_assert!(global || hidden(address).is_some() || Allow::default().vet(address).is_err());
    }
}
