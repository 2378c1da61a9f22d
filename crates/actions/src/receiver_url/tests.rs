use super::*;

fn refusal(text: &str, allow: &Allow) -> Option<String> {
    ReceiverUrl::parse(text).and_then(|url| url.vet(allow)).err().map(|error| error.to_string())
}

fn allow(entries: &[&str]) -> Allow {
    Allow::parse(entries).expect("good entries")
}

#[test]
fn addresses_are_seen_in_every_disguise() {
    let loopback = [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://127.1",
        "http://127.0.1",
        "http://2130706433",
        "http://017700000001",
        "http://0177.0.0.1",
        "http://0x7f.0.0.1",
        "http://0x7f000001",
        "http://0x7F.0x1",
        "http://%31%32%37.0.0.1",
        "http://127。0。0。1",
        "http://１２７.0.0.1",
        "http://①②⑦.0.0.1",
        "HTTPS://127.0.0.1:8443/a",
        "http://[::ffff:127.0.0.1]",
        "http://[::ffff:7f00:1]",
        "http://[0:0:0:0:0:ffff:7f00:0001]",
        "http://[64:ff9b::127.0.0.1]",
        "http://[2002:7f00:1::]",
        "http://[::127.0.0.1]",
    ];
    for url in loopback {
        let refused = refusal(url, &Allow::default()).unwrap_or_default();
        assert!(refused.ends_with("is not allowed: loopback (RFC 1122)"), "{url}: {refused:?}");
        assert_eq!(refusal(url, &allow(&["127.0.0.1"])), None, "{url}, allowed");
    }
    for (url, reason) in [
        ("http://0/", "unspecified (RFC 1122)"),
        ("http://[::]/", "unspecified (RFC 4291)"),
        ("http://[::1]/", "loopback (RFC 4291)"),
        ("http://10.8/", "private (RFC 1918)"),
        ("http://0xa9fea9fe/latest/meta-data", "a metadata service (AWS, Azure, Google and others)"),
        ("http://[fe80::1]/", "link-local (RFC 4291)"),
    ] {
        let refused = refusal(url, &Allow::default()).unwrap_or_default();
        assert!(refused.ends_with(reason), "{url}: {refused:?}");
    }
}

#[test]
fn this_machine_is_seen_by_its_name() {
    for url in ["http://localhost:9000", "http://LOCALHOST.", "http://a.localhost/", "http://ⓛocalhost/"] {
        let refused = refusal(url, &allow(&["127.0.0.1"])).unwrap_or_default();
        assert!(
            refused.contains("is 127.0.0.1 and ::1: the address ::1 is not allowed"),
            "{url}: {refused:?}"
        );
        assert_eq!(refusal(url, &allow(&["127.0.0.1", "::1"])), None);
    }
    assert_eq!(refusal("http://localhost.example.com", &Allow::default()), None);
}

#[test]
fn what_is_no_url_of_a_receiver_is_refused_with_the_reason() {
    for (url, said) in [
        ("", "must be set"),
        ("example.com/hook", "must begin with https:// or http://"),
        ("ftp://example.com", "must begin with https:// or http://"),
        ("file:///etc/passwd", "must begin with https:// or http://"),
        ("http:example.com", "must begin with https:// or http://"),
        ("http:///example.com", "must begin with https:// or http://"),
        ("https://", "is no URL: empty host"),
        ("https://exa mple.com", "has the character ' ', which must be written as a percent code"),
        ("https://example.com/\n", "has the character '\\n', which must be written as a percent code"),
        ("https:\\\\example.com", "has the character '\\\\', which must be written as a percent code"),
        ("https://me:pass@example.com", "must not have a user or password"),
        ("https://me@example.com", "must not have a user or password"),
        ("https://example.com/a#b", "must not have a fragment (#…)"),
        ("https://example.com:0/", "must not have port 0"),
        ("https://example.com:65536/", "is no URL: invalid port number"),
        ("https://1.2.3.256/", "is no URL: invalid IPv4 address"),
        ("https://[::1/", "is no URL: invalid IPv6 address"),
        ("https://a%00b/", "is no URL: invalid international domain name"),
    ] {
        assert_eq!(refusal(url, &Allow::default()).as_deref(), Some(said), "{url}");
    }
    let long = |characters: usize| format!("https://example.com/{}", "é".repeat(characters - 20));
    assert_eq!(refusal(&long(2_048), &Allow::default()), None);
    assert_eq!(
        refusal(&long(2_049), &Allow::default()).as_deref(),
        Some("has 2049 characters; the limit is 2048")
    );
}

#[test]
fn what_was_read_is_what_is_asked_for() {
    let cases = [
        ("https://Bücher.example/a b?c=d", None),
        ("https://Bücher.example/é?c=d", Some(("xn--bcher-kva.example", 443, "/%C3%A9?c=d"))),
        ("http://example.com:80", Some(("example.com", 80, "/"))),
        ("http://example.com:8080/a/../b", Some(("example.com:8080", 8080, "/b"))),
        ("https://[2606:4700::1]:8443/x?", Some(("[2606:4700::1]:8443", 8443, "/x?"))),
    ];
    for (text, read) in cases {
        let url = ReceiverUrl::parse(text).ok();
        let parts = url.as_ref().map(|url| (url.authority(), url.port(), url.path_and_query()));
        assert_eq!(parts, read.map(|(host, port, path)| (host.to_owned(), port, path)), "{text}");
    }
}
