//! The sites that strangers are connected to, and how they answer a TLS hello,
//! which is how we answer then.
//!
//! | File | What |
//! |---|---|
//! | `visit` | a stranger's connection to its site |
//! | `guests` | who has a place at a site, and who waits for one |
//! | `site` | where a site is, and connecting to it |
//! | `loops` | connections that lead back to ourselves |
//! | `dialled` | those to sites, by their ports |
//! | `probe` | asking sites how they answer |
//! | `profile_file` | what they answered, as a file |
//! | `answer_times` | how long they take for it |
//! | `observe` | finding out how they end connections |
//! | `manners` | how they end connections |
//! | `manners/measured` | of that, what is found out and kept |
//! | `book` | times and manners of all sites |
//! | `names` | whether the names of our domains lead to us |
//! | `own` | how our own TLS answers, where it is the site |
//! | `shown` | sites as the operator sees them |
//! | `advice` | what a person should know of a site |

mod advice;
mod answer_times;
mod book;
mod dialled;
mod guests;
mod loops;
mod manners;
#[cfg(feature = "check")]
mod names;
#[cfg(feature = "check")]
mod observe;
#[cfg(feature = "tls")]
mod own;
mod probe;
mod profile_file;
#[cfg(feature = "ctl")]
mod shown;
mod site;
mod visit;

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::{DataDir, FrontingChoice, SiteConfig, SitePlace, cure};
use crate::log::{Throttle, Trouble};
use crate::metrics::{Metrics, ProbeOutcome};
use crate::net::{Executor, Live, Notify, Reactor, fill_random, unblock};
use crate::wire::learnt_flight::{Learnt, Question};
use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;

#[cfg(feature = "check")]
pub(crate) use advice::of_addresses;
use book::{Book, MAX_MODELS};
use guests::Guests;
pub(super) use guests::{Guest, Judgement, MAX_UNREAD};
use loops::Loops;
pub(super) use manners::{Ending, How, Manners};
#[cfg(feature = "tls")]
pub(crate) use own::OwnFace;
#[cfg(feature = "check")]
pub(crate) use probe::Examined;
use profile_file::Flaw;
#[cfg(feature = "ctl")]
pub(crate) use shown::ShownSite;
use site::Site;
pub(super) use visit::{OwnEnd, SiteVisit};

/// Sites whose addresses are remembered; the one unused for longest gives way.
const MAX_SITES: usize = 64;

/// How long clients wait for what nobody has asked yet: the first answer of a site, at
/// the start and after a reload. A site itself may be as slow when it starts.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(3);

const LOG_PERIOD: Duration = Duration::from_secs(600);

/// See the module.
pub(crate) struct Sites {
    reactor: Rc<Reactor>,
    executor: Rc<Executor>,
    metrics: Rc<Metrics>,
    config: Live<SiteConfig>,
    /// The one used last at the end.
    sites: RefCell<Vec<Rc<Site>>>,
    models: RefCell<Vec<Model>>,
    #[cfg(feature = "tls")]
    own: own::Own,
    book: Book,
    data_dir: DataDir,
    loops: Loops,
    guests: Guests,
    changed: Notify,
    /// When the first questions began that may still be without an answer.
    asking_since: Cell<Option<Instant>>,
    /// Every site was asked at least once.
    has_asked: Cell<bool>,
    /// A site has answered for the first time or will not, or all were asked.
    asked: Notify,
    loop_log: Throttle,
    crowd_log: Throttle,
    kept_answers: KeptFile,
    #[cfg(feature = "check")]
    kept_manners: KeptFile,
}

/// What is found out of sites, in the data directory.
struct KeptFile {
    name: &'static str,
    what: &'static str,
    trouble: Trouble,
}

impl KeptFile {
    fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            trouble: Trouble::new(LOG_PERIOD),
        }
    }
}

/// How the site of a domain answers, and what the log said of it last.
struct Model {
    domain: Domain,
    learnt: Option<Learnt>,
    /// What follows from it, judged once and not for every client.
    profile: Option<FlightProfile>,
    /// Its first questions are over.
    is_asked: bool,
    /// How that went last, and when.
    #[cfg(feature = "ctl")]
    probed: Option<(ProbeOutcome, Instant)>,
    said: String,
}

impl Model {
    fn new(domain: Domain, learnt: Option<Learnt>) -> Self {
        Self {
            domain,
            profile: learnt.as_ref().and_then(Learnt::profile),
            learnt,
            is_asked: false,
            #[cfg(feature = "ctl")]
            probed: None,
            said: String::new(),
        }
    }

    fn learn(&mut self, question: Question, answer: &FlightProfile<u16>) {
        match &mut self.learnt {
            Some(learnt) => learnt.add(question, answer),
            nothing => *nothing = Some(Learnt::new(answer)),
        }
        self.profile = self.learnt.as_ref().and_then(Learnt::profile);
    }
}

