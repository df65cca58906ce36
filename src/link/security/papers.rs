use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{AlertDescription, CertificateError, Error};

use super::identity::Identity;
use crate::config::LinkTls;
use crate::tls::x509::{self, day, days_left};
use crate::wire::link::LinkSide;

/// A certificate that ends within so many days is worth a word.
const SOON: i64 = 30;

const NO_ALPN: &str = "the two sides have no protocol of --link-alpn in common";

/// What is wrong with this side's certificates, or soon will be, and the way out.
pub(crate) enum Concern {
    /// No link comes about.
    Fatal(String),
    Soon(String),
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fatal(text) | Self::Soon(text) => f.write_str(text),
        }
    }
}

/// When this side's certificates are good, and whether they fit together.
pub(crate) struct Papers {
    side: LinkSide,
    own: Paper,
    authorities: Vec<Paper>,
    /// Why the other side will not take our own, whatever the time.
    misfit: Option<String>,
}

struct Paper {
    path: PathBuf,
    name: Option<String>,
    from: i64,
    until: i64,
}

impl Papers {
    /// `verify` is what the other side does with our certificate.
    pub(crate) fn new(
        files: &LinkTls,
        side: LinkSide,
        identity: &Identity,
        verify: impl FnOnce(&CertificateDer<'_>, &[CertificateDer<'_>], UnixTime) -> Result<(), Error>,
    ) -> Self {
        let (own, others) = match identity.chain.split_first() {
            Some((own, others)) => (Some(own), others),
            None => (None, Default::default()),
        };
        let paper = Paper::new(&files.cert, own);
        // At a time when it is good, so that dates do not hide what else is wrong.
        let at = x509::now().clamp(paper.from, paper.until.max(paper.from));
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at.max(0) as u64));
        let verified = own.map_or(Ok(()), |own| verify(own, others, at));
        let authorities = identity.authorities.iter();
        Self {
            side,
            misfit: verified.err().map(|error| misfit(files, side, &error)),
            own: paper,
            authorities: authorities
                .map(|one| Paper::new(&files.ca, Some(one)))
                .collect(),
        }
    }

    /// For how many days at the time `now` this side's certificate is good.
    #[cfg(feature = "check")]
    pub(crate) fn days_left(&self, now: i64) -> i64 {
        days_left(self.own.until, now)
    }

    /// What keeps links from coming about at the time `now`, or soon will.
    pub(crate) fn concerns(&self, now: i64) -> Vec<Concern> {
        let own = &self.own;
        let file = own.path.display();
        let mut found = Vec::new();
        if let Some(misfit) = &self.misfit {
            found.push(Concern::Fatal(misfit.clone()));
        }
        let (days, until) = (days_left(own.until, now), day(own.until));
        if now < own.from {
            found.push(Concern::Fatal(self.early(now)));
        } else if own.until < now {
            let renew = self.renew();
            let today = day(now);
            found.push(Concern::Fatal(format!(
                "{file} has expired on {until}, and the clock here shows {today}: {renew}"
            )));
        } else if days < SOON {
            let renew = self.renew();
            found.push(Concern::Soon(format!(
                "{file} expires on {until}, in {days} days: {renew}"
            )));
        }
        for authority in &self.authorities {
            if days_left(authority.until, now) < SOON {
                let (file, until) = (authority.path.display(), day(authority.until));
                found.push(Concern::Soon(format!(
                    "the CA in {file} ends on {until}; links go on, but make another one in time: \
                     `smol-mtproxy certs init` in an empty directory, put both CAs into the ca.pem \
                     of all ends and reload (kill -HUP), then give them the new certificates"
                )));
            }
        }
        found
    }

    /// Why a link did not come about, and what to do about it.
    pub(crate) fn explain(&self, error: &Error) -> String {
        self.explain_at(error, x509::now())
    }

    pub(crate) fn explain_at(&self, error: &Error, now: i64) -> String {
        let way_out = match error {
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => "the other side's certificate is of another CA: both need the same ca.pem",
            Error::InvalidCertificate(error) => match (self.untimely(error, now), self.side) {
                (Some(text), _) => return text,
                (None, LinkSide::Front) => {
                    "that is no back's certificate: the back needs back.pem of `certs init`"
                }
                (None, LinkSide::Back) => {
                    "that is no front's certificate: each front needs one of `certs add-node`"
                }
            },
            // The alert is the same for a certificate that is not good yet.
            Error::AlertReceived(AlertDescription::CertificateExpired) => {
                return self.refused_for_the_time(now);
            }
            Error::AlertReceived(alert) => self.refused(*alert),
            Error::NoCertificatesPresented => {
                "the other side shows no certificate: is it a stranger?"
            }
            Error::InvalidMessage(_) => "is the other side a link with TLS?",
            Error::NoApplicationProtocol => NO_ALPN,
            _ => return error.to_string(),
        };
        format!("{error}; {way_out}")
    }

    /// The other side's certificate is not good at this time.
    fn untimely(&self, error: &CertificateError, now: i64) -> Option<String> {
        let today = day(now);
        match error {
            CertificateError::ExpiredContext { not_after, .. } => Some(format!(
                "the other side's certificate has expired on {}, and the clock here shows {today}: \
                 renew it (`smol-mtproxy certs renew DIR NAME`), or set this clock (NTP) if it is \
                 wrong",
                day(not_after.as_secs() as i64)
            )),
            CertificateError::NotValidYetContext { .. } if now < self.own.from => {
                Some(self.early(now))
            }
            CertificateError::NotValidYetContext { not_before, .. } => Some(format!(
                "the other side's certificate is good from {} on, and the clock here shows \
                 {today}: one of the clocks is wrong, this one or that of the machine that made \
                 it; set it (NTP)",
                day(not_before.as_secs() as i64)
            )),
            _ => None,
        }
    }

    /// The other side has ended the handshake.
    fn refused(&self, alert: AlertDescription) -> &'static str {
        match (alert, self.side) {
            (AlertDescription::UnknownCA | AlertDescription::DecryptError, _) => {
                "this side's certificate is of another CA: both need the same ca.pem"
            }
            (AlertDescription::CertificateRevoked, _) => {
                "the back refuses the certificate of this front (--link-refuse): if that is a \
                 mistake, take it out there; else make another one there, `smol-mtproxy certs \
                 renew DIR NAME --new-key`"
            }
            (
                AlertDescription::UnsupportedCertificate | AlertDescription::BadCertificate,
                LinkSide::Front,
            ) => {
                "the back does not take this certificate for a front's: is it one of \
                 `certs add-node`?"
            }
            (
                AlertDescription::UnsupportedCertificate | AlertDescription::BadCertificate,
                LinkSide::Back,
            ) => {
                "the front does not take this certificate for a back's: it has to be back.pem of \
                 `certs init`"
            }
            (AlertDescription::NoApplicationProtocol, _) => NO_ALPN,
            (_, LinkSide::Front) => {
                "is that a port of the back's --link-listen? Then its log says why"
            }
            (_, LinkSide::Back) => "is that a front? Then its log says why",
        }
    }

    fn refused_for_the_time(&self, now: i64) -> String {
        let own = &self.own;
        if now < own.from {
            return self.early(now);
        }
        let until = day(own.until);
        if own.until < now {
            let renew = self.renew();
            let today = day(now);
            return format!(
                "this side's certificate has expired on {until}, and the clock here shows {today}: \
                 {renew}"
            );
        }
        format!(
            "the other side takes this side's certificate for expired or not good yet; by the clock \
             here, {}, it is good until {until}: the other machine's clock is wrong, set it there \
             (NTP); or this one is",
            day(now)
        )
    }

    /// By this machine's clock our own certificate has not been made yet.
    fn early(&self, now: i64) -> String {
        format!(
            "this machine's clock shows {}, and its own certificate {} was made after that, good \
             from {} on: set the clock (NTP); until then no certificate passes for a good one",
            day(now),
            self.own.path.display(),
            day(self.own.from)
        )
    }

    /// How our own certificate becomes a new one.
    fn renew(&self) -> String {
        let name = self.own.name.as_deref().unwrap_or("NAME");
        let command = format!("`smol-mtproxy certs renew DIR {name}`");
        match self.side {
            LinkSide::Back => format!("{command}, then reload (kill -HUP)"),
            LinkSide::Front => {
                format!("{command} where ca.key is, copy {name}.pem here, then reload (kill -HUP)")
            }
        }
    }
}

impl Paper {
    /// A certificate that cannot be read counts as good for ever: something else is said
    /// of it.
    fn new(path: &Path, certificate: Option<&CertificateDer<'_>>) -> Self {
        let described = certificate.and_then(|der| x509::read(der).ok());
        let dates = described.as_ref().map(|one| (one.from, one.until));
        let (from, until) = dates.unwrap_or((0, i64::MAX));
        Self {
            path: path.to_owned(),
            name: described.and_then(|one| one.name),
            from,
            until,
        }
    }
}

fn misfit(files: &LinkTls, side: LinkSide, error: &Error) -> String {
    let (cert, ca) = (files.cert.display(), files.ca.display());
    match error {
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => format!(
            "{cert} is not of the CA in {ca}, so the other side refuses it: take both from one \
             directory of `certs`"
        ),
        _ => match side {
            LinkSide::Front => format!(
                "{cert} is no front's certificate, so the back refuses it: take one of `certs \
                 add-node` ({error})"
            ),
            LinkSide::Back => format!(
                "{cert} is no back's certificate, so fronts refuse it: take back.pem of `certs \
                 init` ({error})"
            ),
        },
    }
}
