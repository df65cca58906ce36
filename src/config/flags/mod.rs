use std::path::PathBuf;

use argh::ArgsInfo;

use super::camouflage::{AnswerTime, FrontingChoice, RecordSizes, TimeSkew, YesNo};
use super::guard::{FloodFlag, Relays, ReplayFlag, Reset, ServerErrors, SniSalt, TableFile};
use super::host::{ExternalIp, HostPort, LinkName};
use super::listen::{LinkListenFlag, ListenFlag, MetricsAddress};
use super::policy::Rule;
use super::role::Role;
use super::slot::Slot;
use super::values::{Allow, DcOverride, Names, RouteChoice, SecretFlag, Size, Source, Whole, Yes};
use crate::log::LogLevel;
use crate::wire::secret::{AdTag, Domain};

const DAY: u64 = 24 * 3600;
pub(super) type Seconds = Whole<1, { 7 * DAY }>;

/// The struct, and where each of its fields is by its flag. argh makes 9 KiB more
/// code of the same on MIPS.
macro_rules! flags {
    ($(#[$($outer:tt)*])* pub(super) struct Flags {
        $($(#[$($attribute:tt)*])* pub $field:ident: $value:ty,)*
    }) => {
        $(#[$($outer)*])*
        pub(super) struct Flags {
            $($(#[$($attribute)*])* pub $field: $value,)*
        }

        impl Flags {
            /// What `flag`, with its dashes, fills.
            pub fn slot(&mut self, flag: &str) -> Option<&mut dyn Slot> {
                let all = Self::get_args_info().flags;
                let at = all.iter().filter(|known| is_option(known)).position(|known| known.long == flag)?;
                let slots: [&mut dyn Slot; _] = [$(&mut self.$field,)*];
                slots.into_iter().nth(at)
            }
        }
    };
}

flags! {
/// Every flag that is also a line of the config file. The order is that of
/// `--help`, which is made from this.
#[derive(Default, ArgsInfo)]
pub(super) struct Flags {
    /// address to take clients on; no address or * means all, IPv4 and IPv6;
    /// late: one that this machine may get later (default: port 443, or 8443 if
    /// only root may have that one)
    #[argh(option, arg_name = "ADDR:PORT[,name=N][,secret=S][,tag=T][,late]")]
    pub listen: Vec<ListenFlag>,
    /// a secret that clients may use: 32 hex digits, dd… or ee…, hex or
    /// base64url (default: one is made and kept in --data-dir); limits:
    /// max-connections=N, max-ips=N, expires=YYYY-MM-DD, quota=50G and rate=2M
    /// (bytes a second)
    #[argh(option, arg_name = "[NAME=]S[,LIMIT=…]")]
    pub secret: Vec<SecretFlag>,
    /// how clients may talk (default: dd,tls)
    #[argh(option, arg_name = "classic,dd,tls")]
    pub allow: Option<Allow>,
    /// the site to look like; links with a bare secret get a TLS form
    #[argh(option, arg_name = "D")]
    pub tls_domain: Vec<Domain>,
    /// name or address that links carry, with a port if clients reach another
    /// than the listener's (default: a listener's public address, --external-ip,
    /// or found out)
    #[argh(option, arg_name = "HOST[:PORT]")]
    pub link_name: Option<LinkName>,
    /// fake-TLS clients need links derived for their server name with this
    /// (link --sni DOMAIN); others are strangers
    #[argh(option, arg_name = "TEXT")]
    pub sni_salt: Option<SniSalt>,
    /// relays in front of us (HAProxy, nginx) that send the PROXY protocol
    #[argh(option, arg_name = "ADDR[/N],…")]
    pub proxy_protocol: Option<Relays>,
    /// what strangers see: off = a silent server, sni = the --tls-domain that
    /// they ask for, else the first, or one site (default: sni if there is a
    /// --tls-domain, else off)
    #[argh(option, arg_name = "off|sni|HOST:PORT|unix:PATH")]
    pub fronting: Option<FrontingChoice>,
    /// with --fronting sni: connect strangers to any site that they ask for,
    /// not only a --tls-domain (default: no)
    #[argh(option, arg_name = "yes|no")]
    pub fronting_to_any_site: Option<YesNo>,
    /// tell the site strangers' addresses, by PROXY protocol v2 (default: no)
    #[argh(option, arg_name = "yes|no")]
    pub fronting_proxy_protocol: Option<YesNo>,
    /// how many seconds a TLS client's clock may be off; clients that send
    /// their uptime always may (default: 1200,600)
    #[argh(option, arg_name = "BEHIND,AHEAD|off")]
    pub time_skew: Option<TimeSkew>,
    /// how long TLS records to clients are: as the site's server makes them,
    /// small first and growing, or full (default: auto)
    #[argh(option, arg_name = "auto|growing|full")]
    pub tls_records: Option<RecordSizes>,
    /// auto = TLS clients get the answer to their hello when a stranger would get
    /// the site's, at most half a second late, off = at once (default: auto)
    #[argh(option, arg_name = "auto|off")]
    pub answer_time: Option<AnswerTime>,
    /// close a client that has not proven itself by then (default: 10)
    #[argh(option, arg_name = "S")]
    pub handshake_timeout: Option<Seconds>,
    /// close a client that sends and gets nothing for so long (default: 1800)
    #[argh(option, arg_name = "S")]
    pub idle_timeout: Option<Seconds>,
    /// close a client that takes no data for so long (default: 60)
    #[argh(option, arg_name = "S")]
    pub send_timeout: Option<Seconds>,

    /// auto = middle if there is a tag, else direct (default: auto)
    #[argh(option, arg_name = "auto|middle|direct")]
    pub route: Option<RouteChoice>,
    /// ad tag of @MTProxybot, 32 hex digits
    #[argh(option, arg_name = "HEX")]
    pub tag: Option<AdTag>,
    /// this machine's address as Telegram sees it (default: found out)
    #[argh(option, arg_name = "IP")]
    pub external_ip: Option<ExternalIp>,
    /// where middle proxies' secret is fetched or read (default: Telegram)
    #[argh(option, arg_name = "URL-or-FILE")]
    pub telegram_secret: Option<Source>,
    /// where the list of middle proxies is fetched or read (default: Telegram)
    #[argh(option, arg_name = "URL-or-FILE")]
    pub telegram_config: Option<Source>,
    /// the same for IPv6 (default: Telegram)
    #[argh(option, arg_name = "URL-or-FILE")]
    pub telegram_config_v6: Option<Source>,
    /// how often these are fetched again (default: 3600)
    #[argh(option, arg_name = "S")]
    pub refresh: Option<Seconds>,
    /// another address for a DC, for direct connections
    #[argh(option, arg_name = "ID=ADDR:PORT")]
    pub dc: Vec<DcOverride>,
    /// connections to each DC's middle proxy kept open from the start
    /// (default: 0, opened at the first client)
    #[argh(option, arg_name = "N")]
    pub dc_connections: Option<Whole<0, 64>>,
    /// open one more connection when each has so many clients (default: 300)
    #[argh(option, arg_name = "N")]
    pub clients_per_connection: Option<Whole<1, 10_000>>,

    /// both halves in one process, or the one that takes clients (front), or
    /// the one that talks to Telegram (back) (default: both)
    #[argh(option, arg_name = "both|front|back")]
    pub role: Option<Role>,
    /// front: where its back takes links, by address or by name, which is looked
    /// up for every connection; several backs share the clients
    #[argh(option, arg_name = "HOST:PORT")]
    pub link: Vec<HostPort>,
    /// back: where fronts connect to
    #[argh(option, arg_name = "ADDR:PORT[,late]")]
    pub link_listen: Vec<LinkListenFlag>,
    /// CA of both ends' certificates, for a link with TLS; see the command
    /// certs
    #[argh(option, arg_name = "FILE")]
    pub link_ca: Option<PathBuf>,
    /// this end's certificate
    #[argh(option, arg_name = "FILE")]
    pub link_cert: Option<PathBuf>,
    /// the key of that certificate
    #[argh(option, arg_name = "FILE")]
    pub link_key: Option<PathBuf>,
    /// back: file of fingerprints (certs show) that get no link; certs revoke
    /// writes it
    #[argh(option, arg_name = "FILE")]
    pub link_refuse: Option<PathBuf>,
    /// file of a key that both ends must have; without certificates the link is
    /// plain, for the inside of a tunnel
    #[argh(option, arg_name = "FILE")]
    pub link_psk: Option<PathBuf>,
    /// yes: let a link without TLS go over the open internet, readable and
    /// changeable by everyone on its way
    #[argh(option, arg_name = "yes|no")]
    pub link_plain_on_public: Option<Yes>,
    /// front: the site that the link's TLS asks for (default: none)
    #[argh(option, arg_name = "NAME")]
    pub link_sni: Option<Domain>,
    /// protocols that the link's TLS offers (default: h2,http/1.1)
    #[argh(option, arg_name = "NAME[,NAME]")]
    pub link_alpn: Option<Names>,
    /// front: how long a client waits while there is no link (default: 5)
    #[argh(option, arg_name = "S")]
    pub link_wait: Option<Whole<0, 60>>,
    /// front: connections to each back (default: 1)
    #[argh(option, arg_name = "N")]
    pub link_connections: Option<Whole<1, 16>>,

    /// max-connections:KEYS:N, in-table:KEY:TABLE or not-in-table:KEY:TABLE;
    /// keys: listener, secret, tls-domain, client-ipv4, client-ipv6,
    /// client-subnet/N, several joined by +
    #[argh(option, arg_name = "RULE")]
    pub policy: Vec<Rule>,
    /// a table for policies: addresses, networks, names, one a line; ctl changes
    /// it at run time
    #[argh(option, arg_name = "NAME=FILE")]
    pub table: Vec<TableFile>,
    /// handshakes remembered, so that a recorded one is not accepted again; over a
    /// restart too, or not (default: by this machine's memory, and kept if
    /// --data-dir is on a disk)
    #[argh(option, arg_name = "[ENTRIES][,keep|,forget]|off")]
    pub replay_cache: Option<ReplayFlag>,
    /// whether middle proxies' error −404 is kept from clients: as the first
    /// answer it tells of a replay (default: first)
    #[argh(option, arg_name = "off|first|on")]
    pub filter_server_errors: Option<ServerErrors>,
    /// connections a second and at once that an address (IPv6: a /64) may make
    /// without proving a secret (default: 50,500, more where --max-clients is over
    /// 2000)
    #[argh(option, arg_name = "RATE[,BURST]|off")]
    pub flood_limit: Option<FloodFlag>,
    /// connections at a time that have not proven a secret; the oldest of the
    /// address with most goes when one more comes (default: half of --max-clients,
    /// at least 64)
    #[argh(option, arg_name = "N")]
    pub max_handshakes: Option<Whole<1, 10_000_000>>,
    /// hang up by RST: never, on-handshake-error or always (default: never)
    #[argh(option, arg_name = "WHEN")]
    pub reset: Option<Reset>,

    /// clients at a time (default: by this machine's memory and limit of open
    /// files)
    #[argh(option, arg_name = "N")]
    pub max_clients: Option<Whole<1, 10_000_000>>,
    /// memory for data under way, as 2048K, 2M or 1G; at least 1M (default: by
    /// this machine's memory)
    #[argh(option, arg_name = "SIZE")]
    pub buffers: Option<Size>,
    /// shrink a client that is idle for so long (default: 60)
    #[argh(option, arg_name = "S")]
    pub hibernate: Option<Seconds>,

    /// file of these flags, one a line; the command line overrides it
    #[argh(option, arg_name = "FILE")]
    pub config: Option<PathBuf>,
    /// where the made secret, the last lists and handshakes are kept (default:
    /// /var/lib/smol-mtproxy for root, else ~/.local/state/smol-mtproxy)
    #[argh(option, arg_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// be this user once ports are bound, if started as root
    #[argh(option, arg_name = "NAME")]
    pub user: Option<String>,
    /// unix socket that ctl talks to (default: control in --data-dir)
    #[argh(option, arg_name = "PATH")]
    pub control: Option<PathBuf>,
    /// error, warn, info, debug or trace (default: info)
    #[argh(option, arg_name = "L")]
    pub log_level: Option<LogLevel>,
    /// serve Prometheus metrics; a port alone means on 127.0.0.1
    #[argh(option, arg_name = "ADDR:PORT")]
    pub metrics: Option<MetricsAddress>,
}
}

/// All but argh's own `--help`.
fn is_option(flag: &argh::FlagInfo<'_>) -> bool {
    matches!(flag.kind, argh::FlagInfoKind::Option { .. })
}

/// Where a new heading begins in `--help`.
const HEADINGS: [(&str, &str); 6] = [
    ("--listen", "Clients"),
    ("--route", "Telegram"),
    ("--role", "Split mode"),
    ("--policy", "Who may come in"),
    ("--max-clients", "Limits"),
    ("--config", "This process"),
];

/// One flag, for help and for splitting the command line.
pub struct FlagHelp {
    /// With its dashes.
    pub name: &'static str,
    pub value: &'static str,
    pub text: &'static str,
    /// The heading that this flag begins.
    pub heading: Option<&'static str>,
}

/// All flags of the config, in the order of `--help`.
pub fn all_flags() -> impl Iterator<Item = FlagHelp> {
    let info = Flags::get_args_info();
    info.flags.iter().filter_map(|flag| {
        let argh::FlagInfoKind::Option { arg_name } = flag.kind else {
            return None;
        };
        let heading = HEADINGS.iter().find(|(first, _)| *first == flag.long);
        Some(FlagHelp {
            name: flag.long,
            value: arg_name,
            text: flag.description,
            heading: heading.map(|(_, title)| *title),
        })
    })
}

/// Whether `name`, with its dashes, is a flag of the config.
pub fn is_flag(name: &str) -> bool {
    all_flags().any(|flag| flag.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_spelled_like_this() {
        let names: Vec<_> = all_flags().map(|flag| flag.name).collect();
        let contract = "--config --listen --secret --tag --allow --tls-domain --route \
            --external-ip --telegram-secret --telegram-config --telegram-config-v6 --refresh \
            --dc --dc-connections --clients-per-connection --max-clients --buffers \
            --handshake-timeout --idle-timeout --send-timeout --hibernate --data-dir --log-level \
            --metrics --fronting --fronting-to-any-site --fronting-proxy-protocol --time-skew \
            --tls-records --answer-time --sni-salt --proxy-protocol --policy --table --replay-cache \
            --filter-server-errors --flood-limit --max-handshakes --reset --user --control \
            --role --link --link-listen --link-ca --link-cert --link-key --link-refuse --link-psk \
            --link-plain-on-public --link-name --link-sni --link-alpn --link-wait --link-connections";
        for name in contract.split_whitespace() {
            assert!(names.contains(&name), "{name}");
        }
        assert_eq!(names.len(), contract.split_whitespace().count());
    }

    #[test]
    fn every_flag_fills_its_own_field() {
        let mut flags = Flags::default();
        flags.slot("--refresh").unwrap().fill("12").unwrap();
        flags.slot("--idle-timeout").unwrap().fill("34").unwrap();
        flags.slot("--metrics").unwrap().fill("9000").unwrap();
        assert_eq!(flags.refresh.unwrap().0, 12);
        assert_eq!(flags.idle_timeout.unwrap().0, 34);
        assert!(flags.metrics.is_some() && flags.send_timeout.is_none());
        for flag in all_flags() {
            assert!(flags.slot(flag.name).is_some(), "{}", flag.name);
        }
        assert!(flags.slot("--help").is_none() && flags.slot("refresh").is_none());
    }

    #[test]
    fn every_heading_has_its_place() {
        let shown = all_flags().filter_map(|flag| flag.heading).count();
        assert_eq!(shown, HEADINGS.len());
        assert!(all_flags().next().unwrap().heading.is_some());
    }
}
