//! The sockets that listen, and what a reload makes of them.

use std::cell::RefCell;
use std::io;
use std::mem::take;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::geteuid;

use super::core::Core;
use super::error::RunError;
use super::part::{Change, Doing, Files, Part, Phase, Report, Takeover};
use crate::client::{self, ClientContext, ListenerHandle, Rules};
use crate::config::{Config, ListenAddress, includes, may_bind};
use crate::link::{Back, BackListener};
use crate::net::{Listener, Opened, is_local_address};
use crate::web::{self, WebContext, WebListenerHandle};
use crate::wire::secret::Secret;

/// How long a socket for all addresses goes on beside those for some of them:
/// whom the kernel has begun to let in through it needs another way there and
/// back.
const GRACE: Duration = Duration::from_secs(1);

/// Ports below it are for root.
const FIRST_OF_ALL_USERS: u16 = 1024;

/// Every socket for clients, for web servers in front of us or for links.
pub(super) struct Ports {
    core: Rc<Core>,
    behind: Behind,
    open: RefCell<Vec<Open>>,
    /// Of ports that this process could not bind again: nobody is answered there.
    parked: RefCell<Vec<Rc<Listener>>>,
}

/// Who takes those who come.
pub(super) enum Behind {
    Clients(Rc<ClientContext>, Rc<WebContext>),
    Back(Rc<Back>),
}

struct Open {
    address: SocketAddr,
    taking: Taking,
}

enum Taking {
    Clients(ListenerHandle),
    Web(WebListenerHandle),
    Links(BackListener),
}

/// Sockets that have begun to listen. If nobody takes them over, those that were held
/// go on being held, and the others are closed.
struct NewPorts(Opened);

impl NewPorts {
    fn take(mut self) -> Opened {
        take(&mut self.0)
    }
}

impl Drop for NewPorts {
    fn drop(&mut self) {
        self.0.iter().for_each(|(_, listener)| listener.park());
    }
}

/// A socket that goes.
struct Leaving {
    open: Open,
    /// Others have some of its addresses.
    is_followed: bool,
}

/// What becomes of a socket that listens.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It serves this place: its own, or all addresses, which it has one of. To
    /// close it for a socket of all addresses would lose who is on the way.
    Serves(SocketAddr),
    Goes {
        /// Some of its addresses are still wanted.
        is_followed: bool,
    },
}

impl Fate {
    fn of(address: SocketAddr, wanted: &[ListenAddress]) -> Self {
        let wanted = wanted.iter().map(|place| place.address);
        let mut serving = wanted
            .clone()
            .filter(|wanted| *wanted == address || includes(*wanted, address));
        if let Some(place) = serving.next() {
            return Self::Serves(place);
        }
        let mut parts = wanted.filter(|wanted| includes(address, *wanted));
        Self::Goes {
            is_followed: parts.next().is_some(),
        }
    }
}

impl Ports {
    /// Opens what the config wants. Before root is given up.
    pub(crate) fn open(core: &Rc<Core>, behind: Behind) -> Result<Rc<Self>, RunError> {
        let ports = Self {
            core: core.clone(),
            behind,
            open: RefCell::default(),
            parked: RefCell::default(),
        };
        let config = core.config();
        if config.process.user.is_some() && geteuid().is_root() {
            ports.hold_low_ports(&config.listen_addresses());
        }
        let new = ports.begin(&config)?;
        ports.go_by(&config, new.take(), |_| true);
        Ok(Rc::new(ports))
    }

    /// Parked ones too.
    pub(crate) fn all_sockets(&self) -> Vec<Rc<Listener>> {
        let mut sockets = self.sockets();
        sockets.extend(self.parked.borrow().iter().cloned());
        sockets
    }

    fn sockets(&self) -> Vec<Rc<Listener>> {
        let open = self.open.borrow();
        open.iter().map(|open| open.socket().clone()).collect()
    }

    /// Holds all addresses of ports that this process will not be able to bind:
    /// a reload may want them where the config has one.
    fn hold_low_ports(&self, places: &[ListenAddress]) {
        let reactor = &self.core.reactor;
        let mut parked = self.parked.borrow_mut();
        let everywhere = [
            IpAddr::from(Ipv4Addr::UNSPECIFIED),
            Ipv6Addr::UNSPECIFIED.into(),
        ];
        for place in places {
            for ip in everywhere {
                let address = SocketAddr::new(ip, place.address.port());
                let is_wanted = places.iter().any(|place| place.address == address);
                let is_held = || parked.iter().any(|held| held.address() == address);
                if address.port() < FIRST_OF_ALL_USERS && !is_wanted && !is_held() {
                    // It fails where somebody listens at another of them.
                    parked.extend(Listener::parked(reactor, address).ok().map(Rc::new));
                }
            }
        }
    }

