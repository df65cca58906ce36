//! A reload takes over all of a config or nothing, loses nobody, and says what it
//! did.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind};
use fake_telegram::crypto::hex;
use fake_telegram::harness::namespace::{inside, shell};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, free_address, start};
use fake_telegram::payload::echo;
use fake_telegram::secret::{self, DOMAIN, KEY};
use fake_telegram::telegram::{FakeTelegram, Flag, Options};
use fake_telegram::wait::{eventually, patience, run, within};

const GUEST: [u8; 16] = [0x5a; 16];

fn in_file(options: ProxyOptions) -> ProxyOptions {
    options.in_config_file()
}

fn listen_at(flags: &mut [Flag], value: &str) {
    let listen = flags.iter_mut().find(|flag| flag.0 == "--listen");
    listen.unwrap().1 = value.to_owned();
}

/// Changes the flags and waits until they are taken over; what the log said then.
async fn reloaded(proxy: &mut Proxy, change: impl FnOnce(&mut Vec<Flag>)) -> Vec<String> {
    let lines = proxy.log().len();
    proxy.reload(change);
    eventually("a reload", || said(proxy, lines, "info reloaded: ")).await;
    proxy.log().split_off(lines)
}

/// Changes the flags, which must be refused; the line that says so.
async fn refused(proxy: &mut Proxy, change: impl FnOnce(&mut Vec<Flag>)) -> String {
    let failures = || proxy.counted("config_reload_failures_total", "");
    let (lines, before) = (proxy.log().len(), failures());
    proxy.reload(change);
    eventually("a refusal", || {
        said(proxy, lines, "the config was not reloaded: ")
    })
    .await;
    assert_eq!(
        proxy.counted("config_reload_failures_total", ""),
        before + 1
    );
    let lines = proxy.log().split_off(lines);
    assert!(
        !lines.iter().any(|line| line.contains("info reloaded: ")),
        "{lines:#?}"
    );
    let line = lines.iter().find(|line| line.contains("was not reloaded"));
    line.unwrap().clone()
}

fn said(proxy: &Proxy, from: usize, text: &str) -> bool {
    proxy.log()[from..].iter().any(|line| line.contains(text))
}

fn line(lines: &[String], text: &str) -> String {
    let line = lines.iter().find(|line| line.contains(text));
    line.unwrap_or_else(|| panic!("{text}: {lines:#?}")).clone()
}

async fn served(address: SocketAddr, key: [u8; 16]) -> Client {
    let options = Kind::Padded.options(address).key(key);
    options.served().await.expect("it is served")
}

async fn turned_away(address: SocketAddr, key: [u8; 16]) {
    let options = Kind::Padded.options(address).key(key);
    let mut client = options.connect().await.unwrap();
    assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
}

fn brisk(options: ProxyOptions) -> ProxyOptions {
    let options = options.set("--reset", "on-handshake-error");
    options.set("--flood-limit", "off").in_config_file()
}

/// Threads that connect all the time: clients that are served, and as many again
/// that only come and go.
struct Crowd {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
    served: Arc<AtomicUsize>,
}

impl Crowd {
    fn gather(addresses: &[SocketAddr]) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut threads = Vec::new();
        for address in addresses.iter().copied() {
            let (stop_visits, served) = (stop.clone(), served.clone());
            let stop = stop.clone();
            let visiting = async move { visit(address, &stop_visits, &served).await };
            threads.push(std::thread::spawn(move || smol::block_on(visiting)));
            threads.push(std::thread::spawn(move || knock(address, &stop)));
        }
        Self {
            threads,
            stop,
            served,
        }
    }

    async fn grows(&self) {
        let before = self.served.load(Ordering::Relaxed);
        let grown = || self.served.load(Ordering::Relaxed) > before + 20;
        eventually("clients that are served", grown).await;
    }

    /// What went wrong.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads.flat_map(|thread| thread.join().unwrap()).collect()
    }
}

async fn visit(address: SocketAddr, stop: &AtomicBool, served: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) && failures.len() < 10 {
        let outcome = async {
            let mut client = Kind::Padded.options(address).connect().await?;
            client.echo(&echo(1, 64)).await
        };
        let outcome = smol::future::or(async { Some(outcome.await) }, async {
            smol::Timer::after(patience()).await;
            None
        });
        match outcome.await {
            Some(Ok(_)) => drop(served.fetch_add(1, Ordering::Relaxed)),
            outcome => failures.push(format!("{address}: {outcome:?}")),
        }
    }
    failures
}

