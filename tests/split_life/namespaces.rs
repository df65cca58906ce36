//! Front and back in two network namespaces, and what happens when the cable
//! between them is pulled, cut or bad.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind};
use fake_telegram::harness::namespace::{LINK_HERE, Namespace, inside, shell};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{before, run, within};

/// The silence that both sides bear, and time to notice.
const NOTICED: Duration = Duration::from_secs(25);

struct Cabled {
    namespace: Namespace,
    telegram: FakeTelegram,
    back: Proxy,
    front: Proxy,
}

impl Cabled {
    async fn start(route: Route) -> Self {
        let namespace = Namespace::new();
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let secured = Secured::default();
        let address = SocketAddr::new(LINK_HERE.into(), 8443);
        let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
        let back = back.listening_at(address).start().await;
        let front = ProxyOptions::front(built_binary!(), &telegram, route, &secured, &[address]);
        let front = namespace.hold(front).set("--link-wait", 1).start().await;
        front.linked(1).await;
        Self {
            namespace,
            telegram,
            back,
            front,
        }
    }

    async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for kind in Kind::ALL {
            let mut client = self.front.client(kind).connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            let downloading = client.download(1 << 20, 100 << 10);
            within("a download", downloading).await.unwrap();
            clients.push(client);
        }
        clients
    }

    /// Long before the link counts as lost, new clients wait for another one, a
    /// second here, and not for an answer on it.
    async fn newcomers_are_not_put_on_it(&self) {
        let start = Instant::now();
        loop {
            let mut client = self.front.client(Kind::Padded).connect().await.unwrap();
            let fate = before(Duration::from_secs(3), client.fate_of(&echo(1, 64))).await;
            assert_eq!(self.front.counted("links", ""), 1, "it is lost by now");
            if fate.is_some() {
                let after = start.elapsed().as_secs_f32();
                println!("{after:.1} s after the cut a new client is closed after its wait");
                assert_eq!(fate, Some(Fate::Closed));
                return;
            }
        }
    }

    /// With the cable cut: clients in the middle of something are closed in
    /// time, new ones too; mended, all is as before.
    async fn survives(self, cut: impl FnOnce(&Namespace), mend: impl FnOnce(&Namespace)) {
        let mut clients = self.clients().await;
        cut(&self.namespace);
        for client in &mut clients {
            let request = Command::SendMe {
                total: 1 << 20,
                size: 1 << 20,
            };
            client.send(&request.payload()).await.unwrap();
        }
        let closing = async {
            for mut client in clients {
                client.until_closed().await.unwrap();
            }
        };
        let closing = before(NOTICED, closing);
        let (closed, ()) = smol::future::zip(closing, self.newcomers_are_not_put_on_it()).await;
        assert!(closed.is_some(), "silence");
        let mut client = self.front.client(Kind::Padded).connect().await.unwrap();
        assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
        self.front.cleared().await;
        self.back.cleared().await;
        assert_eq!(self.back.counted("links", ""), 0);
        mend(&self.namespace);
        self.front.linked(1).await;
        drop(self.clients().await);
        self.front.cleared().await;
        self.back.cleared().await;
        self.telegram.assert_clean();
    }
}

#[test]
fn a_pulled_cable() {
    inside("namespaces::a_pulled_cable", || {
        run(async {
            let cabled = Cabled::start(Route::Middle).await;
            let cut = |_: &Namespace| shell("ip link set cable down");
            cabled
                .survives(cut, |_| shell("ip link set cable up"))
                .await;
        });
    });
}

#[test]
#[ignore = "long, as a_pulled_cable: make test-release"]
fn a_firewall_that_drops_everything_silently() {
    inside(
        "namespaces::a_firewall_that_drops_everything_silently",
        || {
            run(async {
                let cabled = Cabled::start(Route::Direct).await;
                let cut = |namespace: &Namespace| {
                    namespace.run(
                        "nft add table inet cut
                     nft add chain inet cut in '{ type filter hook input priority 0; }'
                     nft add chain inet cut out '{ type filter hook output priority 0; }'
                     nft add rule inet cut in iifname cable drop
                     nft add rule inet cut out oifname cable drop",
                    );
                };
                let mend = |namespace: &Namespace| namespace.run("nft delete table inet cut");
                cabled.survives(cut, mend).await;
            });
        },
    );
}

#[test]
fn a_bad_cable_that_loses_packets() {
    inside("namespaces::a_bad_cable_that_loses_packets", || {
        run(async {
            for route in Route::ALL {
                let cabled = Cabled::start(route).await;
                cabled.namespace.run(
                    "nft add table inet bad
                     nft add chain inet bad in '{ type filter hook input priority 0; }'
                     nft add chain inet bad out '{ type filter hook output priority 0; }'
                     nft add rule inet bad in iifname cable numgen random mod 100 == 0 drop
                     nft add rule inet bad out oifname cable numgen random mod 100 == 0 drop",
                );
                let mut clients = cabled.clients().await;
                let executor = smol::LocalExecutor::new();
                let tasks: Vec<_> = clients
                    .drain(..)
                    .map(|mut client| {
                        executor.spawn(async move {
                            for round in 0..20 {
                                let size = 64 << (round % 12);
                                let fate = client.fate_of(&echo(round, size)).await;
                                assert_eq!(fate, Fate::Answered);
                            }
                            client.download(2 << 20, 256 << 10).await.unwrap();
                        })
                    })
                    .collect();
                executor
                    .run(async {
                        for task in tasks {
                            within("a client on a bad cable", task).await;
                        }
                    })
                    .await;
                cabled.front.cleared().await;
                cabled.back.cleared().await;
                cabled.telegram.assert_clean();
            }
        });
    });
}
