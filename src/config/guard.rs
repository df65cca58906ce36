use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::network::Network;
use super::policy::Rule;
use super::values::{BadValue, bad, check_name, one_of};

/// Who may come in, besides secrets and their limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuardConfig {
    pub(crate) policies: Vec<Rule>,
    /// No two of one name; every policy's table is there.
    pub(crate) tables: Vec<TableFile>,
    /// Peers that tell the client's address in a PROXY header.
    pub(crate) relays: Vec<Network>,
    pub(crate) replay_cache: ReplayCache,
    pub(crate) flood: Option<FloodLimits>,
    /// Connections at a time that have not proven a secret.
    pub(crate) max_handshakes: usize,
}

/// `--table NAME=FILE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFile {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// In --data-dir, which is made when it is needed.
    pub(crate) is_ours: bool,
}

impl TableFile {
    pub(super) fn within(&self, data_dir: &Path) -> Self {
        Self {
            is_ours: self.file.starts_with(data_dir),
            ..self.clone()
        }
    }
}

impl FromStr for TableFile {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once('=') {
            Some((name, file)) if !file.is_empty() => Ok(Self {
                name: check_name(name)?,
                file: file.into(),
                is_ours: false,
            }),
            _ => bad(format!(
                "`{text}`: expected NAME=FILE, as in banned=/etc/banned.txt"
            )),
        }
    }
}

/// How many unproven connections a subnet may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FloodLimits {
    /// Connections a second, in the long run.
    pub(crate) rate: u32,
    /// Connections at once. Telegram's apps open 3–8 together at their start,
    /// and thousands of clients share one address behind a carrier's NAT, some
    /// of them with the link of last year.
    pub(crate) burst: u32,
    /// Prefix lengths that make a subnet.
    pub(crate) ipv4_prefix: u8,
    pub(crate) ipv6_prefix: u8,
}

impl FloodLimits {
    /// Bounds of what comes of the machine's size.
    const MIN: usize = 500;
    const MAX: usize = 10_000;

    fn new(rate: u32, burst: u32) -> Self {
        Self {
            rate,
            burst,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }

    /// As many at once as may be at the site: a site of that size answers them all.
    pub(super) fn for_strangers(strangers: usize) -> Self {
        let burst = strangers.clamp(Self::MIN, Self::MAX) as u32;
        Self::new(burst / SECONDS_IN_BURST, burst)
    }
}

/// In which a burst comes back, unless it is given.
const SECONDS_IN_BURST: u32 = 10;

/// `--flood-limit off|RATE[,BURST]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FloodFlag(pub(crate) Option<FloodLimits>);

impl FromStr for FloodFlag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text == "off" {
            return Ok(Self(None));
        }
        const MAX: u32 = 1_000_000;
        let number = |text: &str| text.parse().ok().filter(|n| (1..=MAX).contains(n));
        let (rate, burst) = match text.split_once(',') {
            Some((rate, burst)) => (number(rate), number(burst)),
            None => (number(text), number(text).map(|n| n * SECONDS_IN_BURST)),
        };
        let limits = rate.zip(burst);
        let limits = limits.map(|(rate, burst)| FloodLimits::new(rate, burst));
        match limits {
            Some(_) => Ok(Self(limits)),
            None => bad(format!(
                "`{text}`: expected off, or connections a second and at once, as in 50,500, each \
                 from 1 to {MAX}"
            )),
        }
    }
}

/// The memory of handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplayCache {
    /// Handshakes remembered; 0: none.
    pub(crate) entries: usize,
    /// In the data directory from one run to the next; `None`: if that is on a disk.
    pub(crate) keep: Option<bool>,
}

/// `--replay-cache [ENTRIES][,keep|,forget]|off`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReplayFlag {
    /// `None`: as many as are the default.
    pub(crate) entries: Option<usize>,
    pub(crate) keep: Option<bool>,
}