fn knock(address: SocketAddr, stop: &AtomicBool) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) && failures.len() < 10 {
        if let Err(error) = TcpStream::connect(address) {
            failures.push(format!("{address}: {error}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    failures
}

#[test]
fn nobody_is_refused_while_one_address_becomes_all_and_one_again() {
    run(async {
        let (telegram, mut proxy) = start(built_binary!(), Route::Middle, brisk).await;
        let port = proxy.address().port();
        let one = proxy.address();
        let mut kept = served(one, KEY).await;
        let crowd = Crowd::gather(&[one, one]);
        let all = format!("0.0.0.0:{port}");
        let everywhere = format!(":{port}");
        let one_text = one.to_string();
        let mut round = 0;
        for listener in [
            &all,
            &one_text,
            &everywhere,
            &all,
            &one_text,
            &all,
            &one_text,
        ] {
            let lines = reloaded(&mut proxy, |flags| listen_at(flags, listener)).await;
            assert!(line(&lines, "info reloaded: ").ends_with("reloaded: --listen"));
            round += 1;
            let elsewhere = SocketAddr::from(([127, 0, 0, 9], port));
            match *listener == one_text {
                true => {
                    let closed = || TcpStream::connect(elsewhere).is_err();
                    eventually("the end of the others", closed).await;
                }
                false => drop(served(elsewhere, KEY).await),
            }
            crowd.grows().await;
            assert_eq!(proxy.counted("config_reloads_total", ""), round);
        }
        let failures = crowd.end();
        assert!(failures.is_empty(), "{failures:#?}");
        assert_eq!(proxy.counted("config_reload_failures_total", ""), 0);
        within("an echo", kept.echo(&echo(2, 64))).await.unwrap();

        // Sockets of other processes share nothing.
        let second = ProxyOptions::bare(built_binary!());
        let second = second.add("--listen", one).add("--secret", hex(&KEY));
        let mut second = second.spawn();
        assert_eq!(second.exit_status().await.code(), Some(69));
        eventually("a word", || {
            second.log_contains("another program has that port")
        })
        .await;
        telegram.assert_clean();
    });
}

#[test]
fn each_address_goes_by_its_own_rules_once_all_were_one() {
    run(async {
        let (_telegram, mut proxy) = start(built_binary!(), Route::Middle, brisk).await;
        let port = proxy.address().port();
        let (first, second) = (proxy.address(), SocketAddr::from(([127, 0, 0, 9], port)));
        reloaded(&mut proxy, |flags| {
            listen_at(flags, &format!("0.0.0.0:{port}"))
        })
        .await;
        served(second, KEY).await;
        reloaded(&mut proxy, |flags| {
            listen_at(flags, &first.to_string());
            let own = format!("{second},name=other,secret={}", hex(&GUEST));
            flags.push(("--listen", own));
        })
        .await;
        served(first, KEY).await;
        served(second, GUEST).await;
        turned_away(first, GUEST).await;
        turned_away(second, KEY).await;
        let all = format!("0.0.0.0:{port}");
        reloaded(&mut proxy, |flags| {
            flags.retain(|flag| flag.0 != "--listen");
            flags.push(("--listen", all));
        })
        .await;
        for address in [first, second, SocketAddr::from(([127, 0, 0, 8], port))] {
            served(address, KEY).await;
            turned_away(address, GUEST).await;
        }
    });
}

#[test]
fn what_cannot_be_bound_changes_nothing() {
    run(async {
        let change = |o: ProxyOptions| brisk(o.add("--secret", format!("guest={}", hex(&GUEST))));
        let (telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
        let (address, good) = (proxy.address(), free_address());
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap();
        let mut guest = served(address, GUEST).await;
        let new = [0x77; 16];
        let change = |flags: &mut Vec<Flag>| {
            flags.retain(|flag| flag.0 != "--listen" && !flag.1.starts_with("guest="));
            flags.push(("--secret", format!("new={}", hex(&new))));
            flags.push(("--listen", format!("0.0.0.0:{}", address.port())));
            flags.push(("--listen", good.to_string()));
            flags.push(("--listen", taken.to_string()));
        };
        let said = refused(&mut proxy, change).await;
        let named = format!("--listen {taken}: Address already in use");
        assert!(
            said.contains(&named) && said.contains("stop it or choose another"),
            "{said}"
        );
        assert_eq!(proxy.counted("config_reloads_total", ""), 0);
        assert!(TcpStream::connect(good).is_err());
        let elsewhere = SocketAddr::from(([127, 0, 0, 9], address.port()));
        assert!(TcpStream::connect(elsewhere).is_err());
        within("an echo", guest.echo(&echo(2, 64))).await.unwrap();
        served(address, GUEST).await;
        turned_away(address, new).await;
        // An address of somebody else.
        let said = refused(&mut proxy, |flags| {
            flags.retain(|flag| flag.0 != "--listen");
            flags.push(("--listen", "192.0.2.1:1234".to_owned()));
        })
        .await;
        assert!(
            said.contains("192.0.2.1:1234") && said.contains(",late"),
            "{said}"
        );
        served(address, GUEST).await;
        // And all at once, when it can be had.
        drop(holder);
        reloaded(&mut proxy, |flags| {
            flags.retain(|flag| flag.0 != "--listen");
            for address in [address, good, taken] {
                flags.push(("--listen", address.to_string()));
            }
        })
        .await;
        within("the guest's end", guest.until_closed())
            .await
            .unwrap();
        for address in [address, good, taken] {
            served(address, new).await;
        }
        telegram.assert_clean();
    });
}

#[test]
fn a_taken_port_and_a_bad_table_change_nothing_together_or_alone() {
    run(async {
        let change = |o: ProxyOptions| {
            let banned = o.directory().join("banned.txt");
            fs::write(&banned, "192.0.2.1\n").unwrap();
            brisk(o)
                .add("--table", format!("banned={}", banned.display()))
                .add("--policy", "not-in-table:client-ipv4:banned")
        };
        let (telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
        let (address, good) = (proxy.address(), free_address());
        let banned = proxy.directory().join("banned.txt");
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap();
        let unchanged = async || {
            served(address, KEY).await;
            turned_away(address, GUEST).await;
            assert!(TcpStream::connect(good).is_err());
        };

        fs::write(&banned, "127.0.0.1\nno address\n").unwrap();
        let said = refused(&mut proxy, |flags| {
            flags.retain(|flag| flag.0 != "--listen");
            flags.push(("--secret", format!("guest={}", hex(&GUEST))));
            flags.push(("--listen", good.to_string()));
            flags.push(("--listen", taken.to_string()));
        })
        .await;
        assert!(said.contains("no address"), "{said}");
        unchanged().await;

        // It would keep everybody here out.
        fs::write(&banned, "127.0.0.1\n").unwrap();
        let said = refused(&mut proxy, |_| {}).await;
        assert!(said.contains(&format!("--listen {taken}: ")), "{said}");
        unchanged().await;

        drop(holder);
        fs::write(&banned, "127.0.0.1\nno address\n").unwrap();
        let said = refused(&mut proxy, |_| {}).await;
        assert!(said.contains("no address"), "{said}");
        unchanged().await;
        assert!(TcpStream::connect(taken).is_err());

        fs::write(&banned, "192.0.2.2\n").unwrap();
        let lines = reloaded(&mut proxy, |_| {}).await;
        let told = line(&lines, "info reloaded: ");
        let wanted = "reloaded: --listen, --secret; table banned: 1 entry more, 1 fewer";
        assert!(told.ends_with(wanted), "{told}");
        for address in [good, taken] {
            served(address, GUEST).await;
        }
        telegram.assert_clean();
    });
}

#[test]
fn a_back_takes_links_as_before_if_a_place_cannot_be_had() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let secured = Secured::default();
        let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
        let mut back = back.in_config_file().start().await;
        let first = back.address();
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap().to_string();
        let said = refused(&mut back, |flags| {
            let listen = flags.iter_mut().find(|flag| flag.0 == "--link-listen");
            listen.unwrap().1 = taken.clone();
        })
        .await;
        assert!(said.contains(&format!("--link-listen {taken}: ")), "{said}");
        let front = ProxyOptions::front(
            built_binary!(),
            &telegram,
            Route::Middle,
            &secured,
            &[first],
        );
        let front = front.start().await;
        front.linked(1).await;
        served(front.address(), KEY).await;

        // From one address to all, and back, while fronts come and go.
        let file = back.directory().join("link.psk");
        fs::write(file, "another key of more than 32 characters").unwrap();
        let lines = reloaded(&mut back, |flags| {
            let listen = flags.iter_mut().find(|flag| flag.0 == "--link-listen");
            listen.unwrap().1 = format!("0.0.0.0:{}", first.port());
            flags.push(("--link-plain-on-public", "yes".to_owned()));
        })
        .await;
        let told = line(&lines, "info reloaded: ");
        let wanted = "--link-listen, --link-plain-on-public; key of --link-psk: new";
        assert!(told.ends_with(wanted), "{told}");
        served(front.address(), KEY).await;
        let lines = reloaded(&mut back, |flags| {
            let listen = flags.iter_mut().find(|flag| flag.0 == "--link-listen");
            listen.unwrap().1 = first.to_string();
        })
        .await;
        assert!(line(&lines, "info reloaded: ").ends_with("reloaded: --link-listen"));
        eventually("the end of all addresses", || {
            back.log_contains("no longer taking links on 0.0.0.0")
        })
        .await;
        served(front.address(), KEY).await;
    });
}

#[cfg(feature = "tls")]
#[test]
fn certificates_are_taken_over_with_all_else_or_not_at_all() {
    use fake_telegram::harness::{certify, certs};

    run(async {
        let files = certify(built_binary!(), ["home"]);
        let secured = Secured::by_certificates(&files, "home");
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
        let back = back.start().await;
        let address = [back.address()];
        let front = ProxyOptions::front(
            built_binary!(),
            &telegram,
            Route::Middle,
            &secured,
            &address,
        );
        let mut front = brisk(front).start().await;
        front.linked(1).await;
        let guest = |flags: &mut Vec<Flag>| {
            flags.push(("--secret", format!("guest={}", hex(&GUEST))));
        };
        let (home, aside) = (files.path().join("home.pem"), files.path().join("home.old"));
        fs::rename(&home, &aside).unwrap();
        fs::write(&home, "no certificate").unwrap();
        let said = refused(&mut front, guest).await;
        assert!(said.contains("home.pem: no certificate in it"), "{said}");
        turned_away(front.address(), GUEST).await;

        fs::remove_file(&home).unwrap();
        for file in ["home.key", "link.home.conf"] {
            fs::remove_file(files.path().join(file)).unwrap();
        }
        let words = ["add-node", "home", "--days", "90"];
        assert_eq!(certs(built_binary!(), &words, files.path()).status, 0);
        let lines = reloaded(&mut front, |_| {}).await;
        let told = line(&lines, "info reloaded: ");
        assert!(
            told.contains("reloaded: --secret; certificates of the link: new, until 20"),
            "{told}"
        );
        let lines = reloaded(&mut front, |flags| {
            flags.push(("--link-sni", "a.example".into()))
        })
        .await;
        assert!(line(&lines, "info reloaded: ").ends_with("reloaded: --link-sni"));
        served(front.address(), GUEST).await;
    });
}

#[test]
fn what_changed_is_named_and_what_needs_a_restart_until_it_comes() {
    run(async {
        let change = |o: ProxyOptions| {
            let banned = o.directory().join("banned.txt");
            fs::write(&banned, "192.0.2.1\n192.0.2.2\n").unwrap();
            brisk(o).add("--table", format!("banned={}", banned.display()))
        };
        let (_telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
        let banned = proxy.directory().join("banned.txt");
        fs::write(&banned, "192.0.2.2\n192.0.2.3\n192.0.2.4\n192.0.2.5\n").unwrap();
        let lines = reloaded(&mut proxy, |flags| {
            flags.push(("--secret", format!("guest={}", hex(&GUEST))));
            flags.push(("--buffers", "9M".to_owned()));
        })
        .await;
        let told = line(&lines, "info reloaded: ");
        let wanted = "reloaded: --secret; table banned: 3 entries more, 1 fewer";
        assert!(told.ends_with(wanted), "{told}");
        line(&lines, "restart for --buffers to take effect");

        let aside = banned.with_extension("aside");
        fs::rename(&banned, &aside).unwrap();
        let said = refused(&mut proxy, |_| {}).await;
        assert!(said.contains("banned.txt is gone: put it back"), "{said}");
        fs::rename(&aside, &banned).unwrap();

        let lines = reloaded(&mut proxy, |_| {}).await;
        line(&lines, "reloaded: no flag, table or certificate changed");
        line(&lines, "restart for --buffers to take effect");
        let lines = reloaded(&mut proxy, |flags| {
            flags.retain(|flag| flag.0 != "--buffers");
            flags.push(("--user", "root".to_owned()));
        })
        .await;
        line(&lines, "restart for --user to take effect");
        let lines = reloaded(&mut proxy, |flags| flags.retain(|flag| flag.0 != "--user")).await;
        assert!(
            !lines.iter().any(|line| line.contains("restart")),
            "{lines:#?}"
        );

        let said = refused(&mut proxy, |flags| {
            flags.retain(|flag| {
                matches!(flag.0, "--metrics" | "--data-dir" | "--log-level") || flag.0 == "--listen"
            });
            flags.push(("--role", "front".to_owned()));
            flags.push(("--link", "192.0.2.1:1".to_owned()));
            let psk = proxy_file(&banned);
            flags.push(("--link-psk", psk));
            flags.push(("--link-plain-on-public", "yes".to_owned()));
        })
        .await;
        assert!(said.contains("--role is another one; restart"), "{said}");
        served(proxy.address(), KEY).await;
    });
}

/// A file beside `other` that holds a key.
fn proxy_file(other: &std::path::Path) -> String {
    let file = other.with_file_name("link.psk");
    fs::write(&file, "x".repeat(40)).unwrap();
    file.display().to_string()
}

#[test]
fn a_new_domain_says_what_becomes_of_old_links() {
    run(async {
        let (_telegram, mut proxy) = start(built_binary!(), Route::Direct, brisk).await;
        let fake_tls = || proxy.client(Kind::FakeTls);
        let (old, new) = (
            fake_tls(),
            fake_tls().hello(|hello| hello.domain = Some("b.example".to_owned())),
        );
        let serves = async |options: &fake_telegram::client::Options| match options.connect().await
        {
            Ok(mut client) => client.fate_of(&echo(1, 64)).await == Fate::Answered,
            Err(_) => false,
        };
        assert!(serves(&old).await && !serves(&new).await);
        let lines = reloaded(&mut proxy, |flags| {
            let domain = flags.iter_mut().find(|flag| flag.0 == "--tls-domain");
            domain.unwrap().1 = "b.example".to_owned();
        })
        .await;
        let told = line(&lines, "work no more");
        let way_out = format!("give --tls-domain {DOMAIN} too, after the new one, and reload");
        assert!(
            told.contains(&format!("links that look like {DOMAIN} (ee…)")),
            "{told}"
        );
        assert!(told.contains(&way_out), "{told}");
        assert!(!serves(&old).await && serves(&new).await);
        let lines = reloaded(&mut proxy, |flags| {
            flags.push(("--tls-domain", DOMAIN.to_owned()))
        })
        .await;
        assert!(!lines.iter().any(|line| line.contains("work no more")));
        assert!(serves(&old).await && serves(&new).await, "both");
    });
}

#[test]
fn a_secret_that_is_taken_out_takes_its_sessions_with_it() {
    run(async {
        for route in Route::ALL {
            let change = |o: ProxyOptions| {
                brisk(o)
                    .add("--secret", format!("guest={}", hex(&GUEST)))
                    .add("--secret", format!("friend={},quota=1G", hex(&[0xf1; 16])))
            };
            let (telegram, mut proxy) = start(built_binary!(), route, change).await;
            let address = proxy.address();
            let mut own = served(address, KEY).await;
            let mut friend = served(address, [0xf1; 16]).await;
            let mut guests = Vec::new();
            for kind in Kind::ALL {
                let mut guest = proxy.client(kind).key(GUEST).connect().await.unwrap();
                within("an echo", guest.echo(&echo(1, 64))).await.unwrap();
                guests.push(guest);
            }
            // Limits, the name and the listeners of a secret may change.
            let lines = reloaded(&mut proxy, |flags| {
                flags.retain(|flag| !flag.1.starts_with("friend="));
                flags.push(("--secret", format!("fred={},max-ips=5", hex(&[0xf1; 16]))));
                let listener = format!("{address},name=x,secret={}", secret::classic(&KEY));
                listen_at(flags, &listener);
                flags.push(("--listen", free_address().to_string()));
            })
            .await;
            let told = line(&lines, "info reloaded: ");
            assert!(told.contains("the secret friend is called fred"), "{told}");
            assert!(!told.contains("taken out"), "{told}");
            for client in guests.iter_mut().chain([&mut own, &mut friend]) {
                within("an echo", client.echo(&echo(2, 64))).await.unwrap();
            }
            turned_away(address, GUEST).await;
            reloaded(&mut proxy, |flags| listen_at(flags, &address.to_string())).await;

            // One is in the middle of its handshake.
            let hello = proxy.client(Kind::Padded).key(GUEST).first_bytes();
            let (begin, rest) = hello.split_at(30);
            let mut half = TcpStream::connect(address).unwrap();
            half.write_all(begin).unwrap();
            eventually("its place", || proxy.counted("handshaking", "") == 1).await;
            let lines = reloaded(&mut proxy, |flags| {
                flags.retain(|flag| !flag.1.starts_with("guest="));
            })
            .await;
            let told = line(&lines, "info reloaded: ");
            let wanted = "reloaded: --secret; secret taken out: guest (4 sessions end)";
            assert!(told.ends_with(wanted), "{told}");
            for guest in &mut guests {
                within("a guest's end", guest.until_closed()).await.unwrap();
            }
            half.write_all(rest).unwrap();
            half.set_read_timeout(Some(patience())).unwrap();
            assert!(matches!(half.read(&mut [0]), Ok(0) | Err(_)));
            eventually("five ends", || {
                proxy.counted("closed_total", "reason=\"secret_removed\"") == 5
            })
            .await;
            for client in [&mut own, &mut friend] {
                within("an echo", client.echo(&echo(3, 64))).await.unwrap();
            }
            turned_away(address, GUEST).await;
            telegram.assert_clean();
        }
    });
}

#[test]
fn an_address_may_come_late() {
    inside("an_address_may_come_late", || {
        run(async {
            let addresses = ["10.77.0.1:4431", "[fd77::1]:4431"];
            let addresses = addresses.map(|text| text.parse::<SocketAddr>().unwrap());
            let telegram = FakeTelegram::start(Options::default()).unwrap();
            let bare = || {
                let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
                options.without("--listen")
            };
            for address in addresses {
                let mut proxy = bare().add("--listen", address).spawn();
                assert_eq!(proxy.exit_status().await.code(), Some(69));
                eventually("the way out", || {
                    proxy.log_contains("write ,late behind it")
                })
                .await;
            }
            let [first, second] = addresses.map(|address| format!("{address},late"));
            let proxy = bare().add("--listen", first).add("--listen", second);
            let proxy = proxy.in_config_file().spawn();
            let link = "10.77.0.1:4432".parse::<SocketAddr>().unwrap();
            let secured = Secured::default();
            let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
            let back = back.set("--link-listen", format!("{link},late")).spawn();
            for (proxy, told) in [
                (
                    &proxy,
                    "listening on 10.77.0.1:4431, which this machine does not have yet",
                ),
                (
                    &proxy,
                    "listening on [fd77::1]:4431, which this machine does not have yet",
                ),
                (
                    &back,
                    "taking links on 10.77.0.1:4432, which this machine does not have yet",
                ),
            ] {
                eventually("a word about it", || proxy.log_contains(told)).await;
            }
            assert!(TcpStream::connect_timeout(&addresses[0], Duration::from_millis(100)).is_err());
            shell("ip address add 10.77.0.1/32 dev lo; ip -6 address add fd77::1/128 dev lo nodad");
            for address in addresses {
                served(address, KEY).await;
            }
            let front =
                ProxyOptions::front(built_binary!(), &telegram, Route::Middle, &secured, &[link]);
            let front = front.start().await;
            front.linked(1).await;
            served(front.address(), KEY).await;
        });
    });
}

fn replace(flags: &mut [Flag], from: &str, to: &str) {
    let flag = flags.iter_mut().find(|flag| flag.1 == from);
    flag.unwrap().1 = to.to_owned();
}

/// Root binds ports below 1024 at the start; later nobody here may.
#[test]
fn ports_of_root_are_kept_for_a_later_reload() {
    inside("ports_of_root_are_kept_for_a_later_reload", || {
        run(async {
            let low: SocketAddr = "127.0.0.1:843".parse().unwrap();
            let high = free_address();
            let change = |o: ProxyOptions| {
                let o = o.listening_at(low).add("--listen", high);
                in_file(o.set("--user", "nobody"))
            };
            let (_telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
            let mut kept = served(low, KEY).await;
            let is_refused = || TcpStream::connect(low).is_err();
            for _ in 0..2 {
                reloaded(&mut proxy, |flags| {
                    flags.retain(|flag| flag.1 != low.to_string())
                })
                .await;
                eventually("its end", is_refused).await;
                within("an echo", kept.echo(&echo(2, 64))).await.unwrap();
                reloaded(&mut proxy, |flags| {
                    flags.push(("--listen", low.to_string()))
                })
                .await;
                served(low, KEY).await;
            }
            // All addresses of a port, though root has bound one.
            for (address, all) in [(high, "0.0.0.0"), (low, "")] {
                let elsewhere = SocketAddr::from(([127, 0, 0, 9], address.port()));
                let (one, all) = (address.to_string(), format!("{all}:{}", address.port()));
                reloaded(&mut proxy, |flags| replace(flags, &one, &all)).await;
                served(address, KEY).await;
                served(elsewhere, KEY).await;
                reloaded(&mut proxy, |flags| replace(flags, &all, &one)).await;
                served(address, KEY).await;
                let is_refused = || TcpStream::connect(elsewhere).is_err();
                eventually("the end of all others", is_refused).await;
            }
            let said = refused(&mut proxy, |flags| {
                flags.retain(|flag| flag.0 != "--listen");
                flags.push(("--listen", "127.0.0.1:844".to_owned()));
            })
            .await;
            assert!(said.contains("127.0.0.1:844: Permission denied"), "{said}");
            assert!(
                said.contains("or restart: --user has given root up"),
                "{said}"
            );
            served(low, KEY).await;
        });
    });
}

/// The only socket of the port is one for all addresses.
#[test]
fn all_addresses_of_a_port_of_root_serve_one_of_them() {
    inside("all_addresses_of_a_port_of_root_serve_one_of_them", || {
        run(async {
            let one: SocketAddr = "127.0.0.1:843".parse().unwrap();
            let elsewhere = SocketAddr::from(([127, 0, 0, 9], one.port()));
            let change = |o: ProxyOptions| {
                let o = o.set("--listen", ":843").listening_at(one);
                brisk(o.set("--user", "nobody"))
            };
            let (_telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
            let mut kept = served(elsewhere, KEY).await;
            for _ in 0..2 {
                let lines = reloaded(&mut proxy, |flags| {
                    flags.push(("--secret", format!("guest={}", hex(&GUEST))));
                    listen_at(flags, "127.0.0.1:843");
                })
                .await;
                line(
                    &lines,
                    "who connects to others of that port is reset: restart to close them",
                );
                served(one, KEY).await;
                let mut guest = served(one, GUEST).await;
                let stranger = Kind::Padded.options(elsewhere).connect().await;
                let answered = match stranger {
                    Ok(mut stranger) => stranger.fate_of(&echo(1, 64)).await == Fate::Answered,
                    Err(_) => false,
                };
                assert!(!answered);
                within("an echo", kept.echo(&echo(2, 64))).await.unwrap();
                // It stays so with the next one, but for what that changes.
                reloaded(&mut proxy, |flags| {
                    flags.retain(|flag| !flag.1.starts_with("guest="));
                })
                .await;
                within("the guest's end", guest.until_closed())
                    .await
                    .unwrap();
                turned_away(one, GUEST).await;
                reloaded(&mut proxy, |flags| listen_at(flags, ":843")).await;
                served(one, KEY).await;
                served(elsewhere, KEY).await;
            }
            assert_eq!(proxy.counted("config_reload_failures_total", ""), 0);
        });
    });
}
