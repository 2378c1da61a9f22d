//! Where the broker is, and who we are there.

use std::fmt;

use percent_encoding::percent_decode_str;

/// `mqtt://user:password@host:1883`; what has a meaning in URLs is percent-encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// A name, or an address of IPv4 or IPv6.
    pub host: String,
    /// 1883 unless the URL says otherwise.
    pub port: u16,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

const PORT: u16 = 1883;
const FORM: &str = "must be mqtt://user:password@host:1883";

impl Address {
    /// Reads a URL. An error never repeats the URL, which has a password in it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let rest = match url.split_once("://") {
            Some(("mqtt", rest)) => rest.trim_end_matches('/'),
            Some(("mqtts", _)) => {
                return Err(
                    "mqtts:// is not spoken: there is no TLS to the broker yet, so keep it on the same network",
                );
            }
            _ => return Err(FORM),
        };
        let (credentials, place) =
            rest.rsplit_once('@').map_or((None, rest), |(credentials, place)| (Some(credentials), place));
        let (host, port) = host_and_port(place)?;
        let credentials = credentials.map(|text| {
            let (user, password) = text.split_once(':').unwrap_or((text, ""));
            Ok::<_, &str>((decoded(user)?, decoded(password)?))
        });
        Ok(Self { host, port, credentials: credentials.transpose()? })
    }
}

fn host_and_port(place: &str) -> Result<(String, u16), &'static str> {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if is_port(port) => (host, port.parse().map_err(|_| FORM)?),
        _ => (place, PORT),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || host.contains('/') || port == 0 { Err(FORM) } else { Ok((host.to_owned(), port)) }
}

fn decoded(text: &str) -> Result<String, &'static str> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| FORM)
}

/// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_broker_and_account() {
        let address = |host: &str, port, credentials: Option<(&str, &str)>| Address {
            host: host.to_owned(),
            port,
            credentials: credentials.map(|(user, password)| (user.to_owned(), password.to_owned())),
        };
        for (url, expected) in [
            ("mqtt://broker", address("broker", 1883, None)),
            ("mqtt://u:p%40ss@broker:1884/", address("broker", 1884, Some(("u", "p@ss")))),
            ("mqtt://u@[::1]:1", address("::1", 1, Some(("u", "")))),
        ] {
            assert_eq!(Address::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn another_url_is_refused_without_its_password() {
        for (url, said) in [
            ("mqtts://u:secret@b", "TLS"),
            ("b:1883", "mqtt://"),
            ("mqtt://", "mqtt://"),
            ("mqtt://u:secret@b:99999", "mqtt://"),
        ] {
            let refused = Address::parse(url).expect_err(url);
            assert!(refused.contains(said) && !refused.contains("secret"), "{refused}");
        }
        let address = Address::parse("mqtt://u:secret@b").expect("good");
        assert_eq!(format!("{address:?}"), "b:1883");
    }
}
