//! Which names and paths lead to which DC.

use super::request::Request;

/// Whose front it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Telegram,
    /// A Cloudflare zone; the name has `{dc}` in it.
    Zone(String),
    /// A Cloudflare Worker, with the key that it wants.
    Worker {
        host: String,
        key: Option<String>,
    },
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Streams whose header has this DC, or one that shares its front.
    Packets { dc: i16, is_test: bool },
    /// Bytes for the DC itself.
    Bytes { dc: i16 },
    /// Another key than the Worker's: a status, no violation.
    Forbidden,
}

impl Kind {
    /// The names on the certificate that a hello with this name is shown.
    pub(super) fn shown(&self, name: &str) -> Vec<String> {
        if self.dc_of(name).is_some() {
            return vec![name.to_owned()];
        }
        match self {
            Self::Telegram => ["*.telegram.org", "telegram.org"].map(str::to_owned).into(),
            Self::Zone(_) | Self::Worker { .. } => vec!["cloudflare.example".to_owned()],
        }
    }

    /// The DC whose name this is; 0 for a Worker, which is none's.
    fn dc_of(&self, name: &str) -> Option<i16> {
        match self {
            Self::Telegram => {
                let label = name
                    .strip_prefix("kws")?
                    .strip_suffix(".web.telegram.org")?;
                let number = label.strip_suffix("-1").unwrap_or(label);
                plain_number(number).filter(|dc| (1..=5).contains(dc))
            }
            Self::Zone(pattern) => {
                let (before, behind) = pattern.split_once("{dc}")?;
                plain_number(name.strip_prefix(before)?.strip_suffix(behind)?)
            }
            Self::Worker { host, .. } => (name == host).then_some(0),
        }
    }

    /// Where a request goes whose hello had this name; `fronting` is another that
    /// it may have. `is_of_dc` tells whether an address is the DC's.
    pub(super) fn place(
        &self,
        request: &Request,
        name: &str,
        fronting: Option<&str>,
        is_of_dc: impl Fn(i16, &str) -> bool,
    ) -> Result<Place, String> {
        let host = &request.host;
        let dc = self
            .dc_of(host)
            .ok_or_else(|| format!("the Host {host:?}"))?;
        if name != host && fronting != Some(name) {
            return Err(format!("a hello to {name:?} for the Host {host:?}"));
        }
        if let Self::Worker { key, .. } = self {
            return worker(&request.path, key.as_deref(), is_of_dc);
        }
        if request.protocol.as_deref() != Some("binary") {
            return Err(format!("the sub-protocol {:?}", request.protocol));
        }
        match request.path.as_str() {
            "/apiws" => Ok(Place::Packets { dc, is_test: false }),
            "/apiws_test" => Ok(Place::Packets { dc, is_test: true }),
            path => Err(format!("the path {path:?}")),
        }
    }

    /// The DC of whom such a stream is, by the DC in its header.
    pub(super) fn dc_of_stream(&self, place: &Place, field: i16) -> Result<i16, String> {
        let number = i16::try_from(field.unsigned_abs()).unwrap_or(0);
        match *place {
            Place::Packets { dc, is_test } => {
                let shares = *self == Self::Telegram && (number, dc) == (203, 2);
                match (number == dc || shares, is_test) {
                    (true, true) => Ok(number + 10_000),
                    (true, false) => Ok(number),
                    _ => Err(format!("a stream for DC {field} at DC {dc}'s name")),
                }
            }
            Place::Bytes { dc } => Ok(dc),
            Place::Forbidden => Err("a stream of somebody without the key".to_owned()),
        }
    }
}

/// `/apiws?dst=ADDR&dc=N[&key=KEY]`
fn worker(
    path: &str,
    key: Option<&str>,
    is_of_dc: impl Fn(i16, &str) -> bool,
) -> Result<Place, String> {
    let query = path
        .strip_prefix("/apiws?")
        .ok_or_else(|| format!("the path {path:?}"))?;
    let (mut to, mut dc, mut shown) = (None, None, None);
    for part in query.split('&') {
        let slot = match part.split_once('=') {
            Some(("dst", value)) => to.replace(value),
            Some(("dc", value)) => dc.replace(value),
            Some(("key", value)) => shown.replace(value),
            _ => return Err(format!("{part:?} in {path:?}")),
        };
        if slot.is_some() {
            return Err(format!("{part:?} again in {path:?}"));
        }
    }
    if shown != key {
        return Ok(Place::Forbidden);
    }
    let dc = dc.and_then(|dc| dc.parse::<i16>().ok()).map(i16::abs);
    let (Some(to), Some(dc)) = (to, dc) else {
        return Err(format!("no address or no DC in {path:?}"));
    };
    match is_of_dc(dc, to) {
        true => Ok(Place::Bytes { dc }),
        false => Err(format!("{to} is no address of DC {dc}")),
    }
}

