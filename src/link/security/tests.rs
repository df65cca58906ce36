use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use fake_telegram::harness::TemporaryDirectory;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, Error};

use super::papers::{Concern, Papers};
use super::setup::{LinkJudge, TlsConfig, TlsFiles};
use crate::config::LinkTls;
use crate::link::certificates;
use crate::net::{BufferPool, Reactor, Rope, Socket};
use crate::tls::{self, Batch, Judge, Peer, TlsContext, TlsStream, x509};
use crate::wire::link::LinkSide;

/// A new CA with the front `home`, in `certs`.
fn made() -> TemporaryDirectory {
    let folder = TemporaryDirectory::new();
    let directory = folder.path().join("certs");
    certificates::init(&directory).unwrap();
    certificates::add_node(&directory, "home", None).unwrap();
    folder
}

fn files(folder: &TemporaryDirectory, name: &str) -> LinkTls {
    let directory = folder.path().join("certs");
    LinkTls {
        ca: directory.join("ca.pem"),
        cert: directory.join(format!("{name}.pem")),
        key: directory.join(format!("{name}.key")),
        sni: None,
        alpn: vec!["h2".to_owned()],
        refuse: None,
    }
}

fn papers(name: &str, side: LinkSide) -> Papers {
    let read = TlsFiles::read(&files(&made(), name), side).unwrap();
    read.judge.papers
}

