//! When certificates are got: at first, and when two thirds of their life are over. One
//! host after the other, so that an authority is asked one thing at a time; one that fails
//! takes a few minutes of the others' time at most.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::asking::MAX_REST;
use super::challenges::Challenges;
use super::dialogue::{Dialogue, Errand, Got, Progress};
use super::failure::Failure;
use super::papers::Papers;
use crate::config::{AcmeConfig, DataDir, WebConfig};
use crate::net::{Backoff, Live, Notify, Reactor, unblock};
use crate::tls::HostCertificate;
use crate::tls::x509::{FIRST_DAY, day};
use crate::wire::http_date;
use crate::wire::secret::Domain;

/// The clock may be set, and files may go: somebody looks so often at least.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Between two looks at a clock that is yet to be set.
const CLOCK_EVERY: Duration = Duration::from_secs(5);

/// For an authority to decide, once it was called.
const PATIENCE: Duration = Duration::from_secs(150);

/// After attempts that an authority counts: of Let's Encrypt's five an hour these are three.
const REFUSED: Backoff = Backoff::new(Duration::from_secs(15 * 60), Duration::from_secs(8 * 3600));

/// After others.
const UNREACHED: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_secs(3600));

/// Between two looks at an order.
const STEPS: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(8));

/// The parts that a [`Keeper`] is made of.
pub(crate) struct KeeperParts {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) config: Live<WebConfig>,
    pub(crate) data_dir: DataDir,
    pub(crate) challenges: Rc<Challenges>,
    /// There is another certificate.
    pub(crate) reread: Box<dyn Fn()>,
}

/// See the module.
pub(crate) struct Keeper {
    parts: KeeperParts,
    is_hurried: Cell<bool>,
    hurried: Notify,
}

/// A host whose certificate is ours to get.
struct Ward {
    host: Domain,
    file: PathBuf,
    /// When it is looked at next.
    next: Instant,
    refused: Backoff,
    unreached: Backoff,
    /// The log knows when it is renewed.
    is_told: bool,
}

impl Ward {
    /// Those of a config; what is known of one stays.
    fn all(config: &WebConfig, mut old: Vec<Self>, now: Instant) -> Vec<Self> {
        let mut wards: Vec<Self> = Vec::new();
        for host in &config.hosts {
            let files = host.files.as_ref().filter(|files| files.is_own);
            let (Some(files), Ok(name)) = (files, host.name.as_str().parse::<Domain>()) else {
                continue;
            };
            if wards.iter().any(|ward| ward.host == name) {
                continue;
            }
            let known = old
                .iter()
                .position(|ward| ward.host == name && ward.file == files.chain);
            wards.push(match known {
                Some(at) => old.swap_remove(at),
                None => Self {
                    host: name,
                    file: files.chain.clone(),
                    next: now,
                    refused: REFUSED,
                    unreached: UNREACHED,
                    is_told: false,
                },
            });
        }
        wards
    }
}

/// What is on the disk for a host.
struct Found {
    certificate: Option<Got>,
    /// The authority wants to hear nothing before that.
    rest_until: Option<u64>,
}

impl Keeper {
    pub(crate) fn new(parts: KeeperParts) -> Rc<Self> {
        Rc::new(Self {
            parts,
            is_hurried: Cell::new(false),
            hurried: Notify::default(),
        })
    }

    /// Somebody may have mended what was wrong: what waits for its next attempt does not
    /// wait for it.
    pub(crate) fn hurry(&self) {
        self.is_hurried.set(true);
        self.hurried.notify();
    }

    fn now(&self) -> Instant {
        self.parts.reactor.now()
    }

    fn unix(&self) -> i64 {
        self.parts.reactor.clock().unix() as i64
    }

