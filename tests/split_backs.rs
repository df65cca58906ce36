//! Where a front's backs are: by name, and in a list that a reload changes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind};
use fake_telegram::harness::namespace::inside;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, free_address};
use fake_telegram::payload::echo;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{eventually, run, within};

const NAME: &str = "back.test";

fn telegram() -> FakeTelegram {
    FakeTelegram::start(Options::default()).unwrap()
}

fn front(telegram: &FakeTelegram, backs: &[SocketAddr]) -> ProxyOptions {
    let secured = Secured::default();
    ProxyOptions::front(built_binary!(), telegram, Route::Middle, &secured, backs)
}

async fn start_back(telegram: &FakeTelegram, at: SocketAddr) -> Proxy {
    let back = ProxyOptions::back(built_binary!(), telegram, &Secured::default());
    back.listening_at(at).start().await
}

async fn answers(client: &mut Client) {
    within("an echo", client.echo(&echo(1, 64))).await.unwrap();
}

async fn clients(front: &Proxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = front.client(Kind::ALL[number % 4]).connect().await.unwrap();
        answers(&mut client).await;
        clients.push(client);
    }
    clients
}

fn lines(proxy: &Proxy, words: &[&str]) -> usize {
    let log = proxy.log();
    let holds_all = |line: &&String| words.iter().all(|word| line.contains(word));
    log.iter().filter(holds_all).count()
}

/// The log comes through a pipe, a little later than what it tells.
async fn is_said_once(proxy: &Proxy, words: &[&str]) {
    eventually(&format!("{words:?} in the log"), || lines(proxy, words) > 0).await;
    assert_eq!(lines(proxy, words), 1, "{:#?}", proxy.log());
}

fn ends(front: &Proxy, reason: &str) -> u64 {
    front.counted("link_ends_total", &format!("reason=\"{reason}\""))
}

#[test]
fn a_back_with_a_name_is_found_and_found_again() {
    run(async {
        let telegram = telegram();
        let at = (Ipv4Addr::LOCALHOST, free_address().port()).into();
        let back = start_back(&telegram, at).await;
        let place = format!("localhost:{}", at.port());
        let front = front(&telegram, &[]).set("--link", &place).start().await;
        front.linked(1).await;
        drop(clients(&front, 4).await);
        let told = format!("linked to the back {place} (127.0.0.1) (plain)");
        is_said_once(&front, &[&told]).await;
        let options = back.stop().await;
        eventually("the link's end", || front.counted("links", "") == 0).await;
        let _back = options.start().await;
        front.linked(1).await;
        drop(clients(&front, 1).await);
        front.cleared().await;
    });
}

#[test]
fn a_name_that_is_not_found_is_said_once_and_disturbs_nobody() {
    run(async {
        let telegram = telegram();
        let back = start_back(&telegram, free_address()).await;
        let front = front(&telegram, &[back.address()])
            .add("--link", "nobody.invalid:443")
            .start()
            .await;
        front.linked(1).await;
        let mut client = front.served_client(2).await;
        eventually("lookups that fail", || ends(&front, "unresolved") >= 2).await;
        answers(&mut client).await;
        let said = [
            "no link to nobody.invalid:443: the name is not found",
            "trying on",
        ];
        is_said_once(&front, &said).await;
        drop(client);
        front.cleared().await;
    });
}

#[test]
fn check_and_the_config_say_what_is_wrong_with_a_back() {
    run(async {
        let telegram = telegram();
        let at = (Ipv4Addr::LOCALHOST, free_address().port()).into();
        let back = start_back(&telegram, at).await;
        let good = format!("localhost:{}", at.port());
        let options = front(&telegram, &[]).set("--link", &good).in_config_file();
        let mut front = options.add("--link", "nobody.invalid:443").start().await;
        front.linked(1).await;
        let file = front.directory().join("proxy.conf");
        let output = front.command(&["check", "--config", file.to_str().unwrap()]);
        let said = String::from_utf8(output.stdout).unwrap();
        let verdict = |back: &str| {
            let line = said.lines().find(|line| line.contains(back));
            line.unwrap_or_else(|| panic!("{said}")).to_owned()
        };
        let reached = format!("127.0.0.1:{} in ", at.port());
        assert!(verdict(&good).contains(&reached), "{said}");
        let lost = verdict("nobody.invalid:443");
        assert!(lost.contains("the name is not found"), "{lost}");
        // A reload with a slip changes nothing and names the line.
        for slip in ["nobody:99999", "192.0.2.300:443", "::1:443", "nowhere"] {
            front.reload(|flags| {
                flags.retain(|flag| flag.0 != "--link");
                flags.insert(0, ("--link", slip.to_owned()));
            });
            let place = format!("{}:1: --link", file.display());
            eventually("a word about the slip", || {
                lines(&front, &["the config was not reloaded", &place, slip]) == 1
            })
            .await;
        }
        drop(clients(&front, 1).await);
        front.cleared().await;
        assert_eq!(back.counted("links", ""), 1);
    });
}