impl FromStr for ReplayFlag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const MAX: usize = 100_000_000;
        let (number, word) = match text.split_once(',') {
            Some((number, word)) => (Some(number), Some(word)),
            None if text.starts_with(|first: char| first.is_ascii_digit()) => (Some(text), None),
            None => (None, Some(text)),
        };
        let entries = number.map(|number| number.parse().ok());
        let entries = entries.map(|entries| entries.filter(|entries| (1..=MAX).contains(entries)));
        match (entries, word) {
            (None, Some("off")) => Ok(Self {
                entries: Some(0),
                keep: None,
            }),
            (None | Some(Some(_)), None | Some("keep" | "forget")) => Ok(Self {
                entries: entries.flatten(),
                keep: word.map(|word| word == "keep"),
            }),
            _ => bad(format!(
                "`{text}`: expected off, keep, forget, or a number of handshakes from 1 to {MAX}, \
                 alone or as in 100000,keep and 100000,forget"
            )),
        }
    }
}

/// `--proxy-protocol ADDR[,ADDR…]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relays(pub(crate) Vec<Network>);

impl FromStr for Relays {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let networks: Result<_, _> = text.split(',').map(str::parse).collect();
        match networks {
            Ok(networks) => Ok(Self(networks)),
            Err(error) => bad(format!("{error}")),
        }
    }
}

/// Which of Telegram's −404 answers clients do not get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerErrors {
    Deliver,
    /// The one that is a session's first answer: who gets that replays.
    #[default]
    FilterFirst,
    FilterAll,
}

impl FromStr for ServerErrors {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        one_of(
            text,
            [
                ("off", Self::Deliver),
                ("first", Self::FilterFirst),
                ("on", Self::FilterAll),
            ],
        )
    }
}

/// Which connections are ended by RST, which leaves nothing in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reset {
    #[default]
    Never,
    OnHandshakeError,
    Always,
}

impl FromStr for Reset {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        one_of(
            text,
            [
                ("never", Self::Never),
                ("on-handshake-error", Self::OnHandshakeError),
                ("always", Self::Always),
            ],
        )
    }
}

/// What per-SNI secrets are derived with (`doc/protocol.md` §1). As secret as
/// they are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SniSalt(String);

impl SniSalt {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SniSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SniSalt(hidden)")
    }
}

impl FromStr for SniSalt {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_limits() {
        let parse = |text: &str| text.parse::<FloodFlag>().map(|flag| flag.0);
        let numbers = |text| {
            let limits = parse(text).unwrap().unwrap();
            (limits.rate, limits.burst)
        };
        assert_eq!(parse("off"), Ok(None));
        assert_eq!(numbers("20,100"), (20, 100));
        assert_eq!(numbers("7"), (7, 70));
        for wrong in ["", "0", "5,0", "5,", "-1", "1,2,3", "2000000"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for (strangers, rate, burst) in [
            (0, 50, 500),
            (256, 50, 500),
            (1024, 102, 1024),
            (25_000, 1000, 10_000),
        ] {
            let limits = FloodLimits::for_strangers(strangers);
            assert_eq!((limits.rate, limits.burst), (rate, burst));
        }
    }

    #[test]
    fn other_values() {
        let cache = |entries, keep| Ok(ReplayFlag { entries, keep });
        assert_eq!("off".parse(), cache(Some(0), None));
        assert_eq!("4096".parse(), cache(Some(4096), None));
        assert_eq!("4096,keep".parse(), cache(Some(4096), Some(true)));
        assert_eq!("4096,forget".parse(), cache(Some(4096), Some(false)));
        assert_eq!("keep".parse(), cache(None, Some(true)));
        assert_eq!("forget".parse(), cache(None, Some(false)));
        for wrong in [
            "",
            "0",
            "0,keep",
            "on",
            "-5",
            "1e6",
            ",keep",
            "off,keep",
            "keep,5",
            "5,",
            "5,kept",
            "5,off",
            "keep,forget",
        ] {
            assert!(wrong.parse::<ReplayFlag>().is_err(), "{wrong}");
        }
        let relays: Relays = "127.0.0.1,10.0.0.0/8,2001:db8::/32".parse().unwrap();
        assert_eq!(relays.0.len(), 3);
        assert!("127.0.0.1,".parse::<Relays>().is_err());
        let table: TableFile = "banned=/a=b".parse().unwrap();
        assert_eq!(
            (table.name.as_str(), table.file.to_str()),
            ("banned", Some("/a=b"))
        );
        for wrong in ["banned", "banned=", "=x", "two words=x"] {
            assert!(wrong.parse::<TableFile>().is_err(), "{wrong}");
        }
        let salt: SniSalt = "pepper".parse().unwrap();
        assert!(!format!("{salt:?}").contains("pepper"));
    }
}
