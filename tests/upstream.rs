//! The route upstream: another proxy, which is a second one of ours, between us and
//! Telegram.
#![cfg(feature = "tls")]

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind, is_close};
use fake_telegram::harness::{
    Proxy, ProxyOptions, Route, Secured, TemporaryDirectory, free_address,
};
use fake_telegram::payload::{Command, ERROR_404, echo};
use fake_telegram::secret::{DOMAIN, KEY, classic, fake_tls, padded};
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::via::{Options as ViaOptions, Protocol, Target, Via};
use fake_telegram::wait::{eventually, run, within};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Task};

/// The next proxy's, as it is another person's.
const NEXT_KEY: [u8; 16] = [0xa5; 16];
const OTHER_KEY: [u8; 16] = [0x5a; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Classic,
    Padded,
    FakeTls,
}

impl Form {
    const ALL: [Self; 3] = [Self::Classic, Self::Padded, Self::FakeTls];

    fn secret(self, key: &[u8; 16]) -> String {
        match self {
            Self::Classic => classic(key),
            Self::Padded => padded(key),
            Self::FakeTls => fake_tls(key, DOMAIN),
        }
    }

    fn at(self, address: SocketAddr) -> String {
        format!("{address}:{}", self.secret(&NEXT_KEY))
    }
}

/// Telegram, who leads there, and a Telegram that nobody is to reach.
struct Set {
    telegram: FakeTelegram,
    next: Proxy,
    /// Where the route direct leads.
    decoy: FakeTelegram,
}

impl Set {
    async fn start() -> Self {
        Self::with_next_key(&NEXT_KEY).await
    }

    async fn with_next_key(key: &[u8; 16]) -> Self {
        let [telegram, decoy] = [(); 2].map(|()| FakeTelegram::start(Options::default()).unwrap());
        let next = proxy(&telegram, "direct").set("--secret", classic(key));
        Self {
            next: next.start().await,
            telegram,
            decoy,
        }
    }

    /// One that goes by `route` and this way.
    fn chained(&self, form: Form, route: &str) -> ProxyOptions {
        proxy(&self.decoy, route).add("--upstream", form.at(self.next.address()))
    }

    fn assert_clean(&self) {
        self.telegram.assert_clean();
        self.decoy.assert_clean();
    }

    fn assert_not_direct(&self) {
        self.assert_clean();
        assert_eq!(self.decoy.counters().direct_accepted(), 0);
    }
}

fn proxy(telegram: &FakeTelegram, route: &str) -> ProxyOptions {
    ProxyOptions::new(built_binary!(), telegram, Route::Direct).set("--route", route)
}

fn tried(proxy: &Proxy, result: &str) -> u64 {
    let labels = format!("route=\"upstream\",dc=\"2\",result=\"{result}\"");
    proxy.counted("route_connects_total", &labels)
}

async fn fate(proxy: &Proxy, kind: Kind) -> Fate {
    match proxy.client(kind).connect().await {
        Ok(mut client) => client.fate_of(&echo(1, 88)).await,
        Err(error) if is_close(&error) => Fate::Closed,
        Err(error) => panic!("{error}"),
    }
}

/// Everything that a client does, with answers as long as encrypted messages are: where
/// packets are framed anew, the padding is told by that.
async fn whole_session(client: &mut Client) -> io::Result<()> {
    for size in [40, 504, 16_392, (300 << 10) + 8] {
        client.echo(&echo(size as u32, size)).await?;
    }
    assert!(client.echo_for_quick_ack(&echo(7, 1_000 * 16 + 8)).await?);
    client.download(4 << 20, (200 << 10) + 8).await?;
    client.download(1 << 20, (1 << 20) - 8).await?;
    for _ in 0..4 {
        client.send(&Command::Swallow.payload_of(1 << 20)).await?;
    }
    for _ in 0..4 {
        client.recv_packet().await?;
    }
    let pieces = echo(9, 1_000 * 16 + 8);
    client.send_in_pieces(&pieces, 61).await?;
    assert_eq!(client.recv_packet().await?, pieces);
    client.send(&Command::NotFound.payload()).await?;
    assert_eq!(client.recv_packet().await?, ERROR_404);
    Ok(())
}

