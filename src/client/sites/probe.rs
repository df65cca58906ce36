//! Asking sites how they answer a TLS hello.
//!
//! Every answer counts at once, for the next client. A round of questions goes on
//! until the lengths of a site's flights are known.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::{MAX_MODELS, Model, Sites, advice, profile_file};
use crate::metrics::{FrontingFailure, ProbeOutcome};
use crate::net::{Backoff, Jitter, Socket, fill_random, random_part};
use crate::wire::learnt_flight::{Learnt, Question};
use crate::wire::proxy_protocol::LOCAL_V2;
use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;
use crate::wire::site_flight::{self, FlightError, MAX_FLIGHT};
use crate::wire::site_hello::browser_hello;

/// Between questions, at most: a visitor who opens several tabs.
const PAUSE: Duration = Duration::from_millis(700);

/// Certificates are renewed, servers updated.
const MEASURE_EVERY: Duration = Duration::from_secs(4 * 3600);

/// After a failure, which may only be a network that is not there yet.
const RETRIES: Backoff = Backoff::new(Duration::from_secs(5), MEASURE_EVERY);

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
pub(crate) struct Examined {
    /// Where it is, and whose.
    pub(crate) site: String,
    /// In the words of the log, with what a person should know; or why that is no
    /// model for ours.
    pub(crate) answer: Result<(String, Vec<String>), String>,
}

/// Questions to the site of one domain.
struct Round {
    domain: Domain,
    /// How many were answered, of each kind.
    asked: Cell<[u8; 2]>,
    has_failed: Cell<bool>,
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
    pub(crate) async fn run(self: Rc<Self>) {
        let asking = smol::future::or(self.follow_config(), self.measure_for_ever());
        #[cfg(feature = "check")]
        let judging = smol::future::or(self.judge_names_for_ever(), self.observe_for_ever());
        #[cfg(feature = "check")]
        smol::future::or(asking, judging).await;
        #[cfg(not(feature = "check"))]
        asking.await;
    }

    async fn measure_for_ever(self: &Rc<Self>) {
        let mut retries = RETRIES;
        loop {
            let changes = async {
                self.changed.changed().await;
                None
            };
            let measures = async { Some(self.measure_all().await) };
            let Some(complete) = smol::future::or(measures, changes).await else {
                continue;
            };
            self.has_asked.set(true);
            self.asked.notify();
            let wait = if complete {
                retries.reset();
                MEASURE_EVERY
            } else {
                retries.next_wait()
            };
            let wait = Jitter::Quarter.of(wait);
            self.reactor.timeout(wait, self.changed.changed()).await;
        }
    }

    /// Whether that was possible. All are asked one thing first, so that no domain
    /// waits for the others.
    async fn measure_all(self: &Rc<Self>) -> bool {
        self.asking_since.set(Some(self.reactor.now()));
        let config = self.config.get();
        let domains = config.domains.iter().take(MAX_MODELS).cloned();
        let rounds: Vec<_> = domains.map(Round::new).map(Rc::new).collect();
        let begin = |round: &Rc<Round>| {
            let (sites, round) = (self.clone(), round.clone());
            let begins = async move { sites.begin(&round).await };
            self.executor.spawn(begins)
        };
        for task in rounds.iter().map(begin).collect::<Vec<_>>() {
            task.await;
        }
        let mut complete = true;
        for round in &rounds {
            complete &= self.measure(round).await;
        }
        complete
    }

    /// Asks the site of each domain once.
    #[cfg(feature = "check")]
    pub(crate) async fn examine(self: &Rc<Self>) -> Vec<Examined> {
        let config = self.config.get();
        let mut found = Vec::new();
        for domain in config.domains.iter().take(MAX_MODELS) {
            let Some(site) = self.site_for(Some(domain)) else {
                continue;
            };
            let ask = self.ask(&site, domain, Question::Usual);
            let asked = self.reactor.timeout(EXAMINATION, ask);
            let answer = asked.await.unwrap_or(Err(ProbeError::Silent));
            let answer = answer.map_err(|error| error.to_string()).map(|answer| {
                let profile = answer.with_lengths(answer.lengths.into());
                (
                    profile_file::describe(&profile),
                    advice::of_answer(&profile),
                )
            });
            let site = format!("{} for {domain}", site.place);
            found.push(Examined { site, answer });
        }
        found
    }

    /// The first questions of a round: as many as it takes to answer every client.
    async fn begin(self: &Rc<Self>, round: &Round) {
        for _ in 0..2 {
            self.ask_next(round).await;
            self.asked.notify();
            let lacks = |learnt: &Learnt| learnt.lacks_without_mlkem();
            if !self.with_model(&round.domain, |model| {
                model.learnt.as_ref().is_some_and(lacks)
            }) {
                break;
            }
        }
        self.with_model(&round.domain, |model| model.is_asked = true);
        self.asked.notify();
    }

    /// The rest of it. Whether it could be ended.
    async fn measure(self: &Rc<Self>, round: &Round) -> bool {
        while self.next_question(round).is_some() {
            self.reactor.sleep(random_part(PAUSE)).await;
            self.ask_next(round).await;
        }
        let Round { domain, asked, .. } = round;
        if asked.get() == [0; 2] {
            return !round.has_failed.get();
        }
        self.keep().await;
        if round.has_failed.get() {
            return false;
        }
        self.metrics.site_probes.inc(ProbeOutcome::Measured);
        if let Some(profile) = self.profile(domain) {
            let line = format!(
                "{domain} answers TLS with {}",
                profile_file::describe(&profile)
            );
            // The small build knows as much and says less.
            let advice = match cfg!(feature = "check") {
                true => advice::of_answer(&profile),
                false => Vec::new(),
            };
            if self.is_news(domain, &line) {
                info!("{line}");
                for advice in advice {
                    warn!("{domain} {advice}");
                }
            }
        }
        true
    }