impl SiteConfig {
    fn lists(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }

    /// It is the site of a domain of ours.
    fn leads_to(&self, place: &SitePlace) -> bool {
        let mut domains = self.domains.iter();
        domains.any(|domain| self.place_for(Some(domain)).as_ref() == Some(place))
    }

    /// Where the site is that a domain of ours, or none, leads to.
    fn place_for(&self, domain: Option<&Domain>) -> Option<SitePlace> {
        match &self.fronting.choice {
            FrontingChoice::Off | FrontingChoice::Own => None,
            FrontingChoice::Site(place) => Some(place.clone()),
            FrontingChoice::ByName => {
                let listed = domain.filter(|domain| self.lists(domain));
                listed.or(self.domains.first()).map(SitePlace::of)
            }
        }
    }
}

impl Sites {
    /// With the profiles that an earlier run kept. `public_ip` is the address
    /// of this machine as the internet sees it, once it is known.
    pub(crate) fn new(
        reactor: &Rc<Reactor>,
        executor: &Rc<Executor>,
        metrics: &Rc<Metrics>,
        config: Live<SiteConfig>,
        data_dir: DataDir,
        public_ip: impl Fn() -> Option<IpAddr> + 'static,
    ) -> Rc<Self> {
        let content = data_dir.read(profile_file::FILE).unwrap_or_default();
        let (models, flaw) = profile_file::read(&content, MAX_MODELS);
        if let Some(flaw) = flaw {
            let place = data_dir.place_of(profile_file::FILE);
            let place = place.display();
            let what = match flaw {
                Flaw::OtherVersion => "is of another version",
                Flaw::Damaged => "is damaged",
            };
            info!("{place} {what}: how sites answer TLS is asked anew");
        }
        let models = models.into_iter();
        let models = models.map(|(domain, learnt)| Model::new(domain, Some(learnt)));
        let book = Book::default();
        #[cfg(feature = "check")]
        config.with(|config| read_manners(&data_dir, config, &book));
        Rc::new(Self {
            reactor: reactor.clone(),
            executor: executor.clone(),
            metrics: metrics.clone(),
            config,
            sites: RefCell::default(),
            models: RefCell::new(models.collect()),
            #[cfg(feature = "tls")]
            own: own::Own::default(),
            book,
            data_dir,
            loops: Loops::new(Box::new(public_ip)),
            guests: Guests::default(),
            changed: Notify::default(),
            asking_since: Cell::new(None),
            has_asked: Cell::new(false),
            asked: Notify::default(),
            loop_log: Throttle::new(LOG_PERIOD),
            crowd_log: Throttle::new(LOG_PERIOD),
            kept_answers: KeptFile::new(profile_file::FILE, "how sites answer TLS"),
            #[cfg(feature = "check")]
            kept_manners: KeptFile::new(manners::FILE, "how sites end connections"),
        })
    }

    /// Lets go, whenever the config is another, of what is not of it any more.
    async fn follow_config(&self) {
        let mut config = self.config.get();
        loop {
            config = self.config.after(&config).await;
            let mut models = self.models.borrow_mut();
            models.retain(|model| config.domains.contains(&model.domain));
            drop(models);
            if self.asking_since.get().is_some() {
                self.asking_since.set(Some(self.reactor.now()));
            }
            self.book.retain(|place| config.leads_to(place));
            self.changed.notify();
            // There may be more places.
            self.call_next();
        }
    }

    /// Completes once every site was asked how it answers, whatever it said.
    pub(crate) async fn first_answers(&self) {
        self.asked.until(|| self.has_asked.get()).await;
    }

    /// Strangers are connected to a site.
    pub(super) fn is_on(&self) -> bool {
        let choice = |config: &SiteConfig| {
            !matches!(
                config.fronting.choice,
                FrontingChoice::Off | FrontingChoice::Own
            )
        };
        self.config.with(choice)
    }

