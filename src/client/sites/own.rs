//! Our own TLS, which those meet who ask for a WEB host, and without `--fronting` all
//! others.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::answer_times::AnswerTimes;
use super::manners::{Ending, Manners};
use crate::wire::after_flight::JudgesAs;
use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;

/// Its handshakes have so long from accepting on, or as long as those of clients, if that
/// is longer.
pub(crate) const SHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How it answers.
#[derive(Default)]
pub(crate) struct OwnFace {
    /// By the names of hosts, of which the first is the default; `None`: not as ee clients
    /// could be answered.
    pub(crate) profiles: Vec<(Domain, Option<FlightProfile>)>,
}

/// What the sites know of it.
pub(super) struct Own {
    hosts: RefCell<Vec<Host>>,
    manners: Rc<Manners>,
}

struct Host {
    name: Domain,
    profile: Option<FlightProfile>,
    times: AnswerTimes,
}

impl Default for Own {
    fn default() -> Self {
        // What cannot be decrypted gets the alert that others send too.
        let manners = Manners {
            judges_as: JudgesAs::Rustls,
            unfinished: Some(Ending {
                after: SHAKE_LIMIT,
                ..Ending::FIN
            }),
            ..Manners::default()
        };
        Self {
            hosts: RefCell::default(),
            manners: Rc::new(manners),
        }
    }
}

impl Own {
    /// How long its answers take is to be told again.
    pub(crate) fn show(&self, face: OwnFace) {
        let hosts = face.profiles.into_iter().map(|(name, profile)| Host {
            name,
            profile,
            times: AnswerTimes::default(),
        });
        self.hosts.replace(hosts.collect());
    }

    /// An answer of the host of this name took so long.
    pub(crate) fn answered(&self, name: &Domain, time: Duration) {
        let mut hosts = self.hosts.borrow_mut();
        if let Some(host) = hosts.iter_mut().find(|host| host.name == *name) {
            host.times.add(time);
        }
    }

    /// How it answers hellos for `domain`, if that is one of its hosts, or any name is.
    pub(crate) fn profile(&self, domain: &Domain, is_only: bool) -> Option<FlightProfile> {
        self.with(domain, is_only, |host| host.profile.clone())?
    }

    /// The same of how long a stranger waits for that; inside of it `None`: not to speak
    /// of.
    pub(crate) fn answer_time(
        &self,
        domain: &Domain,
        is_only: bool,
        random: u32,
    ) -> Option<Option<Duration>> {
        self.with(domain, is_only, |host| host.times.draw(random))
    }

    /// The same of how it ends connections.
    pub(crate) fn manners(&self, domain: &Domain, is_only: bool) -> Option<Rc<Manners>> {
        self.with(domain, is_only, |_| self.manners.clone())
    }

    fn with<T>(&self, domain: &Domain, is_only: bool, look: impl FnOnce(&Host) -> T) -> Option<T> {
        let hosts = self.hosts.borrow();
        let own = hosts.iter().find(|host| host.name == *domain);
        own.or_else(|| hosts.first().filter(|_| is_only)).map(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_answers_as_its_own_key_lets_it() {
        let own = Own::default();
        let name = |name: &str| name.parse::<Domain>().unwrap();
        let (first, second, other) = (name("a.example"), name("b.example"), name("c.example"));
        assert_eq!(own.answer_time(&first, true, 0), None, "there is none");
        let shown = || OwnFace {
            profiles: vec![(first.clone(), None), (second.clone(), None)],
        };
        own.show(shown());
        own.answered(&first, Duration::from_millis(300));
        own.answered(&second, Duration::from_micros(200));
        let slow = Some(Some(Duration::from_millis(300)));
        for is_only in [true, false] {
            assert_eq!(own.answer_time(&first, is_only, 7), slow);
            assert_eq!(own.answer_time(&second, is_only, 7), Some(None));
            let of_other = slow.filter(|_| is_only);
            assert_eq!(own.answer_time(&other, is_only, 7), of_other);
            assert_eq!(own.manners(&other, is_only).is_some(), is_only);
        }
        // It may be another key.
        own.show(shown());
        assert_eq!(own.answer_time(&first, true, 7), Some(None));
        let manners = own.manners(&first, false).unwrap();
        assert_eq!(manners.unfinished().after, SHAKE_LIMIT);
    }
}
