use std::fmt;
use std::io;

/// Why there is no connection to it.
#[derive(Debug)]
pub(super) enum SiteFailure {
    /// Its name leads nowhere.
    Unresolved(String),
    Connect(io::Error),
    /// It is this proxy, which would ask itself for ever.
    Ours,
    /// No answer in time.
    Silent,
    Tls(String),
}

impl SiteFailure {
    /// What a web server says in such a case.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Silent => 504,
            Self::Unresolved(_) | Self::Connect(_) | Self::Ours | Self::Tls(_) => 502,
        }
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Unresolved(_) => "see that its name is right, and that DNS works here",
            Self::Connect(_) | Self::Silent => "start it, or name another with --web-site",
            Self::Ours => "name another with --web-site",
            Self::Tls(_) => {
                "over https:// its certificate has to be one that browsers take for that name; a \
                 web server on this machine may be asked by http://"
            }
        }
    }
}

impl fmt::Display for SiteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(why) => write!(f, "its name leads nowhere ({why})"),
            Self::Connect(error) => write!(f, "{error}"),
            Self::Ours => write!(f, "its address leads back to this proxy"),
            Self::Silent => write!(f, "no answer"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
        }
    }
}
