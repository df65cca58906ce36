use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::routes::{RouteList, RouteName};
use super::values::repeated;
use super::web::WebProblem;

/// Where a flag was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    CommandLine,
    /// Lines are counted from 1.
    File {
        path: Arc<Path>,
        line: usize,
    },
}

impl Origin {
    pub(super) fn is_in(&self, file: &Path) -> bool {
        matches!(self, Self::File { path, .. } if **path == *file)
    }
}

/// Why there is no config: where, what, and the way out, in one line.
#[derive(Debug)]
pub(crate) struct ConfigError {
    pub(crate) origin: Option<Origin>,
    pub(crate) problem: Problem,
}

#[derive(Debug)]
pub(crate) enum Problem {
    UnknownFlag {
        flag: String,
        /// The flag that it may be.
        meant: Option<&'static str>,
    },
    UnknownCommand {
        word: String,
        meant: Option<&'static str>,
    },
    /// A word that no command has there.
    ExtraWord {
        word: String,
        meant: Option<&'static str>,
    },
    /// A command's own flags and words are wrong.
    Usage {
        message: String,
    },
    NoValue {
        flag: &'static str,
        /// What stands for it in help.
        value: &'static str,
    },
    BadValue {
        flag: String,
        cause: String,
    },
    GivenTwice {
        flag: &'static str,
        first: Option<Origin>,
    },
    /// A quoted value that does not end, or does not end the line.
    BadQuotes {
        flag: &'static str,
    },
    NotText,
    /// A second flag in a line of the file.
    TwoInLine {
        flag: &'static str,
        second: String,
    },
    NestedConfig,
    Unreadable {
        path: PathBuf,
        error: io::Error,
    },
    TooLarge {
        path: PathBuf,
    },
    DuplicateListener {
        address: SocketAddr,
        first: Option<Origin>,
    },
    /// The kernel gives a port on all addresses or on one, not both.
    OverlappingListener {
        address: SocketAddr,
        other: SocketAddr,
    },
    /// This process would be in its own way.
    MetricsInTheWay {
        address: SocketAddr,
        other: SocketAddr,
    },
    DuplicateName {
        name: String,
    },
    /// A listener's own secret is called as the listener, and as another.
    NameOfSecret {
        name: String,
    },
    DuplicateSecret {
        name: String,
        other: String,
    },
    DuplicateTable {
        name: String,
    },
    /// A policy's table that no `--table` brings.
    NoSuchTable {
        name: String,
    },
    /// A secret whose form `--allow` does not name.
    FormNotAllowed {
        name: String,
        form: &'static str,
    },
    /// Bare secrets, only fake-TLS allowed, and no domain for it.
    NoTlsDomain,
    /// `--fronting sni` without a name that may be asked for.
    NoSiteToFront,
    /// `--route middle` cannot be told to the other flags' wish.
    TagWithoutMiddle {
        routes: RouteList,
    },
    /// A front asks its back for middle or direct, and no more.
    RoutesOfBack {
        routes: RouteList,
    },
    /// `--route` names it, and nothing leads there.
    RouteNeeds {
        route: &'static str,
        flag: &'static str,
    },
    UpstreamIsOurselves {
        own: SocketAddr,
    },
    /// On a back fronts say whether it is middle.
    RouteOfFront {
        route: &'static str,
    },
    /// A route of the list leads to what only `flag` tells.
    RouteWithoutFlag {
        route: RouteName,
        flag: &'static str,
    },
    /// What needs middle proxies, which no proxy in between leads to.
    MiddleVia {
        flag: &'static str,
    },
    /// The proxy in between is this one.
    ViaIsOurselves {
        own: SocketAddr,
    },
    /// A flag of split mode in a process that is both halves.
    LinkWithoutRole {
        flag: &'static str,
    },
    /// A flag for the other half.
    NotOfRole {
        flag: &'static str,
        role: &'static str,
        other: &'static str,
    },
    RoleNeeds {
        role: &'static str,
        flag: &'static str,
    },
    /// Neither certificates nor a key.
    LinkUnsecured,
    LinkTlsIncomplete {
        missing: &'static str,
    },
    /// A reload with another value of this flag.
    NotAtReload {
        flag: &'static str,
    },
    /// A reload that does not go with flags of the running process.
    BeforeRestart {
        flags: String,
        problem: Box<Problem>,
    },
    /// Other builds have this flag.
    NotInThisBuild {
        flag: &'static str,
        lacks: &'static str,
        instead: &'static str,
    },
    PlainOnPublic {
        address: SocketAddr,
    },
    LinkKeyUnreadable {
        path: PathBuf,
        error: io::Error,
    },
    LinkKeyShort {
        path: PathBuf,
    },
    /// Flags of the WEB proxy that do not go together.
    Web(WebProblem),
    /// The secret that an earlier run made.
    KeptSecretUnreadable {
        path: PathBuf,
        error: io::Error,
    },
    KeptSecretDamaged {
        path: PathBuf,
    },
    UsersUnreadable {
        path: PathBuf,
        error: io::Error,
    },
    UsersEmpty {
        path: PathBuf,
    },
    UsersDamaged {
        path: PathBuf,
        line: usize,
        cause: String,
    },
}

