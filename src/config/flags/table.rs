use std::path::PathBuf;

use super::super::camouflage::{AnswerTime, FrontingChoice, RecordSizes, TimeSkew};
use super::super::cloudflare::{CloudflareWorker, CloudflareZone};
use super::super::guard::{FloodFlag, Relays, ReplayFlag, Reset, ServerErrors, SniSalt, TableFile};
use super::super::host::{ExternalIp, HostPort, InviteName};
use super::super::listen::{LinkListenFlag, ListenFlag, MetricsAddress};
use super::super::policy::Rule;
use super::super::routes::RouteChoice;
use super::super::secret::SecretFlag;
use super::super::upstream::NextProxy;
use super::super::values::{
    Allow, DcOverride, Integer, Protocols, Role, Seconds, Size, Source, YesNo,
};
use super::super::via::Via;
use super::super::web::{AcmeConfig, WebHostFlag, WebListenFlag, WebSiteFlag};
use super::super::ws::WsAddress;
use super::row::{Build, Flag, Heading, Holds, Names, Order, Reload, Roles};
#[cfg(test)]
use super::row::{More, Uci};
use super::slot::Slot;
use crate::log::{LogAddresses, LogFormat, LogLevel};
use crate::wire::secret::{AdTag, Domain};

/// Without TLS there is no HTTPS.
const URL_OR_FILE: &str = if cfg!(feature = "tls") {
    "URL-or-FILE"
} else {
    "FILE"
};

