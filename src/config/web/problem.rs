use std::fmt;
use std::net::SocketAddr;

use crate::wire::web::{BasePath, HostName};

/// What contradicts itself in the flags of the WEB proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WebProblem {
    SameHost {
        name: HostName,
        path: Option<BasePath>,
    },
    /// Paths of one name with other files.
    TwoCertificates {
        name: HostName,
    },
    NoSuchSecret {
        name: String,
    },
    /// `--web-listen` or `--web-site`, and nothing that uses it.
    WithoutHost {
        flag: &'static str,
    },
    /// Neither a certificate nor a web server in front.
    NoWayIn {
        name: HostName,
    },
    /// Hosts of other certificates, and a site for none of them.
    SiteOfNoHost {
        name: HostName,
    },
    SameSite {
        name: Option<HostName>,
    },
    NoSite {
        name: HostName,
    },
    /// The small build cannot ask the site of `--fronting`.
    FrontingNeedsTls {
        name: HostName,
    },
    /// Requests for the cover site would come back to us.
    SiteIsOurselves {
        own: SocketAddr,
    },
    /// It is what this proxy shows itself, by its public name.
    SiteIsHost {
        name: HostName,
    },
    /// `--web-acme`, and all hosts have certificates.
    NothingToGet,
    ListenInTheWay {
        address: SocketAddr,
        other: SocketAddr,
    },
}

impl fmt::Display for WebProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameHost { name, path } => {
                let (slash, path) = match path {
                    Some(path) => ("/", path.as_str()),
                    None => ("", ""),
                };
                write!(
                    f,
                    "--web: {name}{slash}{path} is there already; keep one, with the secrets of both"
                )
            }
            Self::TwoCertificates { name } => write!(
                f,
                "--web: two paths of {name} have different cert= and key=; a name has one \
                 certificate, give it once"
            ),
            Self::NoSuchSecret { name } => write!(
                f,
                "--web: no --secret is called {name}; name one that is there, or leave secret= out \
                 for all"
            ),
            Self::WithoutHost { flag } => write!(
                f,
                "{flag} has no effect without a WEB host; add --web HOST, or leave it out"
            ),
            Self::NothingToGet => f.write_str(
                "--web-acme: every host of --web has cert= and key= of its own; leave these out \
                 where ACME is to get the certificate, or leave --web-acme out",
            ),
            Self::NoWayIn { name } if cfg!(feature = "acme") => write!(
                f,
                "--web: {name} needs a certificate: from an authority with --web-acme EMAIL, from \
                 files with cert= and key=, or of a web server in front of --web-listen; give one \
                 of them"
            ),
            Self::NoWayIn { name } if cfg!(feature = "tls") => write!(
                f,
                "--web: {name} needs cert= and key=, or a web server in front of --web-listen that \
                 has the certificate; give one of them"
            ),
            Self::NoWayIn { name } => write!(
                f,
                "--web: {name} needs a web server in front that has its certificate; give the \
                 address for that one, as --web-listen 127.0.0.1:8080"
            ),
            Self::SiteOfNoHost { name } => write!(
                f,
                "--web-site: {name} is not in --web; add it there, or leave it out here"
            ),
            Self::SameSite { name: Some(name) } => {
                write!(f, "--web-site: {name} has two sites; keep one")
            }
            Self::SameSite { name: None } => write!(
                f,
                "--web-site: there are two sites for all hosts; keep one, or put HOST= before them"
            ),
            Self::NoSite { name } => write!(
                f,
                "--web: everybody without a secret needs a site to see at {name}; add --web-site \
                 with a URL or a directory of yours"
            ),
            Self::FrontingNeedsTls { name } => write!(
                f,
                "--web: this small build has no TLS to show the --fronting site at {name}; add \
                 --web-site with an http:// URL or a directory of yours"
            ),
            Self::SiteIsOurselves { own } => write!(
                f,
                "--web-site: this proxy itself listens on {own}; name the port of the web server"
            ),
            Self::SiteIsHost { name } => write!(
                f,
                "--web-site: https://{name} is what this proxy shows; name the web server behind \
                 it by the port that it has there, as http://127.0.0.1:8081, or give a directory"
            ),
            Self::ListenInTheWay { address, other } => write!(
                f,
                "--web-listen: {address} and {other}, where this proxy listens already, share a \
                 port; take another one"
            ),
        }
    }
}