async fn whole_sessions(address: SocketAddr, form: Form) {
    for kind in Kind::ALL {
        let dcs: &[i16] = match form {
            // One hello a second goes out.
            Form::FakeTls => &[2],
            _ => &[2, -4, 203, 10_002],
        };
        for dc in dcs {
            let options = kind.options(address).dc(*dc);
            let mut client = within("a handshake", options.connect()).await.unwrap();
            let outcome = within("a session", whole_session(&mut client)).await;
            outcome.unwrap_or_else(|error| panic!("{kind:?} by {form:?}, DC {dc}: {error}"));
        }
    }
}

#[test]
fn every_kind_of_client_goes_by_every_kind_of_secret() {
    run(async {
        for form in Form::ALL {
            let set = Set::start().await;
            let proxy = set.chained(form, "upstream").start().await;
            whole_sessions(proxy.address(), form).await;
            assert_eq!(tried(&proxy, "opened"), 4);
            let next_kind = match form {
                Form::FakeTls => ("transport=\"tls\"", 4),
                Form::Padded => ("transport=\"padded\"", 16),
                Form::Classic => ("transport=\"abridged\"", 4),
            };
            assert_eq!(set.next.counted("clients_total", next_kind.0), next_kind.1);
            let is_gone = || set.telegram.counters().direct_live() == 0;
            eventually("the ends of all", is_gone).await;
            eventually("empty buffers", || {
                proxy.counted("buffer_bytes_used", "") == 0
            })
            .await;
            set.assert_not_direct();
        }
    });
}

#[test]
fn one_secret_may_be_that_of_both() {
    run(async {
        for form in Form::ALL {
            let set = Set::with_next_key(&KEY).await;
            let upstream = format!("{}:{}", set.next.address(), form.secret(&KEY));
            let options = proxy(&set.decoy, "upstream").add("--upstream", upstream);
            let proxy = options.start().await;
            whole_sessions(proxy.address(), form).await;
            assert_eq!(tried(&proxy, "opened"), 4);
            let is_gone = || set.telegram.counters().direct_live() == 0;
            eventually("the ends of all", is_gone).await;
            set.assert_not_direct();
        }
    });
}

#[test]
fn a_link_is_taken_as_an_app_takes_it() {
    run(async {
        let set = Set::start().await;
        let (server, port) = (set.next.address().ip(), set.next.address().port());
        let secret = Form::Padded.secret(&NEXT_KEY);
        let link = format!("https://t.me/proxy?server={server}&port={port}&secret={secret}");
        let options = proxy(&set.decoy, "upstream").add("--upstream", link);
        let proxy = options.start().await;
        proxy.served_client(2).await;
        set.assert_not_direct();
    });
}

#[test]
fn a_back_goes_by_it_for_its_fronts() {
    run(async {
        for form in Form::ALL {
            let set = Set::start().await;
            let secured = Secured::default();
            let back = ProxyOptions::back(built_binary!(), &set.decoy, &secured)
                .set("--route", "upstream")
                .add("--upstream", form.at(set.next.address()))
                .start()
                .await;
            let backs = [back.address()];
            let (route, decoy) = (Route::Direct, &set.decoy);
            let front = ProxyOptions::front(built_binary!(), decoy, route, &secured, &backs);
            let front = front.start().await;
            front.linked(1).await;
            whole_sessions(front.address(), form).await;
            front.cleared().await;
            assert_eq!(tried(&back, "opened"), 4);
            set.assert_not_direct();
        }
    });
}

#[test]
fn a_proxy_in_between_looks_its_name_up() {
    run(async {
        for form in Form::ALL {
            let set = Set::start().await;
            let via = Via::start(ViaOptions::new(Protocol::Socks5)).unwrap();
            let name = Target::Name("next.invalid".to_owned(), 443);
            via.lead(&name, set.next.address());
            let proxy = proxy(&set.decoy, "upstream")
                .add("--upstream", format!("{name}:{}", form.secret(&NEXT_KEY)))
                .set("--via", via.url("socks5h"))
                .start()
                .await;
            whole_sessions(proxy.address(), form).await;
            assert!(via.asked_for(&name) >= 4);
            via.assert_clean();
            set.assert_not_direct();
        }
    });
}

