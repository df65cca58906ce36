//! What the hosts show, as their files have it now.
//!
//! certbot and its like put new files in the place of old ones and tell nobody: each
//! minute somebody looks. A file that is bad changes nothing but the log.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::server::ProducesTickets;

use super::files::{Stamps, Task};
use crate::client::OwnFace;
use crate::config::{CertificateFiles, WebConfig};
use crate::net::{Live, Notify, Reactor, unblock};
use crate::tls::x509::{self, day};
use crate::tls::{self, ByName, CertificateError, Concern, HostCertificate};
use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// An answer that takes longer is made on another thread.
const LONG: Duration = Duration::from_millis(2);

/// An answer that takes longer is worth another key.
const SLOW: Duration = Duration::from_millis(50);

/// A certificate that stays comes nearer to its end.
const JUDGE_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Who learns how long an answer of a host took.
pub(crate) type Answered = Box<dyn Fn(&Domain, Duration)>;

/// The parts that [`Certificates`] are made of.
pub(crate) struct CertificatesParts {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) config: Live<WebConfig>,
    /// Learns how these hosts answer, whenever that is another way.
    pub(crate) show: Box<dyn Fn(OwnFace)>,
    /// Learns now and then how long an answer of one of them takes.
    pub(crate) answered: Answered,
}

/// See the module.
pub(crate) struct Certificates {
    reactor: Rc<Reactor>,
    config: Live<WebConfig>,
    show: Box<dyn Fn(OwnFace)>,
    answered: Answered,
    tickets: Arc<dyn ProducesTickets>,
    /// What `hosts` are of.
    taken: RefCell<Rc<WebConfig>>,
    hosts: RefCell<Vec<Host>>,
    /// What the handshakes show.
    shown: RefCell<Vec<(Domain, Arc<HostCertificate>)>>,
    /// `None` while no host has a certificate.
    server: RefCell<Option<Arc<ServerConfig>>>,
    /// When they were judged last, all of them.
    judged: Cell<Instant>,
    /// Everything is to be read, whatever the files are.
    is_wanted: Cell<bool>,
    wanted: Notify,
}

/// Why there is no TLS for WEB hosts.
#[derive(Debug)]
pub(crate) enum CertificatesError {
    /// Of which host.
    Bad(Domain, CertificateError),
    /// There are no random bytes.
    Tickets(rustls::Error),
}

impl fmt::Display for CertificatesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(host, error) => write!(f, "--web: the certificate of {host}: {error}"),
            Self::Tickets(error) => write!(f, "--web: no keys for TLS tickets: {error}"),
        }
    }
}

impl std::error::Error for CertificatesError {}

impl CertificatesError {
    /// A file could not be read.
    pub(crate) fn unread(&self) -> Option<&io::Error> {
        match self {
            Self::Bad(_, CertificateError::Read(_, error)) => Some(error),
            _ => None,
        }
    }
}

/// One name, in the order of the config.
struct Host {
    name: Domain,
    files: CertificateFiles,
    /// `None`: they have not been looked at.
    seen: Option<Stamps>,
    shown: Option<Arc<HostCertificate>>,
    /// How ee clients are answered as with that.
    profile: Option<FlightProfile>,
    /// What the log said of it last.
    said: Vec<Concern>,
    /// How long an answer took at the last look.
    time: Option<Duration>,
    /// That this is long was said.
    is_slow: bool,
}

impl Host {
    /// The names of a config that have files, once each.
    fn all(config: &WebConfig) -> Vec<Self> {
        let mut hosts: Vec<Self> = Vec::new();
        for host in &config.hosts {
            let (Some(files), Ok(name)) = (&host.files, host.name.as_str().parse()) else {
                continue;
            };
            if hosts.iter().all(|known| known.name != name) {
                hosts.push(Self {
                    name,
                    files: files.clone(),
                    seen: None,
                    shown: None,
                    profile: None,
                    said: Vec::new(),
                    time: None,
                    is_slow: false,
                });
            }
        }
        hosts
    }

    /// It is ours to get, and was not got.
    fn is_yet_to_come(&self, error: &CertificateError) -> bool {
        let CertificateError::Read(_, error) = error else {
            return false;
        };
        self.files.is_own && error.kind() == io::ErrorKind::NotFound
    }

    fn task(
        &self,
        is_wanted: bool,
        is_due: bool,
        now: i64,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Task {
        Task {
            tickets: tickets.clone(),
            host: self.name.clone(),
            files: self.files.clone(),
            seen: self.seen.clone().filter(|_| !is_wanted),
            shown: self.shown.clone(),
            is_due,
            now,
        }
    }
}

impl Certificates {
    /// Reads all of them; why not, if one cannot be shown. Blocks.
    pub(crate) fn new(parts: CertificatesParts) -> Result<Rc<Self>, CertificatesError> {
        let tickets = tls::tickets().map_err(CertificatesError::Tickets)?;
        let taken = parts.config.get();
        let now = parts.reactor.clock().unix() as i64;
        let (hosts, warnings) = read(&taken, now, &tickets)?;
        for warning in warnings {
            warn!("{warning}");
        }
        for host in &hosts {
            if let Some(shown) = &host.shown {
                tell_of(&host.name, &day(shown.until()));
            }
        }
        let judged = Cell::new(parts.reactor.now());
        let certificates = Rc::new(Self {
            reactor: parts.reactor,
            config: parts.config,
            show: parts.show,
            answered: parts.answered,
            tickets,
            taken: RefCell::new(taken),
            hosts: RefCell::new(hosts),
            shown: RefCell::default(),
            server: RefCell::default(),
            judged,
            is_wanted: Cell::new(false),
            wanted: Notify::default(),
        });
        certificates.show();
        certificates.tell_times();
        Ok(certificates)
    }

