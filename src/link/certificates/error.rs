use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why no certificate was made.
#[derive(Debug)]
pub(crate) enum CertsError {
    /// A front cannot be called that; a name has at most so many letters.
    BadName(String, usize),
    /// A certificate cannot be good for longer than so many days.
    BadDays(u32),
    Exists(PathBuf),
    NoCa(PathBuf),
    Read(PathBuf, io::Error),
    Write(PathBuf, io::Error),
    Damaged(PathBuf, String),
    /// A certificate that is to be there, and whose.
    NoNode(PathBuf, String),
    NoKey(PathBuf),
    RenewCa,
    IsRefused(String),
    /// The list of refused certificates.
    List(String),
    Crypto(String),
}

impl From<rcgen::Error> for CertsError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl fmt::Display for CertsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(name, most) => write!(
                f,
                "`{name}` cannot be a front's name: take 1 to {most} of a-z, 0-9 and -, \
                 other than ca and back"
            ),
            Self::BadDays(most) => {
                write!(f, "--days goes up to {most}, as long as the CA is good for")
            }
            Self::Exists(path) => write!(
                f,
                "{} is there already and stays as it is; take another directory or name, or move \
                 it away first",
                path.display()
            ),
            Self::NoCa(path) => write!(
                f,
                "there is no CA in {}; make one with `smol-mtproxy certs init {}`",
                path.display(),
                path.display()
            ),
            Self::Read(path, error) => write!(
                f,
                "cannot read {}: {error}; {}",
                path.display(),
                match error.kind() {
                    io::ErrorKind::NotFound => "name the directory of `smol-mtproxy certs init`",
                    _ => "run this as the user that made it",
                }
            ),
            Self::Write(path, error) => write!(
                f,
                "cannot write {}: {error}; take a directory that you may write to",
                path.display()
            ),
            Self::Damaged(path, cause) => write!(
                f,
                "{}: {cause}; restore it, or start over with `certs init` in an empty directory",
                path.display()
            ),
            Self::NoNode(path, name) => write!(
                f,
                "{} is not there; `certs show` lists what is, and `certs add-node` makes a first \
                 certificate for {name}",
                path.display()
            ),
            Self::NoKey(path) => write!(
                f,
                "{} is not there: put it back for as long as this takes, or give --new-key and \
                 copy the new one, too",
                path.display()
            ),
            Self::RenewCa => f.write_str(
                "a CA is not renewed: make another one with `certs init` in an empty directory, \
                 put both into the ca.pem of all ends and reload them, then give them certificates \
                 of the new one",
            ),
            Self::IsRefused(name) => write!(
                f,
                "{name} is revoked: give --new-key, so that who has its old key stays out"
            ),
            Self::List(cause) => f.write_str(cause),
            Self::Crypto(cause) => write!(f, "no certificate could be made: {cause}"),
        }
    }
}

impl std::error::Error for CertsError {}
