use std::cell::{Cell, RefCell};
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::fetch::get;
use crate::config::{AddressConfig, Reach, Role};
use crate::net::{AddressWatch, Backoff, Live, Notify, Pause, Reactor, Turnstile};

/// Plain-text services that answer with the asker's address; the first usable
/// answer counts.
const SERVICES: [&str; 4] = [
    "https://api.ipify.org",
    "https://ipv4.icanhazip.com",
    "https://checkip.amazonaws.com",
    "https://ifconfig.me/ip",
];

/// An address can change under a running proxy (a router's does daily).
const CHECK_EVERY: Duration = Duration::from_secs(3600);

/// While it is unknown, and between doubts, while nothing new is found.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_secs(300);

/// How often it is looked whether our own address is another, should the kernel
/// not tell.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Between such looks, however often the kernel tells of changes.
const BREATH: Duration = Duration::from_millis(200);

/// Under which address Telegram sees this machine. Middle proxies mix it into
/// their keys, so a wrong one means no connection (`doc/protocol.md` §4).
pub(crate) struct PublicAddress {
    config: Live<AddressConfig>,
    detected: Cell<Option<IpAddr>>,
    /// Our own address of connections to the internet, when that was found out.
    egress: Cell<Option<IpAddr>>,
    /// A connection has succeeded since.
    has_reached: Cell<bool>,
    said: RefCell<String>,
    /// It was looked for at least once.
    has_looked: Cell<bool>,
    looks: Notify,
    pause: Pause,
    questions: Turnstile,
    means: Means,
}

/// How it is found out, and how soon again.
struct Means {
    /// A front reaches no Telegram: there only invites name the address.
    role: Role,
    first_retry: Duration,
    egress: Box<dyn Fn() -> Option<IpAddr>>,
    /// Blocks.
    ask: Arc<dyn Fn() -> Option<IpAddr> + Send + Sync>,
}

impl PublicAddress {
    pub(crate) fn new(config: Live<AddressConfig>, role: Role) -> Rc<Self> {
        Self::found_by(
            config,
            Means {
                role,
                first_retry: FIRST_RETRY,
                egress: Box::new(egress_address),
                ask: Arc::new(ask_services),
            },
        )
    }

    fn found_by(config: Live<AddressConfig>, means: Means) -> Rc<Self> {
        Rc::new(Self {
            config,
            detected: Cell::new(None),
            egress: Cell::new(None),
            has_reached: Cell::new(false),
            said: RefCell::default(),
            has_looked: Cell::new(false),
            looks: Notify::default(),
            pause: Pause::default(),
            questions: Turnstile::default(),
            means,
        })
    }

    /// `--external-ip`.
    fn configured(&self) -> Option<IpAddr> {
        self.config.with(|config| config.external_ip)
    }

    /// A failure looks like that of a changed address: looks again soon.
    pub(crate) fn doubt(&self) {
        if self.configured().is_none() && self.detected.get().is_some() {
            self.pause.cut_short();
        }
    }

    /// A connection to Telegram has succeeded: if nobody could be asked for the address
    /// before, somebody can now.
    pub(crate) fn reached(&self) {
        if !self.has_reached.replace(true) && self.known().is_none() {
            self.pause.cut_short();
        }
    }

    /// The address to show to people, if one is known.
    pub(crate) fn known(&self) -> Option<IpAddr> {
        self.configured().or(self.detected.get())
    }

    /// Completes once it was looked for, whatever that found.
    pub(crate) async fn first_look(&self) {
        self.looks.until(|| self.has_looked.get()).await;
    }

    /// Completes after the next look for it.
    pub(crate) async fn next_look(&self) {
        self.looks.changed().await;
    }

    /// A connection's local address as Telegram sees it. The port stays: a NAT
    /// that changes ports makes middle proxies impossible.
    pub(crate) fn translate(&self, local: SocketAddr) -> SocketAddr {
        let known = [self.configured(), self.detected.get()];
        let mut known = known.into_iter().flatten();
        let same_family = known.find(|ip| ip.is_ipv4() == local.is_ipv4());
        match same_family {
            Some(ip) if self.configured() == Some(ip) => SocketAddr::new(ip, local.port()),
            Some(ip) if Reach::of(local.ip()) != Reach::Internet && !local.ip().is_loopback() => {
                SocketAddr::new(ip, local.port())
            }
            _ => local,
        }
    }

    /// Finds out the address and says what it means: hourly, when our own
    /// address changes, and when there is a doubt.
    pub(crate) async fn run(self: Rc<Self>, reactor: &Rc<Reactor>) {
        smol::future::or(self.follow_config(), self.look_for_ever(reactor)).await;
    }

