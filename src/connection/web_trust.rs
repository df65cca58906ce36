//! Which web servers are taken for what they say they are.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, Error, RootCertStore};

use super::web_tickets::WebTickets;
use crate::tls::{Judge, Named, Peer, Shown, Trust, in_short, web_client};

/// One of these is in the certificate that Telegram's front shows whatever name it is
/// asked for.
const TELEGRAMS: [&str; 2] = ["telegram.org", "kws2.web.telegram.org"];

/// Whom to trust.
pub(crate) struct WebTrust {
    /// For who has a certificate of the name asked for.
    named: Arc<ClientConfig>,
    /// For who has one of Telegram's.
    fronted: Arc<ClientConfig>,
    pub(super) judge: Rc<WebJudge>,
}

impl WebTrust {
    /// Servers that one of `roots` vouches for.
    pub(crate) fn new(roots: Arc<RootCertStore>) -> Result<Self, Error> {
        let named = Named::new(roots)?;
        let tickets = || Resumption::store(Arc::new(WebTickets::default()));
        Ok(Self {
            named: web_client(named.clone(), tickets())?,
            fronted: web_client(Fronted(named), tickets())?,
            judge: Rc::default(),
        })
    }

    pub(super) fn config(&self, is_fronted: bool) -> &Arc<ClientConfig> {
        match is_fronted {
            true => &self.fronted,
            false => &self.named,
        }
    }
}

/// Remembers what an error was about.
#[derive(Default)]
pub(crate) struct WebJudge {
    is_certificate: Cell<bool>,
}

impl WebJudge {
    /// Whether the error that was explained last is one of the certificate.
    pub(super) fn saw_bad_certificate(&self) -> bool {
        self.is_certificate.get()
    }
}

impl Judge for WebJudge {
    fn denies(&self, _: &Peer) -> Option<String> {
        None
    }

    fn explain(&self, error: &Error) -> String {
        let is_certificate = matches!(error, Error::InvalidCertificate(_));
        self.is_certificate.set(is_certificate);
        in_short(error)
    }
}

/// Trusts who has a certificate of Telegram's, whatever name was asked for.
#[derive(Debug)]
struct Fronted(Named);

impl Trust for Fronted {
    fn judge(&self, shown: &Shown<'_>, _: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let mut judged = Err(Error::General("no name".to_owned()));
        for name in TELEGRAMS {
            let name = ServerName::try_from(name).map_err(|_| Error::General(name.to_owned()))?;
            judged = self.0.judge(shown, &name, now);
            if judged.is_ok() {
                break;
            }
        }
        judged
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn who_explains_an_error_remembers_whether_it_was_the_certificate() {
        let judge = WebJudge::default();
        judge.explain(&Error::InvalidCertificate(CertificateError::Expired));
        assert!(judge.saw_bad_certificate());
        judge.explain(&Error::HandshakeNotComplete);
        assert!(!judge.saw_bad_certificate());
    }
}
