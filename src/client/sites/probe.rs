use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{MOST_MODELS, Model, Sites, advice, kept};
use crate::metrics::{FrontingFailure, ProbeOutcome};
use crate::net::{Socket, fill_random, random_part, unblock};
use crate::wire::proxy_protocol::LOCAL_V2;
use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;
use crate::wire::site_flight::{self, FlightError, MAX_FLIGHT};
use crate::wire::site_hello::browser_hello;

/// Answers that one measurement takes together: ECDSA signatures differ in
/// length. Later ones add to it.
const ANSWERS: usize = 4;

/// The same of a site that is new, as long as they are all of one length: four
/// signatures are in one case of fourteen, twelve in one of four thousand.
const FIRST_ANSWERS: usize = 12;

/// Between them, at most: a visitor who opens several tabs.
const PAUSE: Duration = Duration::from_millis(700);

/// Certificates are renewed, servers updated.
const MEASURE_EVERY: Duration = Duration::from_secs(4 * 3600);

/// After a failure, which may only be a network that is not there yet; doubled each
/// time up to [`MEASURE_EVERY`].
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// Between connecting and the first byte of the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// For one question while somebody waits for the verdict.
#[cfg(feature = "check")]
const EXAMINATION: Duration = Duration::from_secs(10);

/// A flight is over when nothing more comes for so long and four times what
/// connecting took.
pub(super) const QUIET: Duration = Duration::from_millis(250);

/// How a site answers.
#[cfg(feature = "check")]
pub struct Examined {
    /// Where it is, and whose.
    pub site: String,
    /// In the words of the log, with what a person should know; or why that is no
    /// model for ours.
    pub answer: Result<(String, Vec<String>), String>,
}

/// Why a site was not measured.
pub(super) enum ProbeError {
    Unreachable(FrontingFailure),
    Broken(io::Error),
    Silent,
    NoModel(FlightError),
}

impl Sites {
    /// Asks the sites of all domains how they answer: now, after a reload, and
    /// every few hours. That one cannot be asked is no reason to stop.
    pub async fn run(self: Rc<Self>) {
        #[cfg(feature = "check")]
        let judging = smol::future::or(self.judge_names_for_ever(), self.observe_for_ever());
        #[cfg(feature = "check")]
        smol::future::or(self.measure_for_ever(), judging).await;
        #[cfg(not(feature = "check"))]
        self.measure_for_ever().await;
    }

    async fn measure_for_ever(self: &Rc<Self>) {
        let mut retry = FIRST_RETRY;
        loop {
            let complete = self.measure_all().await;
            self.has_asked.set(true);
            self.asked.notify();
            let wait = if complete {
                retry = FIRST_RETRY;
                MEASURE_EVERY
            } else {
                let wait = retry;
                retry = (retry * 2).min(MEASURE_EVERY);
                wait
            };
            let wait = wait / 4 * 3 + random_part(wait / 2);
            self.reactor.timeout(wait, self.changed.changed()).await;
        }
    }

    async fn measure_all(self: &Rc<Self>) -> bool {
        let settings = self.settings.borrow().clone();
        let mut complete = true;
        for domain in settings.domains.iter().take(MOST_MODELS) {
            complete &= self.measure(domain).await;
        }
        complete
    }

    /// Asks the site of each domain once.
    #[cfg(feature = "check")]
    pub async fn examine(self: &Rc<Self>) -> Vec<Examined> {
        let settings = self.settings.borrow().clone();
        let mut found = Vec::new();
        for domain in settings.domains.iter().take(MOST_MODELS) {
            let Some(site) = self.site_for(Some(domain)) else {
                continue;
            };
            let asked = self.reactor.timeout(EXAMINATION, self.ask(&site, domain));
            let answer = match asked.await.unwrap_or(Err(ProbeError::Silent)) {
                Ok(profile) => Ok((kept::describe(&profile), advice::of_answer(&profile))),
                Err(error) => Err(error.to_string()),
            };
            let site = format!("{} for {domain}", site.place);
            found.push(Examined { site, answer });
        }
        found
    }

    /// Whether that was possible.
    async fn measure(self: &Rc<Self>, domain: &Domain) -> bool {
        let Some(site) = self.site_for(Some(domain)) else {
            return true;
        };
        let mut joined = self.profile(domain);
        let most = match joined {
            Some(_) => ANSWERS,
            None => FIRST_ANSWERS,
        };
        for answer in 0..most {
            let differ = joined.as_ref().is_some_and(|profile| profile.spread > 0);
            if answer >= ANSWERS && differ {
                break;
            }
            if answer > 0 {
                self.reactor.sleep(random_part(PAUSE)).await;
            }
            match self.ask(&site, domain).await {
                Ok(profile) => {
                    joined = Some(match joined {
                        Some(earlier) => earlier.and(profile),
                        None => profile,
                    });
                }
                Err(error) => {
                    self.metrics.site_probes.inc(error.outcome());
                    let place = &site.place;
                    let shape = match self.profile(domain) {
                        Some(_) => "the shape that it had",
                        None => "the built-in shape",
                    };
                    let line = format!(
                        "cannot learn from {place} how {domain} answers TLS: {error}; answers have \
                         {shape} until it works"
                    );
                    if self.remember(domain, None, &line) {
                        warn!("{line}");
                    }
                    return false;
                }
            }
        }
        self.metrics.site_probes.inc(ProbeOutcome::Measured);
        if let Some(profile) = joined {
            let line = format!("{domain} answers TLS with {}", kept::describe(&profile));
            // The small build knows as much and says less.
            let advice = match cfg!(feature = "check") {
                true => advice::of_answer(&profile),
                false => Vec::new(),
            };
            if self.remember(domain, Some(profile), &line) {
                info!("{line}");
                for advice in advice {
                    warn!("{domain} {advice}");
                }
                self.keep().await;
            }
        }
        true
    }