#[test]
fn a_reload_changes_where_a_back_takes_links_and_drops_nobody() {
    run(async {
        let telegram = telegram();
        let back = ProxyOptions::back(built_binary!(), &telegram, &Secured::default());
        let mut back = back.in_config_file().start().await;
        let (first, second) = (back.address(), free_address());
        let old = front(&telegram, &[first]).start().await;
        old.linked(1).await;
        let mut clients = clients(&old, 2).await;

        back.reload(|flags| flags.push(("--link-listen", second.to_string())));
        let new = front(&telegram, &[second]).start().await;
        new.linked(1).await;
        drop(self::clients(&new, 2).await);

        back.reload(|flags| flags.retain(|flag| flag.1 != first.to_string()));
        is_said_once(&back, &["no longer taking links on", &first.to_string()]).await;
        let is_closed = || TcpStream::connect(first).is_err();
        eventually("the listener's end", is_closed).await;
        for client in &mut clients {
            answers(client).await;
        }
        drop(self::clients(&new, 2).await);
        assert_eq!(ends(&old, "broken") + ends(&new, "broken"), 0);

        // A place that is taken is named; what is there stays.
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        back.reload(|flags| flags.push(("--link-listen", taken.clone())));
        is_said_once(&back, &["error", &taken]).await;
        drop(self::clients(&new, 2).await);
        assert_eq!(lines(&back, &["restart for it"]), 0);
    });
}

/// Two backs, and a front of the first that a reload can change.
async fn two_backs() -> (FakeTelegram, Proxy, Proxy, Proxy) {
    let telegram = telegram();
    let old = start_back(&telegram, free_address()).await;
    let new = start_back(&telegram, free_address()).await;
    let options = front(&telegram, &[old.address()]).in_config_file();
    let front = options.start().await;
    front.linked(1).await;
    (telegram, old, new, front)
}

#[test]
fn a_reload_adds_and_removes_backs_and_drops_nobody() {
    run(async {
        let (telegram, old, new, mut front) = two_backs().await;
        let mut first = clients(&front, 4).await;
        // One more: it gets the next clients.
        front.reload(|flags| flags.push(("--link", new.address().to_string())));
        front.linked(2).await;
        let mut second = clients(&front, 4).await;
        assert_eq!(new.counted("link_streams", ""), 4);
        // More links to each.
        front.reload(|flags| flags.push(("--link-connections", "2".to_owned())));
        front.linked(4).await;
        front.reload(|flags| flags.retain(|flag| flag.0 != "--link-connections"));
        front.linked(2).await;
        // The old one goes: its clients stay, new ones are with the other.
        let gone = old.address().to_string();
        front.reload(|flags| flags.retain(|flag| flag.1 != gone));
        let told = format!("a link to {gone} gets no more clients; 4 stay until they leave");
        is_said_once(&front, &[&told]).await;
        second.extend(clients(&front, 2).await);
        for client in first.iter_mut().chain(&mut second) {
            answers(client).await;
        }
        let streams = |back: &Proxy| back.counted("link_streams", "");
        assert_eq!((streams(&old), streams(&new)), (4, 6));
        // When they have left, so has the link, and it is not dialled again.
        drop(first);
        front.linked(1).await;
        eventually("the link's end", || old.counted("links", "") == 0).await;
        assert_eq!(ends(&front, "shutdown"), 3);
        for client in &mut second {
            answers(client).await;
        }
        drop(second);
        front.cleared().await;
        new.cleared().await;
        assert!(!front.log_contains("--link changed: restart"));
        telegram.assert_clean();
    });
}