/// A number as it is written without signs and zeros in front.
fn plain_number(text: &str) -> Option<i16> {
    let number = text.parse().ok()?;
    (format!("{number}") == text && number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: &str, path: &str) -> Request {
        Request {
            path: path.to_owned(),
            host: host.to_owned(),
            key: String::new(),
            protocol: Some("binary".to_owned()),
        }
    }

    fn placed(kind: &Kind, name: &str, host: &str, path: &str) -> Result<Place, String> {
        let is_of_dc = |dc, address: &str| (dc, address) == (4, "127.0.0.1");
        kind.place(&request(host, path), name, Some("site.example"), is_of_dc)
    }

    #[test]
    fn telegrams_names_lead_to_their_dcs() {
        let telegram = Kind::Telegram;
        for (host, dc) in [("kws2.web.telegram.org", 2), ("kws4-1.web.telegram.org", 4)] {
            let place = Place::Packets { dc, is_test: false };
            assert_eq!(placed(&telegram, host, host, "/apiws"), Ok(place.clone()));
            let fronted = placed(&telegram, "site.example", host, "/apiws");
            assert_eq!(fronted, Ok(place));
            assert!(placed(&telegram, "", host, "/apiws").is_err());
            assert!(placed(&telegram, host, host, "/apiws/").is_err());
            assert_eq!(telegram.shown(host), [host]);
        }
        for host in [
            "kws203.web.telegram.org",
            "kws02.web.telegram.org",
            "kws2-2.web.telegram.org",
            "kws2.web.telegram.org:443",
            "KWS2.web.telegram.org",
            "web.telegram.org",
        ] {
            assert!(placed(&telegram, host, host, "/apiws").is_err(), "{host}");
            assert_eq!(telegram.shown(host)[0], "*.telegram.org");
        }
    }

    #[test]
    fn the_field_of_a_stream_fits_its_name() {
        let telegram = Kind::Telegram;
        let place = |is_test| Place::Packets { dc: 2, is_test };
        for (is_test, field, dc) in [
            (false, 2, Some(2)),
            (false, -2, Some(2)),
            (false, 203, Some(203)),
            (true, 2, Some(10_002)),
            (true, -2, Some(10_002)),
            (false, 10_002, None),
            (false, 3, None),
            (false, i16::MIN, None),
        ] {
            let found = telegram.dc_of_stream(&place(is_test), field);
            assert_eq!(found.ok(), dc, "{field}");
        }
        let zone = Kind::Zone("a{dc}b.example".to_owned());
        assert!(zone.dc_of_stream(&place(false), 203).is_err());
        assert_eq!(zone.dc_of("a203b.example"), Some(203));
    }

    #[test]
    fn a_worker_wants_its_key_and_an_address_of_telegrams() {
        let worker = Kind::Worker {
            host: "w.example".to_owned(),
            key: Some("k".to_owned()),
        };
        for (query, expected) in [
            ("dst=127.0.0.1&dc=4&key=k", Some(Place::Bytes { dc: 4 })),
            ("dst=127.0.0.1&dc=-4&key=k", Some(Place::Bytes { dc: 4 })),
            ("dst=127.0.0.1&dc=4", Some(Place::Forbidden)),
            ("dst=127.0.0.1&dc=4&key=x", Some(Place::Forbidden)),
            ("dst=127.0.0.2&dc=4&key=k", None),
            ("dst=127.0.0.1&dc=2&key=k", None),
            ("dc=4&key=k", None),
            ("dst=127.0.0.1&dc=4&key=k&key=k", None),
            ("dst=127.0.0.1&dc=4&key=k&x=y", None),
        ] {
            let place = placed(
                &worker,
                "w.example",
                "w.example",
                &format!("/apiws?{query}"),
            );
            assert_eq!(place.ok(), expected, "{query}");
        }
    }
}
