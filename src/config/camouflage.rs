//! The values of the flags that decide what strangers see.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::host::Host;
use super::values::{BadValue, bad, one_of};
use crate::wire::secret::Domain;

/// What a peer sees that is not a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fronting {
    pub(crate) choice: FrontingChoice,
    /// Whatever site a hello names, not only those of `--tls-domain`.
    pub(crate) to_any_site: bool,
    /// The site is told the peer's address, by PROXY protocol version 2.
    pub(crate) proxy_protocol: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum FrontingChoice {
    /// A silent server.
    #[default]
    Off,
    /// The `--tls-domain` that its hello names, else the first one.
    ByName,
    Site(SitePlace),
    /// Our own TLS, that of the hosts of `--web`: what there is without `--fronting`.
    Own,
}

/// Where a site is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SitePlace {
    /// A name or an address, the latter without brackets.
    Host {
        name: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl FromStr for FrontingChoice {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "off" => Ok(Self::Off),
            "sni" => Ok(Self::ByName),
            place => Ok(Self::Site(place.parse()?)),
        }
    }
}

impl FromStr for SitePlace {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => bad("a Unix socket is given as unix:/absolute/path"),
            };
        }
        match Host::with_port(text) {
            Ok((host, port)) => Ok(Self::Host {
                name: host.to_string(),
                port,
            }),
            Err(_) => bad(format!(
                "`{text}`: expected off, sni, HOST:PORT as in 127.0.0.1:8443, or unix:/PATH"
            )),
        }
    }
}

impl SitePlace {
    /// The web server of `domain`.
    pub(crate) fn of(domain: &Domain) -> Self {
        Self::Host {
            name: domain.as_str().to_owned(),
            port: 443,
        }
    }
}

impl fmt::Display for SitePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How far the time of a fake-TLS hello may be from ours, in seconds. `None`:
/// it is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeSkew(pub(crate) Option<SkewLimits>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SkewLimits {
    pub(crate) behind: u32,
    pub(crate) ahead: u32,
}

impl Default for TimeSkew {
    /// `doc/protocol.md` §6.
    fn default() -> Self {
        Self(Some(SkewLimits {
            behind: 20 * 60,
            ahead: 10 * 60,
        }))
    }
}

impl FromStr for TimeSkew {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const MAX: u32 = 366 * 24 * 3600;
        if text == "off" {
            return Ok(Self(None));
        }
        let limit = |part: &str| part.trim().parse().ok().filter(|limit| *limit <= MAX);
        let parsed = text.split_once(',').and_then(|(behind, ahead)| {
            Some(SkewLimits {
                behind: limit(behind)?,
                ahead: limit(ahead)?,
            })
        });
        match parsed {
            Some(limits) => Ok(Self(Some(limits))),
            None => bad(format!(
                "`{text}`: expected seconds BEHIND,AHEAD as in 1200,600, or off"
            )),
        }
    }
}

/// How large the records are that carry data to fake-TLS clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RecordSizes {
    /// As the server makes them that answers for the client's name.
    #[default]
    Auto,
    /// Small ones first, as servers written in Go do.
    Growing,
    /// As nginx and others on OpenSSL do.
    Full,
}

impl FromStr for RecordSizes {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        one_of(
            text,
            [
                ("auto", Self::Auto),
                ("growing", Self::Growing),
                ("full", Self::Full),
            ],
        )
    }
}

/// When a fake-TLS client gets the answer to its hello.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AnswerTime {
    /// When a stranger would get the site's.
    #[default]
    Auto,
    /// At once.
    Off,
}

impl FromStr for AnswerTime {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        one_of(text, [("auto", Self::Auto), ("off", Self::Off)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fronting() {
        let site = |name: &str, port| {
            let name = name.to_owned();
            Ok(FrontingChoice::Site(SitePlace::Host { name, port }))
        };
        assert_eq!("off".parse(), Ok(FrontingChoice::Off));
        assert_eq!("sni".parse(), Ok(FrontingChoice::ByName));
        for text in ["127.0.0.1:8443", "[127.0.0.1]:8443"] {
            assert_eq!(text.parse(), site("127.0.0.1", 8443));
        }
        assert_eq!("[::1]:443".parse(), site("::1", 443));
        assert_eq!("Web.internal:80".parse(), site("web.internal", 80));
        let unix = SitePlace::Unix("/run/web.sock".into());
        assert_eq!("unix:/run/web.sock".parse(), Ok(FrontingChoice::Site(unix)));
        for wrong in [
            "", "443", "a:0", "a:x", ":443", "::1:443", "a b:1", "unix:web", "a..b:1",
        ] {
            assert!(wrong.parse::<FrontingChoice>().is_err(), "{wrong}");
        }
        for text in ["127.0.0.1:8443", "[::1]:443", "unix:/run/web.sock"] {
            assert_eq!(text.parse::<SitePlace>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn skew() {
        let of = |behind, ahead| Ok(TimeSkew(Some(SkewLimits { behind, ahead })));
        assert_eq!("1200,600".parse(), of(1200, 600));
        assert_eq!("0, 5".parse(), of(0, 5));
        assert_eq!("1200,600".parse(), Ok(TimeSkew::default()));
        assert_eq!("off".parse(), Ok(TimeSkew(None)));
        for wrong in ["", "5", "5,", "-5,5", "1,2,3", "99999999,1"] {
            assert!(wrong.parse::<TimeSkew>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn words() {
        assert_eq!("auto".parse(), Ok(RecordSizes::Auto));
        assert_eq!("growing".parse(), Ok(RecordSizes::Growing));
        assert_eq!("full".parse(), Ok(RecordSizes::Full));
        assert!("small".parse::<RecordSizes>().is_err());
        assert_eq!("off".parse(), Ok(AnswerTime::Off));
        assert!("60".parse::<AnswerTime>().is_err());
    }
}