    /// Looks again whenever another address is given.
    async fn follow_config(&self) {
        let mut config = self.config.get();
        loop {
            let newer = self.config.after(&config).await;
            if newer.external_ip != config.external_ip {
                self.pause.cut_short();
            }
            config = newer;
        }
    }

    async fn look_for_ever(&self, reactor: &Rc<Reactor>) {
        let watch = AddressWatch::new(reactor)
            .inspect_err(|error| debug!("the kernel tells of no new addresses: {error}"))
            .ok();
        let first_retry = self.means.first_retry;
        let mut retries = Backoff::new(first_retry, LAST_RETRY);
        loop {
            self.pause.begin();
            let before = (self.known(), self.egress.get());
            let is_known = self.look(reactor, watch.as_ref()).await;
            self.has_looked.set(true);
            self.looks.notify();
            if before != (self.known(), self.egress.get()) {
                retries.reset();
            }
            let retry = retries.next_wait();
            let (shortest, longest) = match is_known {
                true => (retry, CHECK_EVERY),
                false => (first_retry, retry),
            };
            let pausing = self.pause.wait(reactor, shortest, longest);
            smol::future::or(pausing, self.moved(reactor, watch.as_ref())).await;
        }
    }

    /// Completes when our own address is another than at the last look.
    async fn moved(&self, reactor: &Rc<Reactor>, watch: Option<&AddressWatch>) {
        while (self.means.egress)() == self.egress.get() {
            reactor.sleep(BREATH).await;
            let told = async {
                match watch {
                    Some(watch) => watch.changed().await,
                    None => pending().await,
                }
            };
            reactor.timeout(LOOK_EVERY, told).await;
        }
    }

    /// Whether the address is known now.
    async fn look(&self, reactor: &Rc<Reactor>, watch: Option<&AddressWatch>) -> bool {
        let egress = (self.means.egress)();
        if self.egress.replace(egress) != egress {
            self.has_reached.set(false);
        }
        if let Some(ip) = self.configured() {
            self.say(format!("public address {ip}, as given"));
            return true;
        }
        let Some(local) = egress else {
            self.say("no route to the internet yet: is the network up?".to_owned());
            return false;
        };
        if Reach::of(local) == Reach::Internet {
            self.detected.set(Some(local));
            self.say(format!("public address {local}, from the interface"));
            return true;
        }
        // Where nobody answers, asking takes a minute.
        let asking = async { Some(self.ask().await) };
        let moving = async {
            self.moved(reactor, watch).await;
            None
        };
        let Some(found) = smol::future::or(asking, moving).await else {
            return false;
        };
        if found.is_some() {
            self.detected.set(found);
        }
        self.say(behind_nat(self.means.role, local, found));
        found.is_some()
    }

    /// Not before an earlier question that was given up has its end.
    async fn ask(&self) -> Option<IpAddr> {
        let ask = self.means.ask.clone();
        let asking = self.questions.run(|| Some(move || ask()));
        asking.await.flatten()
    }

    fn say(&self, line: String) {
        if *self.said.borrow() != line {
            info!("{line}");
            self.said.replace(line);
        }
    }
}

/// What a private address means. Whether a cloud's NAT or a router's is in front
/// cannot be told from inside.
fn behind_nat(role: Role, local: IpAddr, outside: Option<IpAddr>) -> String {
    let way_out = match (role, outside) {
        (Role::Front, Some(_)) => "",
        (Role::Front, None) => "; set --external-ip, so that links name it",
        (_, Some(_)) => "; direct mode works, middle mode if the NAT keeps ports",
        (_, None) => "; direct mode works, for middle mode set --external-ip",
    };
    let outside = match outside {
        Some(ip) => format!("{ip} outside"),
        None => "the address outside unknown".to_owned(),
    };
    format!(
        "behind NAT: {local} here, {outside}: a port is reached if a cloud's firewall (1:1 NAT) lets \
         it in, or a router at home forwards it{way_out}"
    )
}

/// This machine's address as the internet sees it; blocks, seconds at worst
/// a service. Never by way of `--via`, which has another address.
pub(crate) fn ask_services() -> Option<IpAddr> {
    SERVICES.iter().find_map(|service| {
        let answer = get(None, service).ok()?;
        let ip: IpAddr = std::str::from_utf8(&answer.body)
            .ok()?
            .trim()
            .parse()
            .ok()?;
        (Reach::of(ip) == Reach::Internet).then_some(ip)
    })
}

/// The local address of connections to the internet: the kernel tells without
/// a packet being sent.
pub(crate) fn egress_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Telegram's DC 2; any global address would do.
    socket
        .connect((Ipv4Addr::new(149, 154, 167, 51), 443))
        .ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests;