    /// A socket goes on with those whom it takes.
    fn check_kinds(&self, config: &Config) -> Result<(), String> {
        let wanted = config.listen_addresses();
        for one in self.open.borrow().iter() {
            let is_web = matches!(one.taking, Taking::Web(_));
            if let Fate::Serves(place) = Fate::of(one.address, &wanted)
                && config.web.door(place).is_some() != is_web
            {
                let (flag, address) = (config.listen_flag(place), one.address);
                let was = if is_web { "--web-listen" } else { "--listen" };
                return Err(format!(
                    "{flag} {place}: {address} is of {was} until a restart; restart, or take another \
                     port"
                ));
            }
        }
        Ok(())
    }

    fn missing(&self, wanted: Vec<ListenAddress>) -> Vec<ListenAddress> {
        let open = self.open.borrow();
        let is_open = |place: &ListenAddress| open.iter().any(|open| open.address == place.address);
        wanted.into_iter().filter(|place| !is_open(place)).collect()
    }

    /// Opens what `config` wants and is not open; after an error all is as it
    /// was.
    fn begin(&self, config: &Config) -> Result<NewPorts, RunError> {
        let missing = self.missing(config.listen_addresses());
        let parked = self.parked.borrow();
        let opened = Listener::open_all(&self.core.reactor, &missing, &self.sockets(), &parked);
        opened.map(NewPorts).map_err(|(place, error)| {
            let flag = config.listen_flag(place.address);
            RunError::Listen(flag, place.address, error)
        })
    }

    /// Begins to accept from what was opened, and lets all go by `config` and the
    /// secrets that are kept; gives what is to be closed.
    fn go_by(
        &self,
        config: &Config,
        opened: Opened,
        is_kept: impl Fn(&Secret) -> bool,
    ) -> Vec<Leaving> {
        let wanted = config.listen_addresses();
        let mut without = self.missing(wanted.clone());
        without.retain(|place| !opened.iter().any(|(other, _)| other == place));
        let (mut open, mut leaving) = (Vec::new(), Vec::new());
        for one in self.open.take() {
            match Fate::of(one.address, &wanted) {
                Fate::Serves(place) => {
                    one.serve(config, place);
                    open.push(one);
                }
                Fate::Goes { is_followed } => {
                    let parts = without.iter().map(|place| place.address);
                    let parts = parts.filter(|part| includes(one.address, *part));
                    let parts: Vec<_> = parts.collect();
                    if parts.is_empty() {
                        let open = one;
                        leaving.push(Leaving { open, is_followed });
                    } else {
                        one.stand_in(config, parts, &is_kept);
                        open.push(one);
                    }
                }
            }
        }
        self.parked.borrow_mut().retain(|parked| {
            let is_used = opened.iter().any(|(_, used)| Rc::ptr_eq(used, parked));
            !is_used
        });
        for (place, listener) in opened {
            open.extend(self.start_taking(config, place, listener));
        }
        for one in &leaving {
            if let Some(handle) = one.open.handle() {
                let parts = open
                    .iter()
                    .filter(|part| includes(one.open.address, part.address));
                handle.retire(&is_kept, parts.filter_map(Open::handle));
            }
        }
        self.open.replace(open);
        leaving
    }

    fn start_taking(
        &self,
        config: &Config,
        place: ListenAddress,
        listener: Rc<Listener>,
    ) -> Option<Open> {
        let address = place.address;
        let taking = match &self.behind {
            Behind::Back(back) => Taking::Links(back.listen(listener)),
            Behind::Clients(clients, web) => match config.web.door(address) {
                Some(door) => Taking::Web(web::listen(web, listener, door.clone())),
                None => {
                    let rules = Rules::new(&config.doors, config.doors.listener(address)?);
                    Taking::Clients(client::listen(clients, listener, rules))
                }
            },
        };
        let doing = match taking {
            Taking::Clients(_) => "listening",
            Taking::Web(_) => "taking requests of web servers",
            Taking::Links(_) => "taking links",
        };
        if place.late && !is_local_address(address.ip()) {
            info!("{doing} on {address}, which this machine does not have yet");
        } else {
            info!("{doing} on {address}");
        }
        Some(Open { address, taking })
    }

    /// Closes what is not wanted any more.
    async fn leave(&self, leaving: Vec<Leaving>) {
        let (followed, alone): (Vec<_>, Vec<_>) =
            leaving.into_iter().partition(|one| one.is_followed);
        for one in alone {
            self.close(one.open).await;
        }
        if !followed.is_empty() {
            self.core.reactor.sleep(GRACE).await;
        }
        for one in followed {
            self.close(one.open).await;
        }
    }

    async fn close(&self, open: Open) {
        let address = open.address;
        let (listener, doing, staying) = match open.taking {
            Taking::Clients(handle) => {
                let staying = "its clients stay as long as their secrets do";
                (handle.close().await, "listening", staying)
            }
            Taking::Web(handle) => {
                let staying = "what has come goes on";
                let doing = "taking requests of web servers";
                (handle.close().await, doing, staying)
            }
            Taking::Links(listener) => {
                let staying = "those that are there stay";
                (listener.close().await, "taking links", staying)
            }
        };
        info!("no longer {doing} on {address}; {staying}");
        if !may_bind(address.port()) {
            listener.park();
            self.parked.borrow_mut().push(listener);
        }
    }
}