impl ConfigError {
    pub(super) fn new(problem: Problem) -> Self {
        Self {
            origin: None,
            problem,
        }
    }

    pub(super) fn at(origin: &Origin, problem: Problem) -> Self {
        Self {
            origin: Some(origin.clone()),
            problem,
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// The file that could not be read, if that is what is wrong.
    pub(crate) fn unread(&self) -> Option<(&Path, &io::Error)> {
        match &self.problem {
            Problem::Unreadable { path, error }
            | Problem::KeptSecretUnreadable { path, error }
            | Problem::UsersUnreadable { path, error }
            | Problem::LinkKeyUnreadable { path, error } => Some((path, error)),
            _ => None,
        }
    }

    /// A file may not be read by this user.
    pub(super) fn is_forbidden(&self) -> bool {
        let unread = self.unread();
        unread.is_some_and(|(_, error)| error.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Origin::File { path, line }) = &self.origin {
            write!(f, "{}:{line}: ", path.display())?;
        }
        self.problem.fmt(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFlag { flag, meant } => not_known(f, flag, "is not a flag", *meant),
            Self::UnknownCommand { word, meant } => not_known(f, word, "is not a command", *meant),
            Self::ExtraWord { word, meant } => not_known(f, word, "has no place there", *meant),
            Self::Usage { message } => f.write_str(message),
            Self::NoValue { flag, value } => write!(f, "{flag} needs a value: {flag} {value}"),
            Self::BadValue { flag, cause } => write!(f, "{flag}: {cause}"),
            Self::GivenTwice { flag, first } => {
                write!(f, "{flag} is given twice{}; keep one", First(first))
            }
            Self::BadQuotes { flag } => write!(
                f,
                "{flag}: the closing quote is missing or does not end the value; quote the whole value or nothing"
            ),
            Self::NotText => write!(f, "not UTF-8 text; is this the config file?"),
            Self::TwoInLine { flag, second } => write!(
                f,
                "{second} stands in the line of {flag}; give every flag a line of its own"
            ),
            Self::NestedConfig => write!(
                f,
                "--config has no place in a config file; there is one file, move its lines here"
            ),
            Self::Unreadable { path, error } => write!(
                f,
                "cannot read {}: {error}; {}",
                path.display(),
                way_out(error.kind(), "check the path after --config")
            ),
            Self::TooLarge { path } => write!(
                f,
                "{} is over 4 MiB; is this the config file?",
                path.display()
            ),
            Self::DuplicateListener { address, first } => write!(
                f,
                "--listen: {address} is there already{}; remove one of them",
                First(first)
            ),
            Self::OverlappingListener { address, other } => write!(
                f,
                "--listen: {address} and {other} share a port; take one of them or another port"
            ),
            Self::MetricsInTheWay { address, other } => write!(
                f,
                "--metrics: {address} and {other}, where clients or fronts come, share a port; give \
                 metrics another one"
            ),
            Self::DuplicateName { name } => write!(
                f,
                "--secret: two secrets are called {name}; give them different names"
            ),
            Self::NameOfSecret { name } => write!(
                f,
                "--listen: its own secret would be called {name}, as a --secret is; give the listener another name="
            ),
            Self::DuplicateSecret { name, other } => write!(
                f,
                "--secret: {name} and {other} are the same secret; remove one or make a new one with `smol-mtproxy secret`"
            ),
            Self::DuplicateTable { name } => write!(
                f,
                "--table: two tables are called {name}; give them different names"
            ),
            Self::NoSuchTable { name } => write!(
                f,
                "--policy: there is no table {name}; add --table {name}=FILE"
            ),
            Self::FormNotAllowed { name, form } => write!(
                f,
                "the secret {name} is for {form} clients, which --allow leaves out; add {form} to --allow or give the bare 32 hex digits"
            ),
            Self::NoTlsDomain => write!(
                f,
                "--allow tls with a bare secret needs a site to look like; add --tls-domain, or make the secret with `smol-mtproxy secret ee DOMAIN`"
            ),
            Self::NoSiteToFront => write!(
                f,
                "--fronting sni needs a --tls-domain to lead to; add one, or name the site: --fronting HOST:PORT"
            ),
            Self::TagWithoutMiddle { routes } => write!(
                f,
                "--tag has no effect with --route {routes}; leave one of them out"
            ),
            Self::RoutesOfBack { routes } => write!(
                f,
                "--route {routes} has no effect on a front, which has auto, middle or direct; give the list to the back"
            ),
            Self::RouteNeeds { route, flag } => write!(
                f,
                "--route: {route} needs {flag}; give it, or leave {route} out"
            ),
            Self::UpstreamIsOurselves { own } => write!(
                f,
                "--upstream: this proxy itself listens on {own}; name another one that leads to Telegram"
            ),
            Self::RouteOfFront { route } => write!(
                f,
                "--route {route} has no effect on a back, where it says how those whose front asks for direct reach Telegram; give it to the front, or a list here, as direct"
            ),
            Self::RouteWithoutFlag { route, flag } => write!(
                f,
                "--route with {route} in it needs {flag} (doc/cloudflare.md has the steps); add that, or leave {route} out"
            ),
            Self::MiddleVia { flag } => write!(
                f,
                "--via: {flag} needs middle proxies, which no proxy in between leads to (their keys are made of the address that Telegram sees); leave one of them out"
            ),
            Self::ViaIsOurselves { own } => write!(
                f,
                "--via: this proxy itself listens on {own}; name the port of the proxy that leads to Telegram"
            ),
            Self::LinkWithoutRole { flag } => write!(
                f,
                "{flag} is for a process that is one half of the proxy; add --role front or --role back, or leave it out"
            ),
            Self::NotOfRole { flag, role, other } => write!(
                f,
                "{flag} has no effect on a {role}; give it to the {other}, or leave it out"
            ),
            Self::RoleNeeds { role, flag } => write!(f, "--role {role} needs {flag}"),
            Self::LinkUnsecured if !cfg!(feature = "tls") => {
                f.write_str("the link needs --link-psk, and a tunnel: this small build has no TLS")
            }
            Self::LinkUnsecured => write!(
                f,
                "the link needs certificates (`smol-mtproxy certs init DIR` makes them, for --link-ca, --link-cert and --link-key) or, inside a tunnel, --link-psk"
            ),
            Self::LinkTlsIncomplete { missing } => write!(
                f,
                "TLS on the link needs --link-ca, --link-cert and --link-key; {missing} is missing"
            ),
            Self::NotAtReload { flag } => {
                write!(f, "{flag} is another one; restart for it, or set it back")
            }
            Self::BeforeRestart { flags, problem } => write!(
                f,
                "restart for {flags}: with the old values, by which this process goes on, {problem}"
            ),
            Self::NotInThisBuild {
                flag,
                lacks,
                instead,
            } => write!(f, "{flag}: {lacks}, or {instead}"),
            Self::PlainOnPublic { address } => write!(
                f,
                "a link without TLS at {address} could be read by everyone on its way; use {CERTIFICATES}, or the address of a tunnel, or, if you must, --link-plain-on-public yes"
            ),
            Self::LinkKeyUnreadable { path, error } => write!(
                f,
                "--link-psk: cannot read {}: {error}; {}",
                path.display(),
                way_out(
                    error.kind(),
                    "make one with `(umask 077; smol-mtproxy secret plain >FILE)`, and copy it to the other end"
                )
            ),
            Self::LinkKeyShort { path } => write!(
                f,
                "--link-psk: {} holds less than 32 characters, which could be guessed; make one with `(umask 077; smol-mtproxy secret plain >FILE)`, and copy it to the other end",
                path.display()
            ),
            Self::Web(problem) => problem.fmt(f),
            Self::KeptSecretUnreadable { path, error } => write!(
                f,
                "cannot read {}, where an earlier run may have kept a secret: {error}; {}",
                path.display(),
                match error.kind() {
                    io::ErrorKind::PermissionDenied =>
                        "be the user that runs the proxy, or `chown -R` the directory to it",
                    _ => "give a --secret or another --data-dir",
                }
            ),
            Self::KeptSecretDamaged { path } => write!(
                f,
                "{} is damaged: it does not hold 32 hex digits; write those of your link's secret \
                 (behind dd or ee) into it, or remove it to have a new secret, and a new link, made",
                path.display()
            ),
            Self::UsersUnreadable { path, error } => write!(
                f,
                "cannot read the users in {}: {error}; {}",
                path.display(),
                match error.kind() {
                    io::ErrorKind::PermissionDenied =>
                        "be the user that runs the proxy, or `chown -R` the directory to it",
                    _ => "put its copy, users.old, in its place, or remove it to do without them",
                }
            ),
            Self::UsersEmpty { path } => write!(
                f,
                "{} is empty, as after a power cut; put its copy, users.old, in its place, or \
                 remove it to do without users",
                path.display()
            ),
            Self::UsersDamaged { path, line, cause } => write!(
                f,
                "{}:{line}: {cause}; correct the line, or put the copy of the file, users.old, in \
                 its place",
                path.display()
            ),
        }
    }
}

fn not_known(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    problem: &str,
    meant: Option<&str>,
) -> fmt::Result {
    match meant {
        Some(meant) => write!(f, "{} {problem}; did you mean {meant}?", repeated(word)),
        None => write!(f, "{} {problem}; see smol-mtproxy --help", repeated(word)),
    }
}

/// What secures a link on the open internet.
pub(crate) const CERTIFICATES: &str = if cfg!(feature = "tls") {
    "certificates (`smol-mtproxy certs init DIR`)"
} else {
    "the full build with certificates"
};

fn way_out(kind: io::ErrorKind, otherwise: &'static str) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "run as a user who may read it, or change its mode",
        io::ErrorKind::IsADirectory => "name a file, not a directory",
        _ => otherwise,
    }
}

struct First<'a>(&'a Option<Origin>);

impl fmt::Display for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Origin::File { line, .. }) => write!(f, " (first in line {line})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misplaced_secrets_are_not_repeated() {
        for secret in [
            "00112233445566778899aabbccddeeff",
            "dd00112233445566778899aabbccddeeff",
            "ABEiM0RVZneImaq7zN3u_w",
            "ee00112233445566778899aabbccddeeff6578616d706c652e636f6d",
        ] {
            let (flag, meant) = (format!("--{secret}"), None);
            let word = secret.to_owned();
            let said = [
                Problem::UnknownFlag { flag, meant }.to_string(),
                Problem::UnknownCommand { word, meant }.to_string(),
                repeated(secret).to_owned(),
            ];
            for text in said {
                assert!(!text.contains(&secret[2..]), "{text}");
            }
        }
    }
}