/// Somebody at an address who says this to each that says something, and then hangs up or
/// says no more.
fn somebody(says: &'static [u8], hangs_up: bool) -> (SocketAddr, Task<()>) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let serving = smol::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(says).await;
            if !hangs_up {
                kept.push(stream);
            }
        }
    });
    (address, serving)
}

#[test]
fn who_is_no_such_proxy_rests_and_clients_go_on() {
    run(async {
        let set = Set::start().await;
        let site = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        let alert = b"\x15\x03\x03\x00\x02\x02\x28";
        let cases: [(&[u8], bool, &str); 4] = [
            (site, true, "an answer that no MTProxy gives"),
            (alert, true, "a TLS alert, number 40"),
            (b"", true, "it closes the connection upon its hello"),
            (b"", false, "no answer to its hello: is its secret right"),
        ];
        for (says, hangs_up, told) in cases {
            let (address, _serving) = somebody(says, hangs_up);
            let options = proxy(&set.telegram, "upstream,direct");
            let options = options.add("--upstream", Form::FakeTls.at(address));
            let proxy = options.start().await;
            let start = Instant::now();
            assert_eq!(fate(&proxy, Kind::Padded).await, Fate::Answered);
            assert!(start.elapsed() < Duration::from_secs(9));
            // Others of this DC and of another one have the next at once.
            let start = Instant::now();
            assert_eq!(fate(&proxy, Kind::FakeTls).await, Fate::Answered);
            proxy.served_client(4).await;
            assert!(start.elapsed() < Duration::from_secs(3), "{told}");
            assert_eq!(tried(&proxy, "ill"), 1, "{told}");
            eventually(told, || proxy.log_contains(told)).await;
        }
        set.assert_clean();
    });
}

#[test]
fn a_wrong_secret_is_told_of() {
    run(async {
        let set = Set::start().await;
        let wrong = Form::FakeTls.secret(&OTHER_KEY);
        let upstream = format!("{}:{wrong}", set.next.address());
        let options = proxy(&set.decoy, "upstream").add("--upstream", upstream);
        let first = options.start().await;
        assert_eq!(fate(&first, Kind::Padded).await, Fate::Closed);
        assert_eq!(tried(&first, "ill"), 1);
        let told = "is its secret right";
        eventually("the line of the log", || first.log_contains(told)).await;
        assert!(!first.log().join("\n").contains(&wrong[2..34]));
        set.assert_not_direct();
    });
}

/// Nobody is there, then somebody; and what leads there otherwise.
#[test]
fn it_is_left_and_found_again() {
    run(async {
        let set = Set::start().await;
        let address = free_address();
        let upstream = Form::Padded.at(address);
        let alone = proxy(&set.decoy, "upstream").add("--upstream", &upstream);
        let alone = alone.start().await;
        let both = proxy(&set.telegram, "upstream,direct").add("--upstream", &upstream);
        let both = both.start().await;
        assert_eq!(fate(&alone, Kind::Padded).await, Fate::Closed);
        assert_eq!(fate(&both, Kind::Padded).await, Fate::Answered);
        assert_eq!((tried(&alone, "useless"), tried(&both, "useless")), (1, 1));
        let next = proxy(&set.telegram, "direct").set("--secret", classic(&NEXT_KEY));
        let next = next.listening_at(address);
        let next = next.start().await;
        // It rests, and there is no other.
        assert_eq!(fate(&alone, Kind::Padded).await, Fate::Answered);
        assert_eq!(tried(&alone, "opened"), 1);
        // And where direct fails, it is the next.
        let refusing = FakeTelegram::start(Options::default()).unwrap();
        refusing.behave_dc(2, |b| b.direct_refuse = true);
        let second = proxy(&refusing, "direct,upstream").add("--upstream", &upstream);
        let second = second.start().await;
        for opened in 1..=2 {
            assert_eq!(fate(&second, Kind::Abridged).await, Fate::Answered);
            assert_eq!(tried(&second, "opened"), opened);
        }
        drop(next);
        set.assert_not_direct();
    });
}

/// What connects leads to `address`.
fn relay_to(address: SocketAddr) -> (SocketAddr, Task<()>) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let here = listener.get_ref().local_addr().unwrap();
    let serving = smol::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            smol::spawn(async move {
                let far = Async::<TcpStream>::connect(address).await?;
                let up = smol::io::copy(&near, &far);
                let down = smol::io::copy(&far, &near);
                smol::future::or(up, down).await
            })
            .detach();
        }
    });
    (here, serving)
}