    /// From here on answers are like this one's, where strangers meet our own TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn show_own(&self, face: OwnFace) {
        self.own.show(face);
    }

    /// How the site of `domain` answers, if it was asked.
    pub(super) fn profile(&self, domain: &Domain) -> Option<FlightProfile> {
        #[cfg(feature = "tls")]
        {
            let is_only = |config: &SiteConfig| config.fronting.choice == FrontingChoice::Own;
            if let Some(own) = self.own.profile(domain, self.config.with(is_only)) {
                return Some(own);
            }
        }
        let models = self.models.borrow();
        let model = models.iter().find(|model| model.domain == *domain)?;
        model.profile.clone()
    }

    /// How the site of `domain` answers a client that does or does not offer
    /// X25519MLKEM768 is being asked for the first time, and may be known soon.
    pub(super) fn is_awaited(&self, domain: &Domain, post_quantum: bool) -> bool {
        let Some(since) = self.asking_since.get() else {
            return false;
        };
        let models = self.models.borrow();
        let is_open = match models.iter().find(|model| model.domain == *domain) {
            Some(Model { is_asked: true, .. }) => false,
            Some(Model {
                learnt: Some(learnt),
                ..
            }) => !post_quantum && learnt.lacks_without_mlkem(),
            _ => true,
        };
        let is_over = self.reactor.now().duration_since(since) >= FIRST_ANSWER_LIMIT;
        let is_asked = |config: &SiteConfig| {
            config
                .domains
                .iter()
                .take(MAX_MODELS)
                .any(|asked| asked == domain)
        };
        is_open && !is_over && self.is_on() && self.config.with(is_asked)
    }

    /// Completes when [`is_awaited`](Self::is_awaited) is over.
    pub(super) async fn awaited(&self, domain: &Domain, post_quantum: bool) {
        let answered = || !self.is_awaited(domain, post_quantum);
        let answered = self.asked.until(answered);
        let since = self.asking_since.get().unwrap_or(self.reactor.now());
        let left = (since + FIRST_ANSWER_LIMIT).saturating_duration_since(self.reactor.now());
        self.reactor.timeout(left, answered).await;
    }

    /// How long a stranger with a hello for `domain` would wait for the answer;
    /// `None`: not to speak of.
    pub(super) fn answer_time(&self, domain: &Domain) -> Option<Duration> {
        let place = self.config.with(|config| config.place_for(Some(domain)))?;
        let mut random = [0; 4];
        fill_random(&mut random);
        self.book.answer_time(&place, u32::from_ne_bytes(random))
    }

    /// How the site of `domain` ends connections.
    pub(super) fn manners(&self, domain: &Domain) -> Rc<Manners> {
        let place = self.config.with(|config| config.place_for(Some(domain)));
        let manners = place.map(|place| self.book.manners(&place));
        manners.unwrap_or_default()
    }

    /// Connections to this address come to us.
    pub(crate) fn listening(&self, address: SocketAddr) {
        self.loops.listening(address);
    }

    pub(super) fn not_listening(&self, address: SocketAddr) {
        self.loops.not_listening(address);
    }

    /// A connection to this address would come to us.
    pub(super) fn is_own_address(&self, address: SocketAddr) -> bool {
        self.loops.is_ours(address)
    }

    async fn keep_file(&self, kept: &KeptFile, content: String) {
        let KeptFile {
            name,
            what,
            trouble,
        } = kept;
        let data_dir = self.data_dir.clone();
        let place = data_dir.place_of(name);
        let place = place.display();
        let name = *name;
        match unblock(move || data_dir.write(name, content.as_bytes())).await {
            Ok(()) if trouble.works() => info!("{what} is kept again in {place}"),
            Ok(()) => {}
            Err(error) => {
                self.metrics.site_probes.inc(ProbeOutcome::NotKept);
                if let Some(skipped) = trouble.fails(self.reactor.now()) {
                    let cure = cure(&error, "give a writable --data-dir");
                    warn!(
                        "cannot keep {what}, {place}: {error}{skipped}; {cure}, else it is found \
                         out anew after each restart"
                    );
                }
            }
        }
    }

    #[cfg(all(test, feature = "check"))]
    pub(super) fn learn(&self, place: &SitePlace, manners: Manners) {
        self.book.behaves(place, manners, 0);
    }

    #[cfg(test)]
    pub(super) fn is_from_us(&self, peer: SocketAddr) -> bool {
        self.loops.is_from_us(peer)
    }

    /// The site for a stranger whose hello, if it is one, names `domain`.
    fn site_for(&self, domain: Option<&Domain>) -> Option<Rc<Site>> {
        let config = self.config.get();
        let by_name = config.fronting.choice == FrontingChoice::ByName;
        let (place, only_global) = match domain {
            Some(other) if by_name && config.fronting.to_any_site && !config.lists(other) => {
                (SitePlace::of(other), true)
            }
            _ => (config.place_for(domain)?, false),
        };
        Some(self.site(place, only_global))
    }

    fn site(&self, place: SitePlace, only_global: bool) -> Rc<Site> {
        let mut sites = self.sites.borrow_mut();
        let known = sites.iter().position(|site| site.place == place);
        let site = match known {
            Some(at) => sites.remove(at),
            None => Site::new(place, only_global),
        };
        if sites.len() >= MAX_SITES {
            sites.remove(0);
        }
        sites.push(site.clone());
        site
    }
}

/// Takes over what an earlier run found out of how sites end connections.
#[cfg(feature = "check")]
fn read_manners(data_dir: &DataDir, config: &SiteConfig, book: &Book) {
    let content = data_dir.read(manners::FILE).unwrap_or_default();
    if !book.read(&content, |place| config.leads_to(place)) {
        let place = data_dir.place_of(manners::FILE);
        let place = place.display();
        info!("{place} is damaged: how sites end connections is looked at anew");
    }
}