impl Part for Ports {
    fn prepare<'a>(
        &'a self,
        change: &Change,
        _: &mut Files,
    ) -> Result<Option<Takeover<'a>>, String> {
        self.check_kinds(&change.new)?;
        let new = self.begin(&change.new).map_err(|error| {
            let is_denied = error.kind() == Some(io::ErrorKind::PermissionDenied);
            match is_denied && change.old.process.user.is_some() {
                true => format!("{error}, or restart: --user has given root up"),
                false => error.to_string(),
            }
        })?;
        Ok(Some(Box::new(move |change, report| {
            let leaving = self.go_by(&change.new, new.take(), |secret| change.keeps(secret));
            report.later.push(Box::pin(self.leave(leaving)));
        })))
    }

    /// No port is another then.
    fn take_secrets(&self, change: &Change, _: &mut Report<'_>) {
        self.go_by(&change.new, Vec::new(), |secret| change.keeps(secret));
    }

    /// The ports are free again a moment later. Web servers are answered until the end:
    /// what they hand on may be of a session that is there, each time on a connection of
    /// its own.
    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        match phase {
            Phase::Close => {
                let is_web = |open: &Open| matches!(open.taking, Taking::Web(_));
                self.open.borrow_mut().retain(is_web);
                self.parked.take();
            }
            Phase::Leave => drop(self.open.take()),
            Phase::Drain | Phase::Save | Phase::End => {}
        }
        None
    }
}

impl Open {
    fn socket(&self) -> &Rc<Listener> {
        match &self.taking {
            Taking::Clients(handle) => handle.socket(),
            Taking::Web(handle) => handle.socket(),
            Taking::Links(listener) => listener.socket(),
        }
    }

    /// At its address, `place` or a part of that.
    fn serve(&self, config: &Config, place: SocketAddr) {
        match &self.taking {
            Taking::Links(listener) => listener.set_parts(Vec::new()),
            Taking::Clients(handle) => {
                if let Some(listener) = config.doors.listener(place) {
                    handle.set_rules(Rules::new(&config.doors, listener));
                }
            }
            Taking::Web(handle) => {
                if let Some(door) = config.web.door(place) {
                    handle.set(door.clone());
                }
            }
        }
    }

    /// It has all addresses of its port, and these are wanted, which this process
    /// may not bind.
    fn stand_in(&self, config: &Config, parts: Vec<SocketAddr>, is_kept: impl Fn(&Secret) -> bool) {
        let all = self.address;
        for part in &parts {
            let flag = config.listen_flag(*part);
            warn!(
                "{flag} {part}: its part of the socket of {all}, as --user has given root up; who \
                 connects to others of that port is reset: restart to close them"
            );
        }
        match &self.taking {
            Taking::Links(listener) => listener.set_parts(parts),
            // Web servers are few: of whichever part they ask, they are answered.
            Taking::Web(_) => {}
            Taking::Clients(handle) => {
                let rules = parts.into_iter().filter_map(|part| {
                    Some((
                        part,
                        Rules::new(&config.doors, config.doors.listener(part)?),
                    ))
                });
                handle.stand_in(is_kept, rules);
            }
        }
    }

    fn handle(&self) -> Option<&ListenerHandle> {
        match &self.taking {
            Taking::Clients(handle) => Some(handle),
            Taking::Web(_) | Taking::Links(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(texts: &[&str]) -> Vec<ListenAddress> {
        let parse = |text: &&str| ListenAddress::new(text.parse().unwrap());
        texts.iter().map(parse).collect()
    }

    #[test]
    fn a_socket_stays_as_long_as_it_is_of_use() {
        let goes = |is_followed| Fate::Goes { is_followed };
        let serves = |text: &str| Fate::Serves(text.parse().unwrap());
        for (open, wanted, fate) in [
            ("127.0.0.1:1", &["127.0.0.1:1"][..], serves("127.0.0.1:1")),
            ("127.0.0.1:1", &["0.0.0.0:1"], serves("0.0.0.0:1")),
            ("127.0.0.1:1", &["[::]:1", "0.0.0.0:2"], goes(false)),
            ("127.0.0.1:1", &["127.0.0.2:1"], goes(false)),
            ("0.0.0.0:1", &["127.0.0.2:1"], goes(true)),
            ("0.0.0.0:1", &["[::1]:1", "127.0.0.1:2"], goes(false)),
            ("[::]:1", &["127.0.0.1:1", "[::1]:1"], goes(true)),
            ("[::1]:1", &["0.0.0.0:1", "[::]:1"], serves("[::]:1")),
            ("0.0.0.0:1", &[], goes(false)),
        ] {
            let found = Fate::of(open.parse().unwrap(), &places(wanted));
            assert_eq!(found, fate, "{open} {wanted:?}");
        }
    }
}
