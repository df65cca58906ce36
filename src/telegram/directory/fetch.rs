use std::fmt;
use std::io;
use std::path::Path;

use crate::config::{self, Source, Via};

/// The longest list that is read; today's are a few KiB.
const MAX_BODY: usize = 256 * 1024;

/// Why a list could not be had.
#[derive(Debug)]
pub(crate) enum FetchError {
    File(io::Error),
    TooLong,
    #[cfg(feature = "tls")]
    Http(crate::http::GetError),
    /// This build cannot fetch.
    #[cfg(not(feature = "tls"))]
    NoHttp,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "cannot be read: {error}"),
            Self::TooLong => write!(f, "is over {MAX_BODY} bytes: not Telegram's list"),
            #[cfg(feature = "tls")]
            Self::Http(error) => write!(f, "cannot be fetched: {error}"),
            #[cfg(not(feature = "tls"))]
            Self::NoHttp => write!(f, "cannot be fetched by the lite build: use a file"),
        }
    }
}

/// A list, and the server's time, if there was a server: seconds since 1970.
pub(crate) struct Fetched {
    pub(crate) body: Vec<u8>,
    pub(crate) date: Option<u64>,
}

/// Reads a whole list, by way of `via` if it is to be fetched and there is one; blocks.
pub(crate) fn fetch(source: &Source, via: Option<&Via>) -> Result<Fetched, FetchError> {
    match source {
        Source::File(path) => Ok(Fetched {
            body: read_file(path)?,
            date: None,
        }),
        Source::Url(url) => get(via, url),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    config::read_file(path, MAX_BODY as u64).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => FetchError::TooLong,
        _ => FetchError::File(error),
    })
}

#[cfg(feature = "tls")]
pub(crate) fn get(via: Option<&Via>, url: &str) -> Result<Fetched, FetchError> {
    use crate::http;

    match http::get(via, url, MAX_BODY) {
        Ok(page) => Ok(Fetched {
            body: page.body,
            date: page.date,
        }),
        Err(http::GetError::TooLong) => Err(FetchError::TooLong),
        Err(error) => Err(FetchError::Http(error)),
    }
}

#[cfg(not(feature = "tls"))]
pub(crate) fn get(_: Option<&Via>, _: &str) -> Result<Fetched, FetchError> {
    Err(FetchError::NoHttp)
}