    fn next_question(&self, round: &Round) -> Option<Question> {
        let known = |model: &mut Model| match &model.learnt {
            Some(learnt) => learnt.next_question(round.asked.get()),
            None => Some(Question::Usual),
        };
        let question = self.with_model(&round.domain, known);
        question.filter(|_| self.is_on() && !round.has_failed.get())
    }

    async fn ask_next(self: &Rc<Self>, round: &Round) {
        let domain = &round.domain;
        let Some((question, site)) = self.next_question(round).zip(self.site_for(Some(domain)))
        else {
            return;
        };
        let asked = |question: Question, by: u8| {
            let mut asked = round.asked.get();
            let [usual, without] = &mut asked;
            let count = match question {
                Question::Usual => usual,
                Question::WithoutMlkem => without,
            };
            *count = count.saturating_add(by);
            round.asked.set(asked);
        };
        match self.ask(&site, domain, question).await {
            Ok(answer) => {
                asked(question, 1);
                self.with_model(domain, |model| model.learn(question, &answer));
                #[cfg(feature = "ctl")]
                self.note(domain, ProbeOutcome::Measured);
            }
            // It serves no client that does not offer it.
            Err(ProbeError::NoModel(_)) if question == Question::WithoutMlkem => {
                asked(question, u8::MAX);
            }
            Err(error) => {
                round.has_failed.set(true);
                self.metrics.site_probes.inc(error.outcome());
                #[cfg(feature = "ctl")]
                self.note(domain, error.outcome());
                let place = &site.place;
                let shape = match self.profile(domain) {
                    Some(_) => "the shape that it had",
                    None => "the built-in shape",
                };
                let error = error.to_string();
                let way_out = match error.contains("--fronting") {
                    true => "",
                    false => "see that it is up and does TLS 1.3, or give another (--fronting); ",
                };
                let line = format!(
                    "cannot learn from {place} how {domain} answers TLS: {error}; {way_out}answers \
                     have {shape} until it works"
                );
                if self.is_news(domain, &line) {
                    warn!("{line}");
                }
            }
        }
    }

    /// One answer of `site` to a browser that wants `domain`.
    async fn ask(
        self: &Rc<Self>,
        site: &Rc<super::Site>,
        domain: &Domain,
        question: Question,
    ) -> Result<FlightProfile<u16>, ProbeError> {
        let mut hello = Vec::new();
        if self.config.with(|config| config.fronting.proxy_protocol) {
            hello.extend_from_slice(&LOCAL_V2);
        }
        let with_mlkem = question == Question::Usual;
        hello.extend(browser_hello(domain, with_mlkem, &mut fill_random));
        // What follows takes as long as for a stranger.
        site.resolved(self).await;
        // Not the reactor's time, which a hello that was slow to make is older than.
        let clock = self.reactor.clock();
        let started = clock.read();
        let socket = site.connect(self).await.map_err(ProbeError::Unreachable)?;
        let round_trip = clock.read() - started;
        socket.write_all(&hello).await.map_err(ProbeError::Broken)?;
        let spoken = poll_fn(|cx| socket.poll_peek(cx, &mut [0]));
        let spoken = self.reactor.timeout(ANSWER_LIMIT, spoken).await;
        spoken
            .ok_or(ProbeError::Silent)?
            .map_err(ProbeError::Broken)?;
        let time = clock.read() - started;
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

    /// Asking the site of `domain` has gone like this.
    #[cfg(feature = "ctl")]
    fn note(&self, domain: &Domain, outcome: ProbeOutcome) {
        let now = self.reactor.now();
        self.with_model(domain, |model| model.probed = Some((outcome, now)));
    }

    /// What the log did not say last of this domain.
    fn is_news(&self, domain: &Domain, line: &str) -> bool {
        self.with_model(domain, |model| {
            let is_news = model.said != line;
            model.said = line.to_owned();
            is_news
        })
    }

    /// What is known of `domain`, which may be nothing yet.
    fn with_model<T>(&self, domain: &Domain, use_it: impl FnOnce(&mut Model) -> T) -> T {
        let mut models = self.models.borrow_mut();
        let known = models.iter().position(|model| model.domain == *domain);
        let at = known.unwrap_or_else(|| {
            // Those of other domains are of an earlier config.
            let domains = &self.config.get().domains;
            models.retain(|model| domains.contains(&model.domain));
            models.push(Model::new(domain.clone(), None));
            models.len() - 1
        });
        use_it(&mut models[at])
    }

    async fn keep(&self) {
        let content: String = {
            let models = self.models.borrow();
            let known = models.iter().filter_map(|model| {
                let learnt = model.learnt.as_ref()?;
                Some(profile_file::write_line(&model.domain, learnt))
            });
            known.collect()
        };
        self.keep_file(&self.kept_answers, content).await;
    }
}

impl Round {
    fn new(domain: Domain) -> Self {
        Self {
            domain,
            asked: Cell::default(),
            has_failed: Cell::new(false),
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
