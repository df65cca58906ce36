//! The commands with their own flags, as argh reads them: what stands above a field or
//! a command here is its text in `--help`.

#[cfg(feature = "tls")]
use std::path::PathBuf;

use argh::FromArgs;

use crate::config::InviteName;
use crate::wire::secret::Domain;

impl Command {
    /// As it is typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Secret(_) => "secret",
            Self::Invite(_) => "link",
            Self::Check(_) => "check",
            Self::Certs(_) => "certs",
            Self::Ctl(_) => "ctl",
            Self::Ping(_) => "ping",
            Self::User(_) => "user",
        }
    }
}

/// What is on the command line besides the flags of the config.
#[derive(FromArgs)]
#[argh(help_triggers("-h", "--help", "help"))]
/// A Telegram MTProto proxy.
pub(super) struct CommandLine {
    /// print the version
    #[argh(switch, short = 'V')]
    pub(crate) version: bool,
    #[argh(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(FromArgs)]
#[argh(subcommand)]
pub(super) enum Command {
    Run(RunProxy),
    Secret(MakeSecret),
    Invite(ShowInvites),
    Check(CheckMachine),
    Certs(Certs),
    Ctl(Ctl),
    Ping(PingLinks),
    User(User),
}

/// Run the proxy (the default).
#[derive(FromArgs, Default)]
#[argh(subcommand, name = "run", help_triggers("-h", "--help"))]
#[argh(example = "\
    smol-mtproxy run --config FILE\n\
    smol-mtproxy run --test --config FILE && kill -HUP PID")]
pub(super) struct RunProxy {
    /// read the config and the files that it names, as --user if root is given
    /// one, say what is wrong, and end: a start's exit code, nothing written, no
    /// port taken
    #[argh(switch)]
    pub(crate) test: bool,
}

/// Make a secret. It is printed alone on stdout; on stderr follow its links, if
/// this machine's address is known.
#[derive(FromArgs)]
#[argh(subcommand, name = "secret", help_triggers("-h", "--help"))]
#[argh(example = "\
    smol-mtproxy secret\n\
    smol-mtproxy secret ee www.example.com\n\
    smol-mtproxy secret plain --json")]
pub(super) struct MakeSecret {
    /// plain (32 hex digits, for every form), dd (padded; the default) or
    /// ee DOMAIN (looks like TLS to that site)
    #[argh(positional)]
    pub(crate) form: Vec<String>,
    /// host name or address for the links, with a port if it is another than the
    /// listener's
    #[argh(option, arg_name = "HOST[:PORT]")]
    pub(crate) server: Option<InviteName>,
    /// print one JSON object on stdout instead
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Print the links of every secret, or of one, with QR codes.
#[derive(FromArgs)]
#[argh(subcommand, name = "link", help_triggers("-h", "--help"))]
#[argh(example = "\
    smol-mtproxy link\n\
    smol-mtproxy link alice\n\
    smol-mtproxy link --config FILE\n\
    smol-mtproxy link --server proxy.example.com --no-qr\n\
    smol-mtproxy link --json")]
pub(super) struct ShowInvites {
    /// of the secret, or user, of this name alone
    #[argh(positional, arg_name = "NAME")]
    pub(crate) name: Option<String>,
    /// host name or address that clients shall connect to, with a port if it is
    /// another than the listener's (default: --link-name, a public address of a
    /// listener, --external-ip, or found out)
    #[argh(option, arg_name = "HOST[:PORT]")]
    pub(crate) server: Option<InviteName>,
    /// links for a client that names this server; with --sni-salt its secret is
    /// derived for it
    #[argh(option, arg_name = "DOMAIN")]
    pub(crate) sni: Option<Domain>,
    /// no QR codes
    #[argh(switch)]
    pub(crate) no_qr: bool,
    /// print one JSON object
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Ask Telegram through the proxies that links lead to, yours or others': whether each
/// answers, and how fast. Never more than one new connection a second to one address.
#[cfg(feature = "ping")]
#[derive(FromArgs)]
#[argh(subcommand, name = "ping", help_triggers("-h", "--help"))]
#[argh(example = "\
    smol-mtproxy ping 'tg://proxy?server=proxy.example.com&port=443&secret=…'\n\
    smol-mtproxy ping --dc 2 --repeat 5 proxy.example.com:443:SECRET\n\
    smol-mtproxy ping 'https://t.me/webproxy?server=proxy.example.com&secret=…'\n\
    smol-mtproxy ping --stdin --json <links.txt")]
pub(super) struct PingLinks {
    /// tg://proxy?…, https://t.me/proxy?…, the same with webproxy, or
    /// HOST:PORT:SECRET
    #[argh(positional, arg_name = "LINK")]
    pub(crate) links: Vec<String>,
    /// a data centre to ask, and others so too (default: 1 to 5)
    #[argh(option, arg_name = "N")]
    pub(crate) dc: Vec<i16>,
    /// how often each is asked (default: 1)
    #[argh(option, arg_name = "N")]
    pub(crate) repeat: Option<u32>,
    /// for one ping (default: 10)
    #[argh(option, arg_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// connect there, wherever the link's name leads, as before DNS is changed
    #[argh(option, arg_name = "HOST[:PORT]")]
    pub(crate) at: Option<InviteName>,
    /// authorities (PEM) that are trusted beside those of browsers
    #[cfg(feature = "tls")]
    #[argh(option, arg_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// read more links from stdin, one a line: what is on a command line others on
    /// this machine may see
    #[argh(switch)]
    pub(crate) stdin: bool,
    /// print one JSON object
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Not in this build: ping with the one for servers.
#[cfg(not(feature = "ping"))]
#[derive(FromArgs)]
#[argh(subcommand, name = "ping", help_triggers("-h", "--help"))]
pub(super) struct PingLinks {}

/// Check the config and this machine: one verdict a line, and the way out.
#[cfg(feature = "check")]
#[derive(FromArgs)]
#[argh(subcommand, name = "check", help_triggers("-h", "--help"))]
pub(super) struct CheckMachine {
    /// leave out what needs the network
    #[argh(switch)]
    pub(crate) offline: bool,
    /// ask Telegram through the links of this config too, each door and form once, a
    /// second or two each; from this machine, which is not from outside
    #[cfg(feature = "ping")]
    #[argh(switch)]
    pub(crate) links: bool,
    /// print one JSON object
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Not in this small build: check with the full one.
#[cfg(not(feature = "check"))]
#[derive(FromArgs)]
#[argh(subcommand, name = "check", help_triggers("-h", "--help"))]
pub(super) struct CheckMachine {}

/// Make and show the certificates of a link between front and back.
#[cfg(feature = "tls")]
#[derive(FromArgs)]
#[argh(subcommand, name = "certs", help_triggers("-h", "--help"))]
#[argh(example = "\
    smol-mtproxy certs init ./link\n\
    smol-mtproxy certs add-node ./link home\n\
    smol-mtproxy certs renew ./link back\n\
    smol-mtproxy certs revoke ./link home\n\
    smol-mtproxy certs show ./link")]
pub(super) struct Certs {
    #[argh(subcommand)]
    pub(crate) command: CertsCommand,
}

#[cfg(feature = "tls")]
#[derive(FromArgs)]
#[argh(subcommand)]
pub(super) enum CertsCommand {
    Init(CertsInit),
    AddNode(CertsAddNode),
    Renew(CertsRenew),
    Revoke(CertsRevoke),
    Show(CertsShow),
}

/// Make a private CA and the back's certificate, with its config.
#[cfg(feature = "tls")]
#[derive(FromArgs)]
#[argh(subcommand, name = "init", help_triggers("-h", "--help"))]
pub(super) struct CertsInit {
    /// where; made if it is not there
    #[argh(positional, arg_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// Make a certificate for one front, with its config.
#[cfg(feature = "tls")]
#[derive(FromArgs)]
#[argh(subcommand, name = "add-node", help_triggers("-h", "--help"))]
pub(super) struct CertsAddNode {
    /// the directory of `certs init`
    #[argh(positional, arg_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// what the front is called: a-z, 0-9 and -
    #[argh(positional, arg_name = "NAME")]
    pub(crate) name: String,
    /// how long it is good for (default: 3650)
    #[argh(option, arg_name = "DAYS")]
    pub(crate) days: Option<u32>,
}

/// Make another certificate for the back or a front, in the old one's place.
#[cfg(feature = "tls")]
#[derive(FromArgs)]
#[argh(subcommand, name = "renew", help_triggers("-h", "--help"))]
pub(super) struct CertsRenew {
    /// the directory of `certs init`
    #[argh(positional, arg_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// back, or what the front is called
    #[argh(positional, arg_name = "NAME")]
    pub(crate) name: String,
    /// how long it is good for (default: 3650)
    #[argh(option, arg_name = "DAYS")]
    pub(crate) days: Option<u32>,
    /// with another key too: the old one may be known to others
    #[argh(switch)]
    pub(crate) new_key: bool,
}

/// Add a front's certificate to refused.txt: the back gives it no link.
#[cfg(feature = "tls")]
#[derive(FromArgs)]
#[argh(subcommand, name = "revoke", help_triggers("-h", "--help"))]
pub(super) struct CertsRevoke {
    /// the directory of `certs init`
    #[argh(positional, arg_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// what the front is called
    #[argh(positional, arg_name = "NAME")]
    pub(crate) name: String,
}

/// Show names, expiry dates and fingerprints.
#[cfg(feature = "tls")]
#[derive(FromArgs)]
#[argh(subcommand, name = "show", help_triggers("-h", "--help"))]
pub(super) struct CertsShow {
    /// the directory of `certs init`
    #[argh(positional, arg_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// Not in this small build: make certificates with the full one.
#[cfg(not(feature = "tls"))]
#[derive(FromArgs)]
#[argh(subcommand, name = "certs", help_triggers("-h", "--help"))]
pub(super) struct Certs {
    /// what the full build would be asked
    #[argh(positional, greedy)]
    pub(crate) words: Vec<String>,
}

/// Not in this small build: tables are changed by their files and SIGHUP.
#[cfg(not(feature = "ctl"))]
#[derive(FromArgs)]
#[argh(subcommand, name = "ctl", help_triggers("-h", "--help"))]
pub(super) struct Ctl {}

/// Talk to the running proxy: see how it fares, change its tables.
#[cfg(feature = "ctl")]
#[derive(FromArgs)]
#[argh(subcommand, name = "ctl", help_triggers("-h", "--help"))]
#[argh(example = "\
    smol-mtproxy ctl status\n\
    smol-mtproxy ctl secrets\n\
    smol-mtproxy ctl clients alice --full\n\
    smol-mtproxy ctl table add banned 192.0.2.0/24 --save\n\
    smol-mtproxy ctl table del banned 192.0.2.7\n\
    smol-mtproxy ctl table list banned --json\n\
    smol-mtproxy ctl token")]
pub(super) struct Ctl {
    /// status, secrets, clients, clients SECRET, dcs, links, routes; table, table
    /// list NAME, table add NAME ENTRY, table del NAME ENTRY, table save NAME;
    /// token: what the status page asks for
    #[argh(positional)]
    pub(crate) words: Vec<String>,
    /// write the table back to its file, so that the change outlives a reload
    #[argh(switch)]
    pub(crate) save: bool,
    /// of clients, addresses in full: by default only the network that each is from
    #[argh(switch)]
    pub(crate) full: bool,
    /// at most so many clients (default: 1000; up to 10000)
    #[argh(option, arg_name = "N")]
    pub(crate) limit: Option<usize>,
    /// print one JSON object, as doc/api.md has it
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Not in this small build: users are --secret lines of its config.
#[cfg(not(feature = "ctl"))]
#[derive(FromArgs)]
#[argh(subcommand, name = "user", help_triggers("-h", "--help"))]
pub(super) struct User {}

/// Add, change and remove users of the running proxy. It keeps them in the file
/// users in --data-dir; a --secret of the config is changed there.
#[cfg(feature = "ctl")]
#[derive(FromArgs)]
#[argh(subcommand, name = "user", help_triggers("-h", "--help"))]
#[argh(example = "\
    smol-mtproxy user add alice\n\
    smol-mtproxy user add bob max-ips=3 quota=50G expires=2027-01-31\n\
    smol-mtproxy user limit bob quota=80G expires=none\n\
    smol-mtproxy user show alice --png alice.png\n\
    smol-mtproxy user rotate alice --keep 7d\n\
    smol-mtproxy user del bob\n\
    smol-mtproxy user list --json")]
pub(super) struct User {
    /// add NAME [LIMIT=VALUE …], limit NAME LIMIT=VALUE … (none takes one off),
    /// rotate NAME, del NAME, show NAME, list; the limits are those of --secret
    #[argh(positional)]
    pub(crate) words: Vec<String>,
    /// of rotate: for how long the old secret is good beside the new one, as 7d,
    /// 12h or 30m (default: not at all)
    #[argh(option, arg_name = "TIME")]
    pub(crate) keep: Option<String>,
    /// no QR codes
    #[argh(switch)]
    pub(crate) no_qr: bool,
    /// write the first link's QR code to a file, as SVG; - is stdout
    #[argh(option, arg_name = "FILE")]
    pub(crate) svg: Option<String>,
    /// the same as PNG
    #[argh(option, arg_name = "FILE")]
    pub(crate) png: Option<String>,
    /// print one JSON object, as doc/api.md has it
    #[argh(switch)]
    pub(crate) json: bool,
}
