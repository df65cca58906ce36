//! The route by Telegram's web fronts.

use std::net::{IpAddr, SocketAddr};
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::str::FromStr;

use super::values::{BadValue, bad};
use crate::wire::dc::DcId;
#[cfg(feature = "tls")]
use crate::wire::secret::Domain;

const HTTPS: u16 = 443;

/// What connections to these are made with.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WsConfig {
    /// In the order given; several a DC are tried in turn.
    pub(crate) addresses: Vec<(DcId, SocketAddr)>,
    /// What TLS asks for where Telegram's names are filtered.
    pub(crate) sni: Option<Domain>,
    /// Connections that are kept ready for each DC in use.
    pub(crate) spare: usize,
    /// The file of the authorities that are trusted instead of Mozilla's.
    pub(crate) ca: Option<PathBuf>,
}

/// `--ws ID=ADDR[:PORT]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WsAddress(pub(crate) DcId, pub(crate) SocketAddr);

impl FromStr for WsAddress {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let parsed = text.split_once('=').and_then(|(id, address)| {
            let bare = |ip: IpAddr| SocketAddr::new(ip, HTTPS);
            let id: DcId = id.parse().ok()?;
            let address = address.parse().or_else(|_| address.parse().map(bare));
            let address = address.ok()?;
            (id.0 != 0 && address.port() != 0).then_some(Self(id, address))
        });
        match parsed {
            Some(parsed) => Ok(parsed),
            None => bad(format!(
                "`{text}`: expected ID=ADDR or ID=ADDR:PORT, as in 2=149.154.167.220 or \
                 2=[2001:db8::1]:443"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, dc, address) in [
            ("2=192.0.2.1", 2, "192.0.2.1:443"),
            ("-4=192.0.2.1:8443", -4, "192.0.2.1:8443"),
            ("10001=2001:db8::1", 10_001, "[2001:db8::1]:443"),
            ("1=[2001:db8::1]:444", 1, "[2001:db8::1]:444"),
        ] {
            let expected = WsAddress(DcId(dc), address.parse().unwrap());
            assert_eq!(text.parse(), Ok(expected));
        }
        for wrong in [
            "",
            "2",
            "2=",
            "0=192.0.2.1",
            "2=192.0.2.1:0",
            "2=name",
            "2=192.0.2.1:",
        ] {
            assert!(wrong.parse::<WsAddress>().is_err(), "{wrong}");
        }
    }
}