#[test]
fn an_alert_says_why() {
    for (alert, words) in [
        (48, "this side's certificate is of another CA"),
        (44, "the back refuses the certificate of this front"),
        (43, "the back does not take this certificate for a front's"),
        (50, "is that a port of the back's --link-listen?"),
    ] {
        let error = Error::AlertReceived(AlertDescription::from(alert));
        let text = papers("home", LinkSide::Front).explain(&error);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn dates_say_whose_clock_is_wrong_and_what_is_to_be_renewed() {
    const DAY: i64 = 24 * 3600;
    let now = x509::now();
    let (front, back) = (
        papers("home", LinkSide::Front),
        papers("back", LinkSide::Back),
    );
    let told = |papers: &Papers, at| -> Vec<_> {
        let concerns = papers.concerns(at).into_iter();
        concerns
            .map(|one| (matches!(one, Concern::Fatal(_)), one.to_string()))
            .collect()
    };
    for papers in [&front, &back] {
        assert!(told(papers, now).is_empty());
        // The clock of a router without a battery.
        let early = told(papers, 100);
        assert!(early.len() == 1 && early[0].0, "{early:?}");
        assert!(early[0].1.contains("this machine's clock shows 1970-01-01"));
        let last = now + 3650 * DAY;
        assert!(told(papers, last - 31 * DAY).is_empty());
        let soon = told(papers, last - 30 * DAY + 60);
        assert!(soon.len() == 1 && !soon[0].0, "{soon:?}");
        assert!(
            soon[0]
                .1
                .contains("in 29 days: `smol-mtproxy certs renew DIR")
        );
        let late = told(papers, last + DAY);
        assert!(late[0].0 && late[0].1.contains("has expired"), "{late:?}");
        // Its own and the CA.
        assert_eq!(told(papers, now + 7300 * DAY).len(), 2);
    }
    assert!(
        told(&front, now + 3640 * DAY)[0]
            .1
            .contains("copy home.pem here")
    );
    assert!(
        told(&back, now + 3640 * DAY)[0]
            .1
            .contains("renew DIR back`, then reload")
    );

    let expired = Error::AlertReceived(AlertDescription::CertificateExpired);
    for (at, words) in [
        (now, "the other machine's clock is wrong"),
        (0, "this machine's clock shows 1970-01-01"),
        (now + 4000 * DAY, "this side's certificate has expired"),
    ] {
        let text = back.explain_at(&expired, at);
        assert!(text.contains(words), "{text}");
    }
    let date = |unix| UnixTime::since_unix_epoch(Duration::from_secs(unix));
    let early = Error::InvalidCertificate(rustls::CertificateError::NotValidYetContext {
        time: date(100),
        not_before: date(86_400 * 20_000),
    });
    let text = front.explain_at(&early, 100);
    assert!(
        text.contains("this machine's clock shows 1970-01-01"),
        "{text}"
    );
    let text = front.explain_at(&early, now);
    assert!(text.contains("good from 2024-10-04 on"), "{text}");
}

/// A clock that stands.
#[derive(Debug)]
struct Stands(u64);

impl rustls::time_provider::TimeProvider for Stands {
    fn current_time(&self) -> Option<UnixTime> {
        let since = Duration::from_secs(self.0);
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// Explains as at that time.
struct At(LinkJudge, i64);

impl Judge for At {
    fn denies(&self, peer: &Peer) -> Option<String> {
        self.0.denies(peer)
    }

    fn explain(&self, error: &Error) -> String {
        self.0.papers.explain_at(error, self.1)
    }
}

/// One end of a link, and how far it is.
struct End {
    stream: TlsStream,
    socket: Socket,
    outcome: Option<Result<(), tls::Error>>,
}

impl End {
    /// A front or a back, as its files say, where the clock shows `now`.
    fn new(reactor: &Rc<Reactor>, files: TlsFiles, now: i64, socket: UnixStream) -> Self {
        let context = TlsContext {
            batch: Batch::default(),
            buffers: BufferPool::new(reactor.clock(), 1 << 20),
            judge: Rc::new(At(files.judge, now)),
        };
        let stream = match &files.config {
            TlsConfig::Front(config, _) => {
                let mut config = ClientConfig::clone(config);
                config.time_provider = std::sync::Arc::new(Stands(now as u64));
                let name = ServerName::try_from("www.example.com").unwrap();
                TlsStream::connect(context, &config.into(), name)
            }
            TlsConfig::Back(config) => TlsStream::accept(context, config),
        };
        socket.set_nonblocking(true).unwrap();
        Self {
            stream: stream.unwrap(),
            socket: Socket::new(reactor, socket.into()).unwrap(),
            outcome: None,
        }
    }

    /// Until hands are shaken and what there is to say is said, or it has failed.
    fn go_on(&mut self, cx: &mut std::task::Context<'_>) {
        let Self {
            stream,
            socket,
            outcome,
        } = self;
        while outcome.is_none() {
            if let Err(error) = stream.flush(socket, &mut Rope::default()) {
                *outcome = Some(Err(error));
            } else if !stream.is_handshaking() && stream.is_flushed() {
                *outcome = Some(Ok(()));
            } else {
                let mut buffer = [0; 20_000];
                match stream.poll_read::<tls::Error>(cx, socket, &mut buffer, &mut |_| Ok(())) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => *outcome = Some(Err(error)),
                    Poll::Pending => return,
                }
            }
        }
    }
}

/// What a front and a back say when they have shaken hands, each of a time.
fn meet(front: (TlsFiles, i64), back: (TlsFiles, i64)) -> [Result<(), tls::Error>; 2] {
    let reactor = Reactor::virtual_time().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let mut ends = [
        End::new(&reactor, front.0, front.1, near),
        End::new(&reactor, back.0, back.1, far),
    ];
    let both = poll_fn(|cx| {
        ends.iter_mut().for_each(|end| end.go_on(cx));
        match ends.iter().all(|end| end.outcome.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    reactor.block_on(&Rc::default(), both);
    ends.map(|end| end.outcome.unwrap())
}

#[test]
fn a_front_and_a_back_of_one_ca_shake_hands() {
    let folder = made();
    let read = |name, side| TlsFiles::read(&files(&folder, name), side).unwrap();
    let now = x509::now();
    let front = || (read("home", LinkSide::Front), now);
    let [front_says, back_says] = meet(front(), (read("back", LinkSide::Back), now));
    assert!(
        front_says.is_ok() && back_says.is_ok(),
        "{front_says:?} {back_says:?}"
    );
    // One front for another's back.
    let [front_says, _] = meet(front(), (read("home", LinkSide::Back), now));
    let Err(tls::Error::Tls(text)) = front_says else {
        panic!("{front_says:?}");
    };
    assert!(text.contains("that is no back's certificate"), "{text}");
}

#[test]
fn a_front_that_is_refused_is_denied_by_its_name() {
    let folder = made();
    certificates::revoke(&folder.path().join("certs"), "home").unwrap();
    let mut of_back = files(&folder, "back");
    of_back.refuse = Some(folder.path().join("certs/refused.txt"));
    let now = x509::now();
    let front = TlsFiles::read(&files(&folder, "home"), LinkSide::Front).unwrap();
    let back = TlsFiles::read(&of_back, LinkSide::Back).unwrap();
    let [_, back_says] = meet((front, now), (back, now));
    let Err(tls::Error::Denied(name)) = back_says else {
        panic!("{back_says:?}");
    };
    assert_eq!(name, "home");
}

#[test]
fn a_front_in_1970_is_told_that_it_is_its_clock_and_its_back_too() {
    let folder = made();
    let read = |name, side| TlsFiles::read(&files(&folder, name), side).unwrap();
    let front = (read("home", LinkSide::Front), 100);
    let [front_says, back_says] = meet(front, (read("back", LinkSide::Back), x509::now()));
    let (Err(tls::Error::Tls(at_front)), Err(tls::Error::Tls(at_back))) = (front_says, back_says)
    else {
        panic!("it takes a certificate of the future");
    };
    let words = "this machine's clock shows 1970-01-01";
    assert!(at_front.contains(words), "{at_front}");
    let words = "the other machine's clock is wrong";
    assert!(at_back.contains(words), "{at_back}");
}

#[test]
fn what_does_not_belong_together_is_named() {
    let (ours, other) = (made(), made());
    let told = |cert: &str, ca: &TemporaryDirectory, side| {
        let mut files = files(&ours, cert);
        files.ca = ca.path().join("certs/ca.pem");
        let papers = TlsFiles::read(&files, side).unwrap().judge.papers;
        let concerns = papers.concerns(x509::now()).into_iter();
        concerns.map(|one| one.to_string()).collect::<String>()
    };
    assert_eq!(told("home", &ours, LinkSide::Front), "");
    assert_eq!(told("back", &ours, LinkSide::Back), "");
    for (cert, side) in [("home", LinkSide::Front), ("back", LinkSide::Back)] {
        let text = told(cert, &other, side);
        assert!(text.contains("is not of the CA in"), "{text}");
    }
    let text = told("home", &ours, LinkSide::Back);
    assert!(text.contains("is no back's certificate"), "{text}");
    let text = told("back", &ours, LinkSide::Front);
    assert!(text.contains("is no front's certificate"), "{text}");
    let mut mixed = files(&ours, "home");
    mixed.key = ours.path().join("certs/back.key");
    let error = TlsFiles::read(&mixed, LinkSide::Front).err().unwrap();
    assert!(error.to_string().contains("not the key of"), "{error}");
}
