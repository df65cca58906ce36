use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use super::channel::Channel;
use super::fault::Fault;
#[cfg(feature = "tls")]
use super::tls::TlsSetup;
use crate::config::{LinkConfig, LinkKey, is_public};
use crate::net::{BufferPool, Socket};
use crate::wire::link::Role;

/// How the two sides of new links know each other: by certificates, by a key,
/// or by both.
pub struct Security {
    pub(super) key: Option<LinkKey>,
    /// Others could read it, and nobody has allowed that.
    never_on_public: bool,
    #[cfg(feature = "tls")]
    tls: Option<TlsSetup>,
}

/// Why the files that secure links cannot be used.
#[derive(Debug)]
pub enum SetupError {
    Unreadable(PathBuf, io::Error),
    Unusable(PathBuf, String),
}

impl Security {
    /// Reads the files that `config` names.
    pub fn load(config: &LinkConfig, role: Role) -> Result<Self, SetupError> {
        #[cfg(feature = "tls")]
        let tls = match (&config.tls, role) {
            (None, _) => None,
            (Some(files), Role::Front) => Some(TlsSetup::front(files)?),
            (Some(files), Role::Back) => Some(TlsSetup::back(files)?),
        };
        #[cfg(not(feature = "tls"))]
        let _ = role;
        Ok(Self {
            key: config.key.clone(),
            never_on_public: config.tls.is_none() && !config.plain_on_public,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// Whether a link may go there.
    pub(super) fn allows(&self, address: SocketAddr) -> bool {
        !self.never_on_public || !is_public(address.ip())
    }

    pub(super) fn channel(
        &self,
        socket: &Socket,
        buffers: &Rc<BufferPool>,
    ) -> Result<Channel, Fault> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.channel(socket, buffers);
        }
        let _ = (socket, buffers);
        Ok(Channel::Plain)
    }
}

impl SetupError {
    #[cfg(feature = "tls")]
    pub(super) fn bad(path: &std::path::Path, cause: impl fmt::Display) -> Self {
        Self::Unusable(path.into(), cause.to_string())
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(
                f,
                "cannot read {}: {error}; `smol-mtproxy certs` makes such files, and the user that \
                 runs the proxy must be able to read them",
                path.display()
            ),
            Self::Unusable(path, cause) => write!(
                f,
                "{}: {cause}; is it the right file of `smol-mtproxy certs`?",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SetupError {}