    /// Sees to all of them for ever.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut wards = Vec::new();
        let mut has_told_of_clock = false;
        loop {
            let config = self.parts.config.get();
            wards = Ward::all(&config, wards, self.now());
            let is_early = self.unix() < FIRST_DAY;
            if is_early && !wards.is_empty() && !has_told_of_clock {
                has_told_of_clock = true;
                warn!(
                    "--web-acme waits until this machine's clock is set, which says {}: see that \
                     NTP works",
                    day(self.unix())
                );
            }
            if let Some(acme) = config.acme.as_ref().filter(|_| !is_early) {
                for ward in &mut wards {
                    if ward.next <= self.now() && !self.parts.config.is_past(&config) {
                        self.see_to(acme, ward).await;
                    }
                }
            }
            let next = wards.iter().map(|ward| ward.next).min();
            let next = next.map(|next| match is_early {
                true => CLOCK_EVERY,
                false => next.saturating_duration_since(self.now()),
            });
            self.rest(&config, next).await;
            if self.is_hurried.take() {
                let now = self.now();
                wards.iter_mut().for_each(|ward| ward.next = now);
            }
        }
    }

    /// For so long, or until there is a reason to look.
    async fn rest(&self, config: &Rc<WebConfig>, time: Option<Duration>) {
        let changes = async { drop(self.parts.config.after(config).await) };
        let hurried = self.hurried.until(|| self.is_hurried.get());
        let sooner = smol::future::or(changes, hurried);
        match time {
            None => sooner.await,
            Some(time) => drop(self.parts.reactor.timeout(time, sooner).await),
        }
    }

    /// Gets its certificate, if that is due.
    async fn see_to(&self, acme: &AcmeConfig, ward: &mut Ward) {
        let found = self.found(acme, ward).await;
        let host = ward.host.clone();
        if let Some(got) = found.certificate.filter(|got| self.unix() < got.renewal) {
            if !std::mem::replace(&mut ward.is_told, true) {
                info!(
                    "the certificate of {host} is renewed on {}",
                    day(got.renewal)
                );
            }
            ward.next = self.look_at(got.renewal);
            return;
        }
        let now = self.unix() as u64;
        // The clock may have gone back since.
        let rests = |until: &u64| (now..=now + MAX_REST).contains(until);
        if let Some(until) = found.rest_until.filter(rests) {
            let date = http_date::format(until);
            info!("no certificate for {host} is asked for before {date}: the authority said so");
            ward.next = self.look_at(until as i64);
            return;
        }
        match self.get(acme, &host).await {
            Ok(got) => {
                (ward.refused, ward.unreached, ward.is_told) = (REFUSED, UNREACHED, true);
                ward.next = self.look_at(got.renewal);
                info!(
                    "{} has given a certificate for {host}, good until {}; it is renewed on {}",
                    acme.authority(),
                    day(got.until),
                    day(got.renewal)
                );
                (self.parts.reread)();
            }
            Err(Failure::Unwanted) => {}
            Err(failure) => self.put_off(acme, ward, &failure, found.certificate).await,
        }
    }

    /// When `unix` comes, or a little before.
    fn look_at(&self, unix: i64) -> Instant {
        let left = u64::try_from(unix - self.unix()).unwrap_or(0);
        self.now() + Duration::from_secs(left.max(1)).min(LOOK_EVERY)
    }

    async fn found(&self, acme: &AcmeConfig, ward: &Ward) -> Found {
        let papers = Papers::new(&self.parts.data_dir, acme);
        let (file, host) = (ward.file.clone(), ward.host.as_str().to_owned());
        unblock(move || Found {
            certificate: HostCertificate::read(&file, &file).ok().map(|read| Got {
                until: read.until(),
                renewal: read.renewal(),
            }),
            rest_until: papers.rest_until(&host),
        })
        .await
    }

    /// The next attempt is later.
    async fn put_off(
        &self,
        acme: &AcmeConfig,
        ward: &mut Ward,
        failure: &Failure,
        shown: Option<Got>,
    ) {
        let wait = match failure.costs_nothing() {
            true => ward.unreached.next_wait(),
            false => ward.refused.next_wait(),
        };
        let mut next = self.unix() as u64 + wait.as_secs();
        let told = match failure {
            Failure::Refused(refusal) => refusal.until,
            _ => None,
        };
        if let Some(until) = told {
            next = next.max(until);
            let papers = Papers::new(&self.parts.data_dir, acme);
            let host = ward.host.as_str().to_owned();
            let kept = unblock(move || papers.keep_rest(&host, until)).await;
            if let Err((path, error)) = kept {
                warn!("{}", Failure::Unkept(path, error));
            }
        }
        ward.next = self.now() + Duration::from_secs(next.saturating_sub(self.unix() as u64));
        let host = &ward.host;
        let (what, meanwhile) = match shown {
            Some(got) => (
                "another certificate",
                format!(
                    "; it shows the one that it has, good until {}",
                    day(got.until)
                ),
            ),
            None => ("certificate", String::new()),
        };
        let article = if shown.is_some() { "" } else { "a " };
        warn!(
            "{host} does not get {article}{what}: {failure}; tried again on {}, and at a \
             reload{meanwhile}",
            http_date::format(next)
        );
    }

    /// All of an order.
    async fn get(&self, acme: &AcmeConfig, host: &Domain) -> Result<Got, Failure> {
        let authority = acme.authority();
        let papers = Papers::new(&self.parts.data_dir, acme);
        let account = papers.account_place();
        let errand = Errand {
            host: host.as_str().to_owned(),
            config: acme.clone(),
            papers,
            now: self.unix() as u64,
        };
        info!("{authority} is asked for a certificate for {host}");
        let opened = unblock(move || Dialogue::open(errand)).await?;
        if opened.is_new_account {
            info!(
                "an account of {} is made at {authority}, whose terms of service --web-acme \
                 accepts; it is kept in {}",
                acme.email,
                account.display()
            );
        }
        if opened.goes_on {
            info!("the order for {host} that was begun before goes on");
        }
        let (mut dialogue, mut shown, mut steps) = (opened.dialogue, None, STEPS);
        let deadline = self.now() + PATIENCE;
        loop {
            let (next, progress) = unblock(move || dialogue.advance()).await?;
            dialogue = next;
            match progress {
                Progress::Prove(server) => {
                    shown = Some(self.parts.challenges.show(host.clone(), server));
                    info!("{authority} looks whether {host} leads here, by TLS to its port 443");
                    dialogue = unblock(move || dialogue.call()).await?;
                }
                Progress::Waits if !self.is_wanted(acme, host) => return Err(Failure::Unwanted),
                Progress::Waits if self.now() >= deadline => return Err(Failure::Slow),
                Progress::Waits => self.parts.reactor.sleep(steps.next_wait()).await,
                Progress::Done(got) => {
                    drop(shown);
                    return Ok(got);
                }
            }
        }
    }

    /// The config has not changed so that nobody wants it.
    fn is_wanted(&self, acme: &AcmeConfig, host: &Domain) -> bool {
        self.parts.config.with(|config| {
            let mut hosts = config.hosts.iter();
            let is_there = hosts.any(|one| {
                let is_own = one.files.as_ref().is_some_and(|files| files.is_own);
                is_own && one.name.as_str() == host.as_str()
            });
            is_there && config.acme.as_ref() == Some(acme)
        })
    }
}
