//! The files of a host's certificate, which others write.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::server::ProducesTickets;

use crate::config::CertificateFiles;
use crate::tls::{CertificateError, Concern, HostCertificate, answer_time, profile, public_roots};
use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;

/// By what a file is known to be the one that was read: another one has another number,
/// one that was written over another time or length. `None`: there is none.
type Stamp = Option<(u64, u64, Option<SystemTime>, u64)>;

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.modified().ok(), found.len()))
}

/// The two files of a certificate, as they were when somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps([Stamp; 2]);

impl Stamps {
    fn of(files: &CertificateFiles) -> Self {
        Self([&files.chain, &files.key].map(|path| stamp(path)))
    }
}

/// What is to be looked at, on a thread that may block.
pub(super) struct Task {
    pub(crate) host: Domain,
    pub(crate) files: CertificateFiles,
    /// How they were; `None`: they are to be read whatever they are.
    pub(crate) seen: Option<Stamps>,
    /// What is shown now, if anything.
    pub(crate) shown: Option<Arc<HostCertificate>>,
    /// What is shown is to be judged again, though it is the same.
    pub(crate) is_due: bool,
    /// In seconds since 1970.
    pub(crate) now: i64,
    pub(crate) tickets: Arc<dyn ProducesTickets>,
}

/// What somebody saw who looked.
pub(super) struct Found {
    pub(crate) stamps: Stamps,
    /// `None`: the files are as they were.
    pub(crate) read: Option<Result<Arc<HostCertificate>, CertificateError>>,
    /// About what is shown from here on, if that was judged.
    pub(crate) concerns: Option<Vec<Concern>>,
    /// How ee clients are answered as with what was read, if they can be.
    pub(crate) profile: Option<FlightProfile>,
    /// How long an answer with it takes.
    pub(crate) time: Option<Duration>,
}

impl Task {
    /// Blocks.
    pub(crate) fn look(self) -> Found {
        // Before they are read: what is written meanwhile is seen the next time.
        let stamps = Stamps::of(&self.files);
        let is_same = self.seen.as_ref() == Some(&stamps);
        let CertificateFiles { chain, key, .. } = &self.files;
        let read = (!is_same).then(|| HostCertificate::read(chain, key).map(Arc::new));
        let new = read.as_ref().and_then(|read| read.as_ref().ok());
        let judged = new.or(self.shown.as_ref().filter(|_| self.is_due));
        let concerns = |shown: &Arc<HostCertificate>| {
            shown.concerns(self.host.as_str(), &public_roots(), self.now)
        };
        let timed = |shown: &Arc<HostCertificate>| {
            answer_time(shown.certified(), &self.tickets, &self.host)
        };
        let profiled =
            |shown: &Arc<HostCertificate>| profile(shown.certified(), &self.tickets, &self.host);
        Found {
            stamps,
            profile: new.and_then(profiled),
            time: new.or(self.shown.as_ref()).and_then(timed),
            concerns: judged.map(concerns),
            read,
        }
    }
}