    /// What handshakes are made with from here on.
    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.borrow().clone()
    }

    /// One of the hosts with a certificate has this name.
    pub(crate) fn has(&self, name: &Domain) -> bool {
        let shown = self.shown.borrow();
        shown.iter().any(|(host, _)| host == name)
    }

    /// An answer to who asks for `name`, or for none, takes so long that nobody else is to
    /// wait meanwhile.
    pub(crate) fn is_long(&self, name: Option<&Domain>) -> bool {
        let hosts = self.hosts.borrow();
        let mut shown = hosts.iter().filter(|host| host.shown.is_some());
        let first = shown.clone().next();
        let named = shown.find(|host| Some(&host.name) == name);
        let time = named.or(first).and_then(|host| host.time);
        time.is_some_and(|time| time >= LONG)
    }

    /// For how many days the certificate of each host is good.
    pub(crate) fn days_left(&self) -> Vec<(String, i64)> {
        let now = self.reactor.clock().unix() as i64;
        let hosts = self.hosts.borrow();
        let days = hosts.iter().filter_map(|host| {
            let left = host.shown.as_ref()?.until() - now;
            Some((host.name.as_str().to_owned(), left.div_euclid(24 * 3600)))
        });
        days.collect()
    }

    /// There will be one, which we get ourselves.
    pub(crate) fn awaits_first(&self) -> bool {
        let hosts = self.hosts.borrow();
        hosts.iter().any(|host| host.files.is_own)
    }

    /// The files are to be read again, though they may look as they were.
    pub(crate) fn reread(&self) {
        self.is_wanted.set(true);
        self.wanted.notify();
    }

    /// Looks at the files for ever.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            let taken = self.taken.borrow().clone();
            let changes = async { drop(self.config.after(&taken).await) };
            let wanted = self.wanted.until(|| self.is_wanted.get());
            let sooner = smol::future::or(changes, wanted);
            let has_none = self.hosts.borrow().is_empty();
            match has_none {
                true => sooner.await,
                false => drop(self.reactor.timeout(LOOK_EVERY, sooner).await),
            }
            if self.config.is_past(&taken) {
                let new = self.config.get();
                self.take(Host::all(&new));
                self.taken.replace(new);
            }
            self.look(self.is_wanted.take()).await;
        }
    }

    /// These are the hosts from here on; what is known of one stays.
    fn take(&self, new: Vec<Host>) {
        let mut old = self.hosts.replace(new);
        for host in self.hosts.borrow_mut().iter_mut() {
            let known = old.iter().position(|old| old.name == host.name);
            if let Some(known) = known.map(|at| old.swap_remove(at)) {
                host.seen = known.seen.filter(|_| known.files == host.files);
                (host.shown, host.profile) = (known.shown, known.profile);
                (host.time, host.is_slow) = (known.time, known.is_slow);
                host.said = known.said;
            }
        }
    }

    async fn look(&self, is_wanted: bool) {
        let now = self.reactor.clock().unix() as i64;
        let since = self.reactor.now() - self.judged.get();
        let is_due = is_wanted || since >= JUDGE_EVERY;
        if is_due {
            self.judged.set(self.reactor.now());
        }
        let tasks: Vec<Task> = {
            let hosts = self.hosts.borrow();
            let task = |host: &Host| host.task(is_wanted, is_due, now, &self.tickets);
            hosts.iter().map(task).collect()
        };
        let names: Vec<_> = tasks.iter().map(|task| task.host.clone()).collect();
        let all = unblock(move || tasks.into_iter().map(Task::look).collect::<Vec<_>>()).await;
        {
            let mut hosts = self.hosts.borrow_mut();
            for (name, found) in names.into_iter().zip(all) {
                let Some(host) = hosts.iter_mut().find(|host| host.name == name) else {
                    continue;
                };
                host.seen = Some(found.stamps);
                match found.read {
                    Some(Ok(read)) => {
                        let is_new = host.shown.as_ref().is_none_or(|shown| !shown.is(&read));
                        if is_new {
                            let until = day(read.until());
                            match host.shown {
                                Some(_) => {
                                    info!("{name} has another certificate, good until {until}")
                                }
                                None => tell_of(&host.name, &until),
                            }
                            host.said.clear();
                            host.profile = found.profile;
                        }
                        host.shown = host.shown.take().filter(|_| !is_new).or(Some(read));
                    }
                    Some(Err(error)) if host.is_yet_to_come(&error) => {}
                    Some(Err(error)) => keep_old(host, &error.to_string()),
                    None => {}
                }
                host.time = found.time;
                let news = news(host, found.concerns, now);
                for line in news.into_iter().chain(slowness(host)) {
                    warn!("{line}");
                }
            }
        }
        self.show();
        self.tell_times();
    }

    fn tell_times(&self) {
        for host in self.hosts.borrow().iter() {
            if let Some(time) = host.time {
                (self.answered)(&host.name, time);
            }
        }
    }

    /// Handshakes are made with what the hosts have now, and answers to ee clients look so.
    fn show(&self) {
        let new: Vec<_> = {
            let hosts = self.hosts.borrow();
            let shown = |host: &Host| Some((host.name.clone(), host.shown.clone()?));
            hosts.iter().filter_map(shown).collect()
        };
        let is_same = |(old, new): (&(Domain, Arc<_>), &(Domain, Arc<_>))| {
            old.0 == new.0 && Arc::ptr_eq(&old.1, &new.1)
        };
        let old = self.shown.replace(new.clone());
        if old.len() == new.len() && old.iter().zip(&new).all(is_same) {
            return;
        }
        let profiles = {
            let hosts = self.hosts.borrow();
            let shown = hosts.iter().filter(|host| host.shown.is_some());
            let profile = |host: &Host| (host.name.clone(), host.profile.clone());
            shown.map(profile).collect()
        };
        (self.show)(OwnFace { profiles });
        let certified = new.iter().map(|(name, certificate)| {
            let certified = certificate.certified().clone();
            (name.as_str().to_owned(), certified)
        });
        let made = match new.is_empty() {
            true => Ok(None),
            false => {
                let resolver = ByName::new(certified.collect());
                tls::server(Arc::new(resolver), &self.tickets).map(Some)
            }
        };
        match made {
            Ok(server) => drop(self.server.replace(server)),
            Err(error) => warn!("WEB hosts keep the TLS that they had: {error}"),
        }
    }
}

