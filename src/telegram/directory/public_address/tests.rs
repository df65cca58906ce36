use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::net::Executor;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// As a reload does.
fn give(public: &PublicAddress, external_ip: Option<IpAddr>) {
    public.config.set(AddressConfig {
        external_ip,
        ..AddressConfig::default()
    });
}

#[test]
fn a_private_address_is_explained_for_clouds_and_for_homes() {
    let (local, outside) = ("10.0.0.5".parse().unwrap(), "9.9.9.9".parse().ok());
    for (role, outside, end) in [
        (Role::Both, outside, "middle mode if the NAT keeps ports"),
        (Role::Both, None, "for middle mode set --external-ip"),
        (Role::Front, outside, "or a router at home forwards it"),
        (
            Role::Front,
            None,
            "set --external-ip, so that links name it",
        ),
    ] {
        let said = behind_nat(role, local, outside);
        let which = outside.map_or("the address outside unknown", |_| "9.9.9.9 outside");
        let start = format!("behind NAT: 10.0.0.5 here, {which}: a port is reached if");
        assert!(said.starts_with(&start), "{said}");
        assert!(said.contains("(1:1 NAT)") && said.ends_with(end), "{said}");
    }
}

#[test]
fn translation() {
    let public = PublicAddress::new(Live::default(), Role::Both);
    assert_eq!(
        public.translate(address("10.0.0.2:5")),
        address("10.0.0.2:5")
    );
    public.detected.set(Some("198.18.0.1".parse().unwrap()));
    assert_eq!(
        public.translate(address("10.0.0.2:5")),
        address("198.18.0.1:5")
    );
    assert_eq!(
        public.translate(address("127.0.0.1:5")),
        address("127.0.0.1:5")
    );
    assert_eq!(public.translate(address("8.8.8.8:5")), address("8.8.8.8:5"));
    assert_eq!(
        public.translate(address("[fd00::1]:5")),
        address("[fd00::1]:5")
    );
    give(&public, Some("9.9.9.9".parse().unwrap()));
    assert_eq!(
        public.translate(address("127.0.0.1:5")),
        address("9.9.9.9:5")
    );
    assert_eq!(public.known(), Some("9.9.9.9".parse().unwrap()));
}

/// A network in the place of this machine's.
#[derive(Default)]
struct Network {
    egress: Cell<Option<IpAddr>>,
    outside: Arc<Mutex<Option<IpAddr>>>,
    asked: Arc<AtomicUsize>,
}

impl Network {
    /// Runs `test` beside the address that is found out on it.
    fn run<F: Future<Output = ()>>(
        test: impl FnOnce(Rc<Self>, Rc<PublicAddress>, Rc<Reactor>) -> F,
    ) {
        let network = Rc::new(Self::default());
        let (seen, outside) = (network.clone(), network.outside.clone());
        let asked = network.asked.clone();
        let means = Means {
            role: Role::Both,
            first_retry: Duration::from_millis(200),
            egress: Box::new(move || seen.egress.get()),
            ask: Arc::new(move || {
                asked.fetch_add(1, Ordering::Relaxed);
                *outside.lock().unwrap()
            }),
        };
        let address = PublicAddress::found_by(Live::default(), means);
        let reactor = Reactor::virtual_time().unwrap();
        let running = address.clone().run(&reactor);
        let testing = test(network, address.clone(), reactor.clone());
        reactor.block_on(&Executor::default(), smol::future::or(testing, running));
    }

    fn is_outside(&self, ip: &str) {
        *self.outside.lock().unwrap() = Some(ip.parse().unwrap());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn until(reactor: &Rc<Reactor>, what: &str, condition: impl Fn() -> bool) -> Duration {
    let took = reactor.until(Duration::from_secs(20), condition).await;
    took.unwrap_or_else(|| panic!("never: {what}"))
}

#[test]
fn it_is_asked_for_again_soon_after_a_start_without_network() {
    Network::run(|network, address, reactor| async move {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let is = |text: &'static str| {
            let address = address.clone();
            move || address.known() == ip(text)
        };
        reactor.sleep(Duration::from_millis(100)).await;
        // Behind a NAT, with nobody to ask at first.
        network.egress.set(ip("10.0.0.2"));
        until(&reactor, "the first question", || network.asked() > 0).await;
        network.is_outside("198.51.100.7");
        until(&reactor, "it is told", is("198.51.100.7")).await;
        // Another one outside shows only in what Telegram refuses.
        network.is_outside("198.51.100.8");
        address.doubt();
        until(&reactor, "the other one", is("198.51.100.8")).await;
        let asked = network.asked();
        for _ in 0..200 {
            address.doubt();
            reactor.sleep(Duration::from_millis(5)).await;
        }
        // After 200, 400 and 800 ms.
        let more = network.asked() - asked;
        assert!((1..=3).contains(&more), "asked {more} times");
    });
}

#[test]
fn the_first_connection_that_succeeds_makes_for_a_question() {
    Network::run(|network, address, reactor| async move {
        network.egress.set(Some("10.0.0.2".parse().unwrap()));
        // The next one is 3.2 s away by then.
        until(&reactor, "some questions", || network.asked() == 5).await;
        network.is_outside("198.51.100.7");
        reactor.sleep(Duration::from_millis(200)).await;
        address.reached();
        let took = until(&reactor, "it is told", || address.known().is_some()).await;
        assert!(took < Duration::from_millis(1500), "{took:?}");
    });
}

#[test]
fn nobody_waits_for_an_answer_about_a_network_that_is_gone() {
    let looks = Cell::new(0);
    let (give_up, given_up) = std::sync::mpsc::channel::<()>();
    let given_up = Mutex::new(given_up);
    let means = Means {
        role: Role::Both,
        first_retry: Duration::from_millis(200),
        // Public from the second look on.
        egress: Box::new(move || {
            let looked = looks.replace(1);
            let ip = ["10.0.0.2", "9.9.9.9"][looked];
            ip.parse().ok()
        }),
        ask: Arc::new(move || {
            let _ = given_up
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_secs(20));
            None
        }),
    };
    let address = PublicAddress::found_by(Live::default(), means);
    // The thread of the first question stays away all the time.
    let reactor = Reactor::new().unwrap();
    let running = address.clone().run(&reactor);
    let testing = async {
        let took = until(&reactor, "it is seen", || address.known().is_some()).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
    };
    reactor.block_on(&Executor::default(), smol::future::or(testing, running));
    drop(give_up);
}