flags! {
    /// Every flag that is also a line of the config file, with what it was given.
    struct Flags;

    Clients {
        /// address to take clients on; no address or * means all, IPv4 and IPv6;
        /// late: one that this machine may get later (default: port 443, or 8443 if
        /// only root may have that one; none where a web server hands all on to
        /// --web-listen)
        listen: Vec<ListenFlag> = "--listen" "ADDR:PORT[,name=N][,secret=S][,tag=T][,late]",
            roles: Roles::WITH_CLIENTS, holds: Holds::SecretOption;
            List "192.0.2.1:443";
        /// a secret that clients may use: 32 hex digits, dd… or ee…, hex or
        /// base64url (default: one is made and kept in --data-dir); limits:
        /// max-connections=N, max-ips=N, expires=YYYY-MM-DD, quota=50G and rate=2M
        /// (bytes a second)
        secret: Vec<SecretFlag> = "--secret" "[NAME=]S[,LIMIT=…]",
            roles: Roles::WITH_CLIENTS, holds: Holds::Secret;
            List "alice=dd00112233445566778899aabbccddeeff,max-ips=3";
        /// how clients may talk (default: dd,tls)
        allow: Option<Allow> = "--allow" "classic,dd,tls",
            roles: Roles::WITH_CLIENTS; Own "classic";
        /// the site to look like; links with a bare secret get a TLS form
        tls_domain: Vec<Domain> = "--tls-domain" "D",
            roles: Roles::WITH_CLIENTS; List "www.example.com";
        /// name or address that links carry, with a port if clients reach another
        /// than the listener's (default: a listener's public address, --external-ip,
        /// or found out)
        link_name: Option<InviteName> = "--link-name" "HOST[:PORT]",
            roles: Roles::WITH_CLIENTS; Text "proxy.example.com";
        /// fake-TLS clients need links derived for their server name with this
        /// (link --sni DOMAIN); others are strangers
        sni_salt: Option<SniSalt> = "--sni-salt" "TEXT",
            roles: Roles::WITH_CLIENTS, holds: Holds::Secret; Text "pepper";
        /// relays in front of us (HAProxy, nginx) that send the PROXY protocol
        proxy_protocol: Option<Relays> = "--proxy-protocol" "ADDR[/N],…",
            roles: Roles::WITH_CLIENTS; Text "127.0.0.1";
        /// what strangers see: off = a silent server, sni = the --tls-domain that
        /// they ask for, else the first, or one site (default: sni if there is a
        /// --tls-domain, else off)
        fronting: Option<FrontingChoice> = "--fronting" "off|sni|HOST:PORT|unix:PATH",
            roles: Roles::WITH_CLIENTS; Text "127.0.0.1:8443";
        /// with --fronting sni: connect strangers to any site that they ask for,
        /// not only a --tls-domain (default: no)
        fronting_to_any_site: Option<YesNo> = "--fronting-to-any-site" "yes|no",
            roles: Roles::WITH_CLIENTS; Text "yes";
        /// tell the site strangers' addresses, by PROXY protocol v2 (default: no)
        fronting_proxy_protocol: Option<YesNo> = "--fronting-proxy-protocol" "yes|no",
            roles: Roles::WITH_CLIENTS; Text "yes";
        /// how many seconds a TLS client's clock may be off; clients that send
        /// their uptime always may (default: 1200,600)
        time_skew: Option<TimeSkew> = "--time-skew" "BEHIND,AHEAD|off",
            roles: Roles::WITH_CLIENTS; Text "300,60";
        /// how long TLS records to clients are: as the site's server makes them,
        /// small first and growing, or full (default: auto)
        tls_records: Option<RecordSizes> = "--tls-records" "auto|growing|full",
            roles: Roles::WITH_CLIENTS; Text "full";
        /// auto = TLS clients get the answer to their hello when a stranger would get
        /// the site's, at most half a second late, off = at once (default: auto)
        answer_time: Option<AnswerTime> = "--answer-time" "auto|off",
            roles: Roles::WITH_CLIENTS; Text "off";
        /// close a client that has not proven itself by then (default: 10)
        handshake_timeout: Option<Seconds> = "--handshake-timeout" "S",
            roles: Roles::WITH_CLIENTS; Number "5";
        /// close a client that sends and gets nothing for so long (default: 1800)
        idle_timeout: Option<Seconds> = "--idle-timeout" "S",
            roles: Roles::WITH_CLIENTS; Number "600";
        /// close a client that takes no data for so long (default: 60)
        send_timeout: Option<Seconds> = "--send-timeout" "S",
            roles: Roles::WITH_CLIENTS; Number "30";
    }

    Web {
        /// WEB proxy: a name whose HTTPS site carries clients of tg://webproxy links, all
        /// of it or what is below PATH; cert, key: files (PEM) of the name's certificate,
        /// for the TLS on --listen; without them a web server has it; secret: names of
        /// those that open it (default: every --secret)
        web: Vec<WebHostFlag> = "--web" "HOST[/PATH][,cert=FILE,key=FILE][,secret=A+B]",
            roles: Roles::WITH_CLIENTS, holds: Holds::KeyFileOption,
            names: Names::CertificateOptions;
            List "proxy.example.com,secret=alice";
        /// gets a certificate for every --web host without cert= by ACME, and renews it: the
        /// name must lead to this machine and its port 443 to --listen; EMAIL is where the
        /// authority writes to; who uses this accepts its terms of service; staging:
        /// Let's Encrypt's authority for trials, whose certificates apps refuse; directory:
        /// another authority; ca: who vouches for that one's HTTPS, in PEM
        web_acme: Option<AcmeConfig> = "--web-acme" "EMAIL[,staging][,directory=URL][,ca=FILE]",
            roles: Roles::WITH_CLIENTS, names: Names::CertificateOptions, build: Build::Acme;
            Text "me@example.com";
        /// where a web server or a CDN hands on what comes for --web, as HTTP without TLS;
        /// trust: networks whose NAME header says a client's address (default: this
        /// machine, X-Forwarded-For); those of --proxy-protocol send that instead
        web_listen: Vec<WebListenFlag> = "--web-listen" "ADDR:PORT[,trust=NET…][,header=NAME]",
            roles: Roles::WITH_CLIENTS, order: Order::Free; List "127.0.0.1:8080";
        /// what everybody without a secret sees at a --web host, or at all: another web
        /// server, or the files of a directory (default: the site of --fronting)
        web_site: Vec<WebSiteFlag> = "--web-site" "[HOST=]URL|DIR",
            roles: Roles::WITH_CLIENTS, order: Order::FreeByName, names: Names::FileMaybeOfName;
            List "/srv/www";
    }

    Telegram {
        /// auto = middle if there is a tag, else direct, or a list of ways for
        /// connections of a client's own, tried in this order: direct, ws, zone, worker,
        /// upstream; a back takes only a list, and without one direct (default: auto)
        route: Option<RouteChoice> = "--route" "auto|middle|LIST"; Text "direct";
        /// a proxy that all connections to Telegram go through:
        /// socks5://[USER:PASSWORD@]HOST[:1080], socks5h:// (it looks names up) or
        /// http://…HOST:PORT; middle proxies cannot be reached so (default: none)
        via: Option<Via> = "--via" "URL",
            roles: Roles::WITH_TELEGRAM, holds: Holds::Password; Text "socks5://127.0.0.1:1080";
        /// ad tag of @MTProxybot, 32 hex digits
        tag: Option<AdTag> = "--tag" "HEX",
            roles: Roles::WITH_CLIENTS, holds: Holds::Tag; Text "00112233445566778899aabbccddeeff";
        /// this machine's address as Telegram sees it (default: found out)
        external_ip: Option<ExternalIp> = "--external-ip" "IP"; Text "192.0.2.1";
        /// where middle proxies' secret is fetched or read (default: Telegram)
        telegram_secret: Option<Source> = "--telegram-secret" URL_OR_FILE,
            roles: Roles::WITH_TELEGRAM, names: Names::File; Text "secret";
        /// where the list of middle proxies is fetched or read (default: Telegram)
        telegram_config: Option<Source> = "--telegram-config" URL_OR_FILE,
            roles: Roles::WITH_TELEGRAM, names: Names::File; Text "proxy-multi.conf";
        /// the same for IPv6 (default: Telegram)
        telegram_config_v6: Option<Source> = "--telegram-config-v6" URL_OR_FILE,
            roles: Roles::WITH_TELEGRAM, names: Names::File; Text "proxy-multi-v6.conf";
        /// how often these are fetched again (default: 3600)
        refresh: Option<Seconds> = "--refresh" "S", roles: Roles::WITH_TELEGRAM; Number "7200";
        /// another address for a DC, for direct connections
        dc: Vec<DcOverride> = "--dc" "ID=ADDR:PORT",
            roles: Roles::WITH_TELEGRAM, order: Order::FreeByName; List "2=192.0.2.3:443";
        /// an address for a DC on the route ws (default: Telegram's web fronts, port
        /// 443)
        ws: Vec<WsAddress> = "--ws" "ID=ADDR[:PORT]",
            roles: Roles::WITH_TELEGRAM, order: Order::FreeByName, build: Build::Routes;
            List "2=192.0.2.4";
        /// route ws: what its TLS asks for where Telegram's own names get no answer;
        /// the certificate must be Telegram's all the same (default: none)
        ws_sni: Option<Domain> = "--ws-sni" "NAME",
            roles: Roles::WITH_TELEGRAM, build: Build::Routes; Text "www.example.com";
        /// routes ws, zone and worker: connections kept ready for each DC in use; of the
        /// latter two no more than 1 (default: 1)
        ws_spare: Option<Integer<0, 4>> = "--ws-spare" "N",
            roles: Roles::WITH_TELEGRAM, build: Build::Routes; Number "2";
        /// routes ws, zone and worker: certificate authorities to trust (default: those
        /// of Mozilla)
        ws_ca: Option<PathBuf> = "--ws-ca" "FILE",
            roles: Roles::WITH_TELEGRAM, names: Names::File, build: Build::Routes;
            Text "authorities.pem";
        /// route zone: a domain of yours at Cloudflare, whose names kws1 to kws5 and
        /// kws203 lead to Telegram's DCs, or another form of these names, with {dc} for
        /// the number; at this address, else where DNS says (default: none)
        cloudflare_zone: Option<CloudflareZone> =
            "--cloudflare-zone" "ZONE|NAME{dc}…[=ADDR:PORT]",
            roles: Roles::WITH_TELEGRAM, build: Build::Routes; Text "example.com";
        /// route worker: a Worker of yours at Cloudflare, with the key that its script
        /// wants; at this address, else where DNS says (default: none)
        cloudflare_worker: Option<CloudflareWorker> =
            "--cloudflare-worker" "HOST[=ADDR:PORT][,key=KEY]",
            roles: Roles::WITH_TELEGRAM, holds: Holds::KeyOption, build: Build::Routes;
            Text "tunnel.example.com";
        /// route upstream: another MTProxy, by its parts or by its link, which clients
        /// then go through
        upstream: Option<NextProxy> = "--upstream" "HOST:PORT:SECRET|LINK",
            roles: Roles::WITH_TELEGRAM, holds: Holds::Secret, build: Build::Routes;
            Text "proxy.example.com:443:dd00112233445566778899aabbccddeeff";
        /// connections to each DC's middle proxy kept open from the start
        /// (default: 0, opened at the first client)
        dc_connections: Option<Integer<0, 64>> = "--dc-connections" "N",
            roles: Roles::WITH_TELEGRAM; Number "1";
        /// open one more connection when each has so many clients (default: 300)
        clients_per_connection: Option<Integer<1, 10_000>> = "--clients-per-connection" "N",
            roles: Roles::WITH_TELEGRAM; Number "150";
    }

    SplitMode {
        /// both halves in one process, or the one that takes clients (front), or
        /// the one that talks to Telegram (back) (default: both)
        role: Option<Role> = "--role" "both|front|back", reload: Reload::Refused; Text "front";
        /// front: where its back takes links, by address or by name, which is looked
        /// up for every connection; several backs share the clients
        link: Vec<HostPort> = "--link" "HOST:PORT", roles: Roles::FRONT; List "10.8.0.1:8443";
        /// back: where fronts connect to
        link_listen: Vec<LinkListenFlag> = "--link-listen" "ADDR:PORT[,late]",
            roles: Roles::BACK, order: Order::Free; List "10.8.0.1:8443,late";
        /// CA of both ends' certificates, for a link with TLS; see the command
        /// certs
        link_ca: Option<PathBuf> = "--link-ca" "FILE",
            roles: Roles::HALVES, names: Names::File, build: Build::Tls; Text "ca.pem";
        /// this end's certificate
        link_cert: Option<PathBuf> = "--link-cert" "FILE",
            roles: Roles::HALVES, names: Names::File, build: Build::Tls; Text "home.pem";
        /// the key of that certificate
        link_key: Option<PathBuf> = "--link-key" "FILE",
            roles: Roles::HALVES, holds: Holds::SecretFile, names: Names::File, build: Build::Tls;
            Text "home.key";
        /// back: file of fingerprints (certs show) that get no link; certs revoke
        /// writes it
        link_refuse: Option<PathBuf> = "--link-refuse" "FILE",
            roles: Roles::BACK, names: Names::File, build: Build::Tls; Text "refused.txt";
        /// file of a key that both ends must have; without certificates the link is
        /// plain, for the inside of a tunnel
        link_psk: Option<PathBuf> = "--link-psk" "FILE",
            roles: Roles::HALVES, holds: Holds::SecretFile, names: Names::File; Text "link.psk";
        /// yes: let a link without TLS go over the open internet, readable and
        /// changeable by everyone on its way
        link_plain_on_public: Option<YesNo> = "--link-plain-on-public" "yes|no",
            roles: Roles::HALVES; Text "yes";
        /// front: the site that the link's TLS asks for (default: none)
        link_sni: Option<Domain> = "--link-sni" "NAME",
            roles: Roles::FRONT, build: Build::Tls; Text "www.example.com";
        /// protocols that the link's TLS offers (default: h2,http/1.1)
        link_alpn: Option<Protocols> = "--link-alpn" "NAME[,NAME]",
            roles: Roles::HALVES, build: Build::Tls; Text "h2";
        /// front: how long a client waits while there is no link (default: 5)
        link_wait: Option<Integer<0, 60>> = "--link-wait" "S", roles: Roles::FRONT; Number "10";
        /// front: connections to each back (default: 1)
        link_connections: Option<Integer<1, 16>> = "--link-connections" "N",
            roles: Roles::FRONT; Number "2";
    }

    WhoMayComeIn {
        /// max-connections:KEYS:N, in-table:KEY:TABLE or not-in-table:KEY:TABLE;
        /// keys: listener, secret, tls-domain, client-ipv4, client-ipv6,
        /// client-subnet/N, several joined by +
        policy: Vec<Rule> = "--policy" "RULE",
            roles: Roles::WITH_CLIENTS; List "max-connections:client-subnet/32/64:100";
        /// a table for policies: addresses, networks, names, one a line
        #[ctl = "; ctl changes it at run time"]
        table: Vec<TableFile> = "--table" "NAME=FILE",
            roles: Roles::WITH_CLIENTS, order: Order::FreeByName, names: Names::FileOfName;
            List "banned=/var/lib/smol-mtproxy/banned";
        /// handshakes remembered, so that a recorded one is not accepted again; over a
        /// restart too, or not (default: by this machine's memory, and kept if
        /// --data-dir is on a disk)
        replay_cache: Option<ReplayFlag> = "--replay-cache" "[ENTRIES][,keep|,forget]|off",
            roles: Roles::WITH_CLIENTS; Text "20000,keep";
        /// whether middle proxies' error −404 is kept from clients: as the first
        /// answer it tells of a replay (default: first)
        filter_server_errors: Option<ServerErrors> = "--filter-server-errors" "off|first|on",
            roles: Roles::WITH_CLIENTS; Text "on";
        /// connections a second and at once that an address (IPv6: a /64) may make
        /// without proving a secret (default: 50,500, more where --max-clients is over
        /// 2000)
        flood_limit: Option<FloodFlag> = "--flood-limit" "RATE[,BURST]|off",
            roles: Roles::WITH_CLIENTS; Text "20,100";
        /// connections at a time that have not proven a secret; the oldest of the
        /// address with most goes when one more comes (default: half of --max-clients,
        /// at least 64)
        max_handshakes: Option<Integer<1, 10_000_000>> = "--max-handshakes" "N",
            roles: Roles::WITH_CLIENTS; Number "100";
        /// hang up by RST: never, on-handshake-error or always (default: never)
        reset: Option<Reset> = "--reset" "WHEN",
            roles: Roles::WITH_CLIENTS; Text "on-handshake-error";
    }

    Limits {
        /// clients at a time (default: by this machine's memory and limit of open
        /// files)
        max_clients: Option<Integer<1, 10_000_000>> = "--max-clients" "N",
            roles: Roles::WITH_CLIENTS; Number "200";
        /// memory for data under way, as 2048K, 2M or 1G; at least 1M (default: by
        /// this machine's memory)
        buffers: Option<Size> = "--buffers" "SIZE", reload: Reload::Restart; Own "16M";
        /// shrink a client that is idle for so long (default: 60)
        hibernate: Option<Seconds> = "--hibernate" "S", roles: Roles::WITH_CLIENTS; Number "15";
    }

    ThisProcess {
        /// file of these flags, one a line; the command line overrides it
        config: Option<PathBuf> = "--config" "FILE",
            reload: Reload::CommandLine; None "/etc/smol-mtproxy.conf";
        /// where the made secret, the last lists and handshakes are kept (default:
        /// /var/lib/smol-mtproxy for root, else ~/.local/state/smol-mtproxy)
        data_dir: Option<PathBuf> = "--data-dir" "DIR",
            reload: Reload::Restart, names: Names::File; Text "/srv/smol-mtproxy";
        /// be this user once ports are bound, if started as root
        user: Option<String> = "--user" "NAME", reload: Reload::Restart; None "smol-mtproxy";
        /// unix socket that ctl talks to (default: control in --data-dir)
        control: Option<PathBuf> = "--control" "PATH",
            reload: Reload::Restart, names: Names::File, build: Build::Ctl;
            Text "/run/smol-mtproxy/control";
        /// error, warn, info, debug or trace (default: info)
        log_level: Option<LogLevel> = "--log-level" "L"; Text "debug";
        /// json = an object a line: level, time, room, message (default: text)
        log_format: Option<LogFormat> = "--log-format" "text|json"; Text "json";
        /// what the log shows of the addresses of clients, strangers and fronts: masked
        /// = their network, /24 or, of IPv6, /48 (default: full)
        log_addresses: Option<LogAddresses> = "--log-addresses" "full|masked|none"; Text "masked";
        /// some seconds after the start ask a DC once, and say in a line how it, the site
        /// and the rest fare, or what is wrong (default: yes)
        self_test: Option<YesNo> = "--self-test" "yes|no", reload: Reload::Restart; Text "no";
        /// serve Prometheus metrics, /healthz and /readyz, in the full build the status
        /// page and the API too; a port alone means on 127.0.0.1
        metrics: Option<MetricsAddress> = "--metrics" "ADDR:PORT", reload: Reload::Restart;
            Text "127.0.0.1:9090";
        /// take the token of the status page and the API over plain HTTP through the
        /// internet, where others can read it (default: no)
        status_public: Option<YesNo> = "--status-public" "yes|no", build: Build::Ctl;
            Text "yes";
    }
}