/// What a start would warn of with these hosts, or why it would fail. Blocks.
pub(crate) fn examine(config: &WebConfig) -> Result<Vec<String>, CertificatesError> {
    let tickets = tls::tickets().map_err(CertificatesError::Tickets)?;
    read(config, x509::now(), &tickets).map(|(_, warnings)| warnings)
}

/// The hosts with what they show, and what is to be said of that. Blocks.
fn read(
    config: &WebConfig,
    now: i64,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<(Vec<Host>, Vec<String>), CertificatesError> {
    let (mut hosts, mut warnings) = (Host::all(config), Vec::new());
    for host in &mut hosts {
        let found = host.task(true, true, now, tickets).look();
        host.seen = Some(found.stamps);
        host.shown = match found.read {
            Some(Ok(read)) => Some(read),
            Some(Err(error)) if host.is_yet_to_come(&error) => None,
            // One that we have written is written again.
            Some(Err(error)) if host.files.is_own => {
                warnings.push(error.to_string());
                None
            }
            Some(Err(error)) => return Err(CertificatesError::Bad(host.name.clone(), error)),
            None => None,
        };
        (host.profile, host.time) = (found.profile, found.time);
        warnings.extend(news(host, found.concerns, now));
        warnings.extend(slowness(host));
    }
    Ok((hosts, warnings))
}

/// It is there from here on.
fn tell_of(name: &Domain, until: &str) {
    info!("{name} is shown over TLS, with a certificate good until {until}");
}

/// A bad file takes nothing away.
fn keep_old(host: &Host, why: &str) {
    let name = &host.name;
    match &host.shown {
        Some(shown) => warn!(
            "{name} keeps its certificate, good until {}: the new one cannot be shown: {why}",
            day(shown.until())
        ),
        None => warn!("{name} has no certificate, so it is not served: {why}"),
    }
}

/// What there is to say once of a key that takes long.
fn slowness(host: &mut Host) -> Option<String> {
    let time = host.time.filter(|time| *time >= SLOW)?;
    let is_news = !std::mem::replace(&mut host.is_slow, true);
    is_news.then(|| {
        format!(
            "the certificate of {}: an answer with its key takes {} ms of this machine, \
             those who come to it wait for one another, and ee clients wait as long (500 ms at \
             most): get one with an ECDSA key (certbot --key-type ecdsa)",
            host.name,
            time.as_millis()
        )
    })
}

/// What the log has not said yet, a line for each concern.
fn news(host: &mut Host, concerns: Option<Vec<Concern>>, now: i64) -> Vec<String> {
    let Some(concerns) = concerns else {
        return Vec::new();
    };
    let name = &host.name;
    let new = concerns.iter().filter(|one| !host.said.contains(one));
    let line = |one: &Concern| {
        let text = one.text(name.as_str(), now);
        format!("the certificate of {name}: {text}")
    };
    let lines = new.map(line).collect();
    host.said = concerns;
    lines
}