#[test]
fn one_that_is_ourselves_is_noticed() {
    run(async {
        let set = Set::start().await;
        for form in Form::ALL {
            let options = proxy(&set.telegram, "upstream,direct");
            let (relay, _relaying) = relay_to(options.listener());
            let upstream = format!("{relay}:{}", form.secret(&KEY));
            let proxy = options.add("--upstream", upstream).start().await;
            let first = fate(&proxy, Kind::Padded).await;
            // That it leads back here shows a classic one's header, behind which nothing is
            // waited for.
            assert_eq!(first == Fate::Answered, form == Form::FakeTls, "{form:?}");
            let told = "--upstream leads back to this proxy itself";
            eventually("the line of the log", || proxy.log_contains(told)).await;
            let start = Instant::now();
            assert_eq!(fate(&proxy, Kind::Abridged).await, Fate::Answered);
            assert!(start.elapsed() < Duration::from_secs(3));
            assert_eq!(tried(&proxy, "loop"), 1);
            assert_eq!(proxy.counted("rejected_total", "reason=\"loop\""), 1);
            let lines = proxy.log();
            assert_eq!(lines.iter().filter(|line| line.contains(told)).count(), 1);
        }
        set.assert_clean();
    });
}

/// What `check` says.
#[cfg(feature = "check")]
fn checked(telegram: &FakeTelegram, upstream: &str, route: &str) -> String {
    let directory = TemporaryDirectory::new();
    let listen = free_address().to_string();
    let mut command = process::Command::new(built_binary!());
    command.args(["check", "--listen", &listen, "--secret", &classic(&KEY)]);
    command.args(["--route", route, "--upstream", upstream]);
    let flags = telegram.proxy_flags();
    command.args(flags.iter().flat_map(|(flag, value)| [*flag, value]));
    command.arg("--data-dir").arg(directory.path());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[cfg(feature = "check")]
#[test]
fn check_asks_each_dc() {
    run(async {
        let set = Set::start().await;
        for form in Form::ALL {
            let text = checked(&set.telegram, &form.at(set.next.address()), "upstream");
            for dc in [1, 2, 3, 4, 5, 203] {
                let line = format!("ok    DC {dc} upstream: {} in ", set.next.address());
                assert!(text.contains(&line), "{line}: {text}");
            }
            assert!(!text.contains(" direct: "), "{text}");
        }
        let wrong = format!("{}:{}", set.next.address(), padded(&OTHER_KEY));
        let dead = Form::Padded.at(free_address());
        for (upstream, told) in [(wrong, "DC 2 upstream: "), (dead, "refused")] {
            for (route, grade) in [("upstream", "fail "), ("direct,upstream", "warn ")] {
                let text = checked(&set.telegram, &upstream, route);
                let is_told = |line: &str| line.starts_with(grade) && line.contains(told);
                assert!(text.lines().any(is_told), "{text}");
            }
        }
        set.assert_clean();
    });
}

#[test]
fn a_crowd_does_not_make_it_rest() {
    run(async {
        let set = Set::start().await;
        let options = proxy(&set.telegram, "upstream,direct");
        let options = options.add("--upstream", Form::FakeTls.at(set.next.address()));
        let proxy = options.start().await;
        let clients = (0..12).map(|_| {
            smol::spawn({
                let options = proxy.client(Kind::Padded);
                async move {
                    let mut client = options.connect().await.unwrap();
                    client.fate_of(&echo(1, 88)).await
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        for client in clients {
            assert_eq!(client.await, Fate::Answered);
        }
        let (opened, queued) = (tried(&proxy, "opened"), tried(&proxy, "queued"));
        assert!((2..8).contains(&opened), "{opened}");
        assert_eq!(opened + queued, 12);
        assert!(proxy.log_contains("more clients than hellos"));
        let shown = proxy.command(&["ctl", "routes", "--json"]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let routes = shown["routes"].as_array().unwrap();
        let row = routes.iter().find(|row| row["route"] == "upstream");
        assert_eq!(row.unwrap()["state"], "free");
        set.assert_clean();
    });
}
