use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::host::{Host, NoHost};
use super::values::{BadValue, bad, check_name, parse_secret, repeated};
use crate::wire::secret::{AdTag, SharedSecret};

/// `--listen ADDR:PORT[,name=N][,secret=S][,tag=T][,late]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenFlag {
    pub(crate) place: ListenPlace,
    pub(crate) name: Option<String>,
    pub(crate) secrets: Vec<SharedSecret>,
    pub(crate) tag: Option<AdTag>,
    /// The address may come later.
    pub(crate) late: bool,
}

/// `--link-listen ADDR:PORT[,late]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkListenFlag {
    pub(crate) place: ListenPlace,
    /// The address may come later.
    pub(crate) late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenPlace {
    /// All addresses, IPv4 and IPv6.
    Everywhere(u16),
    One(SocketAddr),
}

impl FromStr for ListenFlag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut parts = text.split(',');
        let mut flag = Self {
            place: parts.next().unwrap_or_default().parse()?,
            name: None,
            secrets: Vec::new(),
            tag: None,
            late: false,
        };
        for part in parts {
            flag.take_option(part)?;
        }
        Ok(flag)
    }
}

impl ListenFlag {
    fn take_option(&mut self, part: &str) -> Result<(), BadValue> {
        match part.split_once('=') {
            Some(("name", name)) if self.name.is_none() => self.name = Some(check_name(name)?),
            Some(("tag", tag)) if self.tag.is_none() => {
                self.tag = Some(
                    tag.parse()
                        .map_err(|e| BadValue::new(format!("tag: {e}")))?,
                );
            }
            Some(("secret", secret)) => self.secrets.push(parse_secret(secret)?),
            None if part == "late" => self.late = self.place.may_be_late()?,
            Some((key @ ("name" | "tag"), _)) => return bad(format!("{key}= is given twice")),
            _ => {
                let key = repeated(part.split('=').next().unwrap_or_default());
                return bad(format!(
                    "`{key}` is not an option of a listener; name=, secret=, tag= and late are"
                ));
            }
        }
        Ok(())
    }
}

impl FromStr for LinkListenFlag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let early = text.strip_suffix(",late");
        let place: ListenPlace = early.unwrap_or(text).parse()?;
        let late = early.is_some() && place.may_be_late()?;
        Ok(Self { place, late })
    }
}

impl ListenPlace {
    fn may_be_late(self) -> Result<bool, BadValue> {
        match self {
            Self::One(address) if !address.ip().is_unspecified() => Ok(true),
            _ => bad("late is for one address: all addresses take in those that come later"),
        }
    }
}

impl FromStr for ListenPlace {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None => ("", text),
        };
        let port = match port.parse() {
            Ok(port) if port != 0 => port,
            // A listener's secret may have got here.
            _ => {
                return bad(format!(
                    "`{}`: expected ADDR:PORT, as in 192.0.2.1:443, [::]:443 or :443",
                    repeated(text)
                ));
            }
        };
        if text.parse::<Ipv6Addr>().is_ok() && host.parse::<Ipv6Addr>().is_err() {
            return bad(format!(
                "put the IPv6 address in brackets, and a port behind them: [{text}]:443"
            ));
        }
        if host.is_empty() || host == "*" {
            return Ok(Self::Everywhere(port));
        }
        match Host::parse(host) {
            Ok(Host::Address(ip)) => Ok(Self::One((ip, port).into())),
            Err(NoHost::Bare(ip, _)) => {
                bad(format!("put the IPv6 address in brackets: [{ip}]:PORT"))
            }
            Ok(Host::Name(_)) | Err(NoHost::Other) => bad(format!(
                "`{host}` is no IP address; give one of this machine's, or * for all"
            )),
        }
    }
}

/// `--metrics ADDR:PORT`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MetricsAddress(pub(crate) SocketAddr);

