//! What the templates `config/ROLE.conf` show, beside the help of their flags.

/// A piece of a template.
pub(super) enum Part {
    /// A comment.
    Says(&'static str),
    Blank,
    /// What `config/init.sh` fills in.
    Filled(&'static str),
    /// A comment: what this flag takes, and its help.
    Help(&'static str),
    On(&'static str, &'static str),
    /// As an example.
    Off(&'static str, &'static str),
    /// What several templates have.
    Shared(&'static [Part]),
}

use Part::{Blank, Filled, Help, Off, On, Says, Shared};

const BLOCKED: &[Part] = &[
    Says(
        "Where Telegram is blocked: doc/blocked.md. `smol-mtproxy check` says what each route of \
         the list leads to; the small build has direct alone, and via.",
    ),
    Off("route", "direct,ws"),
    Help("via"),
    Off("via", "socks5://127.0.0.1:1080"),
    Help("ws-sni"),
    Off("ws-sni", "www.example.com"),
    Help("ws-spare"),
    Off("ws-spare", "1"),
];

const BEHIND_NAT: &str = "Needed behind NAT when traffic takes the middle proxies.";
const WHO_CONNECTS: &[Part] = &[
    Says(
        "Where clients connect. Repeat for more; name, secret and tag are its own, and late is for \
         an address that comes up later (a tunnel's).",
    ),
    Help("listen"),
    On("listen", "443"),
    Blank,
    Says("Who may connect: NAME=SECRET. `smol-mtproxy secret` makes more."),
    Help("secret"),
    On("secret", "first=@SECRET@"),
];

const KINDS: &[Part] = &[
    Says(
        "Kinds of client: classic, dd (padded), tls (looks like HTTPS; needs a domain of your own \
         whose address is this machine's, and a secret without its dd: the 32 digits alone, or \
         ee…).",
    ),
    Help("allow"),
    Off("allow", "dd,tls"),
    Help("tls-domain"),
    Off("tls-domain", "www.example.com"),
];

const WEB: &[Part] = &[
    Says(
        "WEB proxy: tg://webproxy links, which newer apps take. They lead to an HTTPS site of \
         yours, here one whose web server has port 443 (doc/web-proxy.md has the steps).",
    ),
    Help("web"),
    Off("web", "proxy.example.com"),
    Help("web-listen"),
    Off("web-listen", "127.0.0.1:8080"),
    Help("web-site"),
    Off("web-site", "/var/www/html"),
];

const TAG: &[Part] = &[
    Says("With an ad tag, traffic takes Telegram's middle proxies."),
    Help("tag"),
    Off("tag", "00000000000000000000000000000000"),
];

const INVITE_NAME: &[Part] = &[Help("link-name"), Off("link-name", "proxy.example.com")];

const LINK_KEY: &[Part] = &[
    Says(
        "What secures the link; the same kind on both ends. Inside a tunnel a key is enough: make \
         it once with `(umask 077; smol-mtproxy secret plain >link.psk)`, and copy it to the other \
         end. Names are relative to this file.",
    ),
    Help("link-psk"),
    On("link-psk", "link.psk"),
];

const BOUNDS: &str = "Bounds. The defaults fit the machine.";

const MAX_CLIENTS: &[Part] = &[
    Says(BOUNDS),
    Help("max-clients"),
    Off("max-clients", "10000"),
];

const BUFFERS_AND_LOG: &[Part] = &[
    Help("buffers"),
    Off("buffers", "16M"),
    Blank,
    Help("log-level"),
    Off("log-level", "info"),
    Help("log-addresses"),
    Off("log-addresses", "full"),
    Help("metrics"),
    Off("metrics", "127.0.0.1:9090"),
];

pub(super) const BOTH: &[Part] = &[
    Says("smol-mtproxy: flags of `smol-mtproxy run`, one a line; # starts a comment."),
    Says(
        "Check it with `smol-mtproxy check --config THIS_FILE`; see the links with `smol-mtproxy \
         link --config THIS_FILE`; SIGHUP applies changes. Both find /etc/smol-mtproxy.conf by \
         themselves. doc/options.md has all flags.",
    ),
    Blank,
    Shared(WHO_CONNECTS),
    Off(
        "secret",
        "alice=SECRET,max-connections=30,max-ips=3,quota=50G,rate=2M,expires=2027-01-31",
    ),
    Blank,
    Shared(KINDS),
    Says("Strangers see that site; here with a web server of your own on this machine."),
    Help("fronting"),
    Off("fronting", "127.0.0.1:8443"),
    Blank,
    Says("Who may come in besides: counts and tables (doc/gatekeeping.md)."),
    Help("policy"),
    Off("policy", "max-connections:client-subnet/32/64:100"),
    Off("policy", "not-in-table:client-subnet/32/128:banned"),
    Says(
        "The file of a table may come later, in the one directory that systemd lets `ctl table … \
         --save` write to.",
    ),
    Help("table"),
    Off("table", "banned=/var/lib/smol-mtproxy/banned"),
    Blank,
    Help("proxy-protocol"),
    Off("proxy-protocol", "127.0.0.1"),
    Blank,
    Shared(WEB),
    Blank,
    Shared(TAG),
    Help("route"),
    Off("route", "auto"),
    Blank,
    Shared(BLOCKED),
    Blank,
    Says(BEHIND_NAT),
    Help("external-ip"),
    Filled("@EXTERNAL_IP@"),
    Blank,
    Shared(INVITE_NAME),
    Blank,
    Shared(MAX_CLIENTS),
    Shared(BUFFERS_AND_LOG),
];

pub(super) const FRONT: &[Part] = &[
    Says("smol-mtproxy, role front: takes clients and hands them to a back over a link."),
    Says(
        "Flags of `smol-mtproxy run`, one a line; # starts a comment. Check it with `smol-mtproxy \
         check --config THIS_FILE`; see the links with `smol-mtproxy link --config THIS_FILE`; \
         SIGHUP applies changes. README, \"Split mode\", has the steps, doc/options.md all flags.",
    ),
    On("role", "front"),
    Blank,
    Says(
        "Where the back is. Clients are spread over several, and those of a lost one come again \
         over the others.",
    ),
    Help("link"),
    On("link", "@BACK@"),
    Blank,
    Shared(LINK_KEY),
    Blank,
    Says(
        "Over the open internet: certificates of `smol-mtproxy certs init` and `certs add-node`, \
         instead of the line above.",
    ),
    Help("link-ca"),
    Off("link-ca", "ca.pem"),
    Help("link-cert"),
    Off("link-cert", "NAME.pem"),
    Help("link-key"),
    Off("link-key", "NAME.key"),
    Says("What an onlooker sees of it."),
    Help("link-sni"),
    Off("link-sni", "www.example.com"),
    Help("link-alpn"),
    Off("link-alpn", "h2,http/1.1"),
    Blank,
    Help("link-wait"),
    Off("link-wait", "5"),
    Help("link-connections"),
    Off("link-connections", "1"),
    Blank,
    Shared(WHO_CONNECTS),
    Blank,
    Shared(KINDS),
    Blank,
    Shared(WEB),
    Blank,
    Shared(TAG),
    Help("route"),
    Off("route", "auto"),
    Blank,
    Says("The address that clients connect to, for the links."),
    Filled("@EXTERNAL_IP@"),
    Blank,
    Shared(INVITE_NAME),
    Blank,
    Shared(MAX_CLIENTS),
    Shared(BUFFERS_AND_LOG),
];

pub(super) const BACK: &[Part] = &[
    Says("smol-mtproxy, role back: takes links from fronts and talks to Telegram."),
    Says(
        "Flags of `smol-mtproxy run`, one a line; # starts a comment. Check it with `smol-mtproxy \
         check --config THIS_FILE`; SIGHUP applies changes. README, \"Split mode\", has the steps, \
         doc/options.md all flags.",
    ),
    On("role", "back"),
    Blank,
    Says(
        "Let only the fronts' addresses through the firewall. With a key alone it must be the \
         address of a tunnel (10.8.0.1:8443, say; with ,late behind it if the tunnel comes up \
         later) or 127.0.0.1.",
    ),
    Help("link-listen"),
    On("link-listen", "127.0.0.1:8443"),
    Blank,
    Shared(LINK_KEY),
    Blank,
    Says(
        "Over the open internet: certificates of `smol-mtproxy certs init`, instead of the line \
         above.",
    ),
    Help("link-ca"),
    Off("link-ca", "ca.pem"),
    Help("link-cert"),
    Off("link-cert", "back.pem"),
    Help("link-key"),
    Off("link-key", "back.key"),
    Help("link-refuse"),
    Off("link-refuse", "refused.txt"),
    Help("link-alpn"),
    Off("link-alpn", "h2,http/1.1"),
    Blank,
    Help("route"),
    Shared(BLOCKED),
    Blank,
    Says(BEHIND_NAT),
    Help("external-ip"),
    Filled("@EXTERNAL_IP@"),
    Blank,
    Help("dc-connections"),
    Off("dc-connections", "0"),
    Help("clients-per-connection"),
    Off("clients-per-connection", "300"),
    Blank,
    Says(BOUNDS),
    Shared(BUFFERS_AND_LOG),
];