#[test]
fn a_retired_back_that_dies_is_not_dialled_again() {
    run(async {
        let (_telegram, old, new, mut front) = two_backs().await;
        let first = clients(&front, 2).await;
        front.reload(|flags| {
            flags.retain(|flag| flag.0 != "--link");
            flags.push(("--link", new.address().to_string()));
        });
        front.linked(2).await;
        let second = clients(&front, 2).await;
        let options = old.stop().await;
        for mut client in first {
            within("a close", client.until_closed()).await.unwrap();
        }
        let old = options.start().await;
        for mut client in second {
            assert_eq!(client.fate_of(&echo(2, 64)).await, Fate::Answered);
        }
        front.cleared().await;
        assert_eq!(front.counted("links", ""), 1);
        assert_eq!(old.counted("links", ""), 0);
    });
}

/// A back behind dynamic DNS moves; while its name leads to a public address, a
/// link without TLS is not made.
#[test]
fn a_name_is_looked_up_for_every_dial() {
    inside("a_name_is_looked_up_for_every_dial", || {
        run(async {
            let telegram = telegram();
            let port = free_address().port();
            let [here, there] = [[127, 3, 0, 1], [127, 3, 0, 2]].map(|ip| (ip, port).into());
            let options = front(&telegram, &[]).set("--link", format!("{NAME}:{port}"));
            let hosts = options.directory().join("hosts");
            let name_leads_to = |ips: &[&str]| {
                let lines = ips.iter().map(|ip| format!("{ip} {NAME}\n"));
                fs::write(&hosts, lines.collect::<String>()).unwrap();
            };
            name_leads_to(&["198.51.100.1"]);
            let front = options.hosts_file(hosts.clone()).start().await;
            eventually("a refusal", || ends(&front, "plain_on_public") > 1).await;
            let said = format!("no link to {NAME}:{port} (198.51.100.1): without TLS");
            is_said_once(&front, &[&said, "trying on"]).await;
            assert_eq!(ends(&front, "unreachable"), 0);
            let back = start_back(&telegram, here).await;
            // Some of its addresses are of no use.
            name_leads_to(&["198.51.100.1", "::1", "127.3.0.9", "127.3.0.1"]);
            front.linked(1).await;
            drop(clients(&front, 4).await);
            drop(back);
            eventually("the link's end", || front.counted("links", "") == 0).await;
            let _moved = start_back(&telegram, there).await;
            name_leads_to(&["127.3.0.2"]);
            front.linked(1).await;
            drop(clients(&front, 4).await);
            is_said_once(&front, &["linked to the back", "(127.3.0.2)"]).await;
            front.cleared().await;
            telegram.assert_clean();
        });
    });
}

/// Passes on what comes until `done`.
async fn relay_until(near: smol::net::TcpStream, to: SocketAddr, done: impl Future<Output = ()>) {
    let far = smol::net::TcpStream::connect(to).await.unwrap();
    let there = smol::io::copy(near.clone(), far.clone());
    let back = smol::io::copy(far, near);
    let passing = async {
        let _ = smol::future::try_zip(there, back).await;
    };
    smol::future::or(passing, done).await;
}

/// As where something on the way cuts each link as soon as it knows what that is.
#[test]
fn a_link_that_never_lasts_is_dialled_less_and_less_often_and_not_logged_each_time() {
    run(async {
        let telegram = telegram();
        let back = start_back(&telegram, free_address()).await;
        let relay = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = front(&telegram, &[relay.local_addr().unwrap()]);
        let front = front.start().await;
        let mut cut = Instant::now();
        for round in 0..6 {
            let (near, _) = within("the next dial", relay.accept()).await.unwrap();
            let least = Duration::from_millis(50 << round) / 2;
            assert!(round == 0 || cut.elapsed() >= least, "round {round}");
            let linked = async {
                front.linked(1).await;
                cut = Instant::now();
            };
            relay_until(near, back.address(), linked).await;
            front.linked(0).await;
        }
        assert_eq!(ends(&front, "closed") + ends(&front, "broken"), 6);
        is_said_once(&front, &["warn", "is lost", "logged no more"]).await;
        assert_eq!(lines(&front, &["warn", "is lost"]), 3, "{:#?}", front.log());
        assert_eq!(lines(&front, &["info", "linked to the back"]), 3);
    });
}