    /// One answer of `site` to a browser that wants `domain`.
    async fn ask(
        self: &Rc<Self>,
        site: &Rc<super::Site>,
        domain: &Domain,
    ) -> Result<FlightProfile, ProbeError> {
        let mut hello = Vec::new();
        if self.settings.borrow().fronting.proxy_protocol {
            hello.extend_from_slice(&LOCAL_V2);
        }
        hello.extend(browser_hello(domain, &mut fill_random));
        // What follows takes as long as for a stranger.
        site.resolved(self).await;
        // Not the reactor's time, which a hello that was slow to make is older than.
        let started = Instant::now();
        let socket = site.connect(self).await.map_err(ProbeError::Unreachable)?;
        let round_trip = started.elapsed();
        socket.write_all(&hello).await.map_err(ProbeError::Broken)?;
        let spoken = poll_fn(|cx| socket.poll_peek(cx, &mut [0]));
        let spoken = self.reactor.timeout(ANSWER_LIMIT, spoken).await;
        spoken
            .ok_or(ProbeError::Silent)?
            .map_err(ProbeError::Broken)?;
        let time = started.elapsed();
        let answer = self.listen(&socket, QUIET + 4 * round_trip).await?;
        let profile = site_flight::read(&answer).map_err(ProbeError::NoModel)?;
        self.book.asked(&site.place, time);
        Ok(profile)
    }

    /// All that comes until it is `quiet`.
    pub(super) async fn listen(
        &self,
        socket: &Socket,
        quiet: Duration,
    ) -> Result<Vec<u8>, ProbeError> {
        let mut answer = Vec::new();
        while answer.len() < MAX_FLIGHT {
            let start = answer.len();
            let limit = if start == 0 { ANSWER_LIMIT } else { quiet };
            answer.resize(start + 4096, 0);
            let space = answer.get_mut(start..).unwrap_or_default();
            let read = self.reactor.timeout(limit, socket.read(space)).await;
            let length = match read {
                None if start == 0 => return Err(ProbeError::Silent),
                None => 0,
                Some(read) => read.map_err(ProbeError::Broken)?,
            };
            answer.truncate(start + length);
            if length == 0 {
                break;
            }
        }
        Ok(answer)
    }

    /// Whether it is news. A profile stays when its site cannot be asked.
    fn remember(&self, domain: &Domain, profile: Option<FlightProfile>, line: &str) -> bool {
        let mut models = self.models.borrow_mut();
        let known = models.iter_mut().find(|model| model.domain == *domain);
        if let Some(model) = known {
            let is_news = model.said != line;
            model.profile = profile.or(model.profile.take());
            model.said = line.to_owned();
            return is_news;
        }
        // Those of other domains are of an earlier config.
        let domains = &self.settings.borrow().domains;
        models.retain(|model| domains.contains(&model.domain));
        models.push(Model {
            domain: domain.clone(),
            profile,
            said: line.to_owned(),
        });
        true
    }

    async fn keep(&self) {
        let content: String = {
            let models = self.models.borrow();
            let known = models.iter().filter_map(|model| {
                let profile = model.profile.as_ref()?;
                Some(kept::write_line(&model.domain, profile))
            });
            known.collect()
        };
        let data_dir = self.data_dir.clone();
        let writing = move || data_dir.write(kept::FILE, content.as_bytes());
        if let Err(error) = unblock(writing).await {
            self.metrics.site_probes.inc(ProbeOutcome::NotKept);
            warn!("cannot keep what sites answer in --data-dir: {error}");
        }
    }
}

impl ProbeError {
    fn outcome(&self) -> ProbeOutcome {
        match self {
            Self::NoModel(_) => ProbeOutcome::NoModel,
            _ => ProbeOutcome::Unreachable,
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(FrontingFailure::OurAddress) => f.write_str(
                "that address is this proxy's own, so strangers see a silent server; put a web \
                 server for the name on this machine, and --fronting 127.0.0.1:8443 for its address",
            ),
            Self::Unreachable(failure) => failure.fmt(f),
            Self::Broken(error) => error.fmt(f),
            Self::Silent => f.write_str("it says nothing"),
            Self::NoModel(error) => error.fmt(f),
        }
    }
}