impl FromStr for MetricsAddress {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        Ok(Self(match (text.parse()?, text.starts_with('*')) {
            (ListenPlace::One(address), _) => address,
            (ListenPlace::Everywhere(port), true) => (Ipv4Addr::UNSPECIFIED, port).into(),
            (ListenPlace::Everywhere(port), false) => (Ipv4Addr::LOCALHOST, port).into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::secret::SecretForm;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    fn listen(text: &str) -> Result<ListenFlag, String> {
        text.parse().map_err(|e: BadValue| e.to_string())
    }

    #[test]
    fn listeners() {
        let place = |text: &str| listen(text).unwrap().place;
        for text in [":443", "*:443", "443"] {
            assert_eq!(place(text), ListenPlace::Everywhere(443));
        }
        for address in [
            "0.0.0.0:1",
            "192.0.2.1:65535",
            "[::]:443",
            "[2001:db8::1]:8443",
        ] {
            assert_eq!(place(address), ListenPlace::One(address.parse().unwrap()));
        }
        let full = listen(&format!(
            ":1,name=home,secret=dd{KEY},secret={KEY},tag={KEY}"
        ))
        .unwrap();
        assert_eq!(full.name.as_deref(), Some("home"));
        assert_eq!(full.tag, Some(KEY.parse().unwrap()));
        let forms: Vec<_> = full.secrets.into_iter().map(|s| s.form).collect();
        assert_eq!(forms, [SecretForm::Padded, SecretForm::Classic]);
    }

    #[test]
    fn one_address_may_come_later() {
        assert!(listen("192.0.2.1:443,late,name=x").unwrap().late);
        assert!(!listen("192.0.2.1:443,name=late").unwrap().late);
        let link = |text: &str| text.parse::<LinkListenFlag>();
        assert!(link("[2001:db8::1]:443,late").unwrap().late);
        assert!(!link("10.0.0.1:443").unwrap().late);
        for text in [":443,late", "0.0.0.0:443,late", "[::]:443,late"] {
            let errors = [
                listen(text).unwrap_err(),
                link(text).unwrap_err().to_string(),
            ];
            for error in errors {
                assert!(error.contains("late is for one address"), "{text}: {error}");
            }
        }
        assert!(link("10.0.0.1:443,name=x").is_err());
    }

    #[test]
    fn bad_listeners_name_the_way_out() {
        for (text, cause) in [
            ("", "expected ADDR:PORT"),
            ("1.2.3.4", "expected ADDR:PORT"),
            ("1.2.3.4:0", "expected ADDR:PORT"),
            ("1.2.3.4:65536", "expected ADDR:PORT"),
            ("::1:443", "put the IPv6 address in brackets: [::1]:PORT"),
            ("::1", "and a port behind them: [::1]:443"),
            ("2001:db8::1", "and a port behind them: [2001:db8::1]:443"),
            ("[::1]", "expected ADDR:PORT"),
            ("example.com:443", "`example.com` is no IP address"),
            ("[h]:443", "`[h]` is no IP address"),
            (":1,name=", "a name has 1 to 64"),
            (":1,name=a,name=b", "name= is given twice"),
            (":1,tag=12", "tag: expected exactly 32 hex digits"),
            (":1,secret=12", "this one has 2: copy all of it"),
            (
                ":1,colour=red",
                "`colour` is not an option of a listener; name=, secret=, tag= and late are",
            ),
            (":1,", "`` is not an option of a listener"),
        ] {
            let error = listen(text).unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }

    #[test]
    fn metrics_stay_on_this_machine_unless_told() {
        for (text, address) in [
            ("9090", "127.0.0.1:9090"),
            (":9090", "127.0.0.1:9090"),
            ("*:9090", "0.0.0.0:9090"),
            ("[::1]:9", "[::1]:9"),
        ] {
            let parsed = text.parse::<MetricsAddress>().unwrap();
            assert_eq!(parsed.0, address.parse().unwrap());
        }
    }
}
