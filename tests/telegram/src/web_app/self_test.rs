//! The app with a relay that does well, and with one that breaks each rule.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use smol::io::AsyncWriteExt;
use smol::{Async, Task};

use super::relay::{Fault, Relay};
use super::{App, Carrier, Cut, Gateway, Options, Secret, capability, invites};
use crate::client::Kind;
use crate::harness::free_address;
use crate::payload::{Command, echo};
use crate::secret::KEY;
use crate::socket::read_some;
use crate::wait::{run, within};

const HOST: &str = "web.example.com";

/// Sends back what comes, for ever.
fn echoing() -> (SocketAddr, Task<()>) {
    let address = free_address();
    let listener = Async::new(TcpListener::bind(address).unwrap()).unwrap();
    let task = smol::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(smol::spawn(async move {
                while let Ok(bytes) = read_some(&stream).await {
                    if bytes.is_empty() || (&stream).write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            }));
        }
    });
    (address, task)
}

fn relay(to: SocketAddr, fault: Fault) -> (Relay, Options) {
    let capability = capability(&Secret::plain(KEY), HOST, None);
    let relay = Relay::start(&capability, HOST, to, fault).unwrap();
    let options = Options::new(relay.address(), HOST);
    (relay, options)
}

/// So many bytes there and back, with those in between checked.
async fn echoes(stream: &super::Stream, label: u8, length: usize) -> io::Result<()> {
    let sent: Vec<u8> = (0..length).map(|at| (at / 3) as u8 ^ label).collect();
    let sending = stream.write(&sent);
    let receiving = async {
        let mut came = Vec::new();
        while came.len() < length {
            let bytes = stream.read().await?;
            if bytes.is_empty() {
                let why = stream.session_over().unwrap_or_default();
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            came.extend_from_slice(&bytes);
        }
        assert!(came == sent, "other bytes came back");
        Ok(())
    };
    let (sent, received) = smol::future::zip(sending, receiving).await;
    sent.and(received)
}

#[test]
fn streams_of_every_app_go_both_ways() {
    run(async {
        let (to, _echoing) = echoing();
        for app in App::REAL {
            for carrier in Carrier::ALL {
                for cut in [Cut::Whole, Cut::Chromium, Cut::Anywhere(7)] {
                    if carrier == Carrier::Https && cut != Cut::Whole {
                        continue;
                    }
                    let (_relay, options) = relay(to, Fault::None);
                    let options = options.app(app).carrier(carrier).cut(cut);
                    let session = options.first_stream(0xff_fffe).session().await.unwrap();
                    let mut streams = Vec::new();
                    for _ in 0..4 {
                        streams.push(session.stream().unwrap());
                    }
                    let ids: Vec<_> = streams.iter().map(super::Stream::id).collect();
                    assert_eq!(ids, [0xff_fffe, 0xff_ffff, 1, 2]);
                    for (label, stream) in streams.iter().enumerate() {
                        let echoing = echoes(stream, label as u8, 6 << 20);
                        let outcome = within("echoes", echoing).await;
                        outcome.unwrap_or_else(|e| panic!("{app:?} {carrier:?} {cut:?}: {e}"));
                    }
                    streams[0].close();
                    within("echoes", echoes(&streams[1], 9, 70_000))
                        .await
                        .unwrap();
                    session.assert_clean();
                    session.close().await.unwrap();
                }
            }
        }
    });
}

#[test]
fn who_grants_nothing_gets_four_mebibytes() {
    run(async {
        let (to, _echoing) = echoing();
        let (_relay, options) = relay(to, Fault::None);
        let session = options.app(App::Miser).session().await.unwrap();
        let stream = session.stream().unwrap();
        let outcome = smol::future::or(async { Some(echoes(&stream, 1, 5 << 20).await) }, async {
            smol::Timer::after(Duration::from_secs(1)).await;
            None
        });
        assert!(outcome.await.is_none());
        assert_eq!(stream.credits().map(|credits| credits.0), Some(0));
        session.assert_clean();
    });
}

#[test]
fn clients_come_through_the_gateway() {
    run(async {
        let telegram = crate::telegram::FakeTelegram::start(Default::default()).unwrap();
        let dc = telegram.direct_addresses(2)[0];
        let (_relay, options) = relay(dc, Fault::None);
        let gateway = Gateway::start(&options).await.unwrap();
        for kind in [Kind::Abridged, Kind::Intermediate, Kind::Padded] {
            // The far end of this relay is a DC: no secret is wanted there.
            let mut client_options = gateway.client(kind);
            client_options.key = None;
            let mut client = client_options.connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 70_000)))
                .await
                .unwrap();
            within("a download", client.download(9 << 20, 1 << 20))
                .await
                .unwrap();
            client.send(&Command::Close.payload()).await.unwrap();
            within("its end", client.until_closed()).await.unwrap();
        }
        gateway.session().await.unwrap().assert_clean();
        telegram.assert_clean();
    });
}

/// What an app must bear.
#[test]
fn troubles_that_are_none() {
    run(async {
        let (to, _echoing) = echoing();
        for fault in [Fault::Busy, Fault::LostAnswers] {
            let (_relay, options) = relay(to, fault);
            let session = options.carrier(Carrier::Https).session().await.unwrap();
            let stream = session.stream().unwrap();
            let echoing = echoes(&stream, 1, 300_000);
            within("echoes", echoing).await.unwrap();
            session.assert_clean();
        }
    });
}

/// The session's violation, where a stream is opened and waited for.
async fn broken(options: &Options) -> String {
    let session = match options.session().await {
        Ok(session) => session,
        Err(error) => return error.to_string(),
    };
    let stream = session.stream().unwrap();
    let _ = stream.write(b"hello").await;
    session.until_over().await;
    let violations = session.take_violations();
    assert_eq!(violations.len(), 1, "{:?}", session.over());
    violations[0].clone()
}

#[test]
fn every_fault_of_frames_is_caught_over_both_carriers() {
    run(async {
        let (to, _echoing) = echoing();
        for (fault, expected) in [
            (Fault::Welcome(b""), "without a frame"),
            (
                Fault::Welcome(&[0x05, 0, 0, 0, 0, 0, 0, 0]),
                "before WELCOME",
            ),
            (
                Fault::Welcome(&[0x11, 0, 0, 0, 0, 0, 0, 1, 7]),
                "with a payload",
            ),
            (Fault::Batch(&[0x11, 0, 0, 0, 0, 0, 0, 0]), "second WELCOME"),
            (Fault::Batch(&[0x01, 0, 0, 1, 0, 0, 0, 0]), "an app's"),
            (Fault::Batch(&[0x12, 0, 0, 0, 0, 0, 0, 0]), "there is not"),
            (Fault::Batch(&[0x02, 0, 0, 1, 0, 0, 0, 0]), "without a byte"),
            (Fault::Batch(&[0x02, 0, 0, 9, 0, 0, 0, 1, 7]), "not known"),
            (Fault::Batch(&[0x03, 0, 0, 1, 0, 0, 0, 1, 7]), "payload"),
            (
                Fault::Batch(&[0x04, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0]),
                "a WINDOW of",
            ),
            (
                Fault::Batch(&[0x02, 0, 0, 1, 0, 0, 0, 3, 7]),
                "without its end",
            ),
            (Fault::Batch(&[0x02, 0, 0]), "header"),
            (Fault::Batch(&[]), "without a frame"),
            (Fault::Overrun, "with credit for 0"),
            (Fault::TooMuchCredit, "over 2^32"),
            (Fault::DataBehindClose, "behind its CLOSE"),
        ] {
            for carrier in Carrier::ALL {
                let (_relay, options) = relay(to, fault);
                let options = options.carrier(carrier);
                let options = match fault {
                    Fault::TooMuchCredit => options.app(App::Android),
                    _ => options.app(App::Miser),
                };
                let said = broken(&options).await;
                assert!(said.contains(expected), "{fault:?} {carrier:?}: {said}");
            }
        }
    });
}

#[test]
fn every_fault_of_http_is_caught() {
    run(async {
        let (to, _echoing) = echoing();
        let (https, socket) = (Carrier::Https, Carrier::WebSocket);
        for (fault, carrier, expected) in [
            (Fault::PageStatus(302), https, "status 302"),
            (Fault::PageStatus(404), https, "status 404"),
            (Fault::PageWithoutToken, https, "without a token"),
            (Fault::PageWithout("Content-Type"), https, "Content-Type"),
            (Fault::PageWithout("Cache-Control"), https, "Cache-Control"),
            (
                Fault::PageWithout("Referrer-Policy"),
                https,
                "Referrer-Policy",
            ),
            (
                Fault::PageWithout("Permissions-Policy"),
                https,
                "Permissions",
            ),
            (
                Fault::PageWithout("Content-Security-Policy"),
                https,
                "sandbox",
            ),
            (
                Fault::PageWithout("X-Frame-Options"),
                https,
                "there is X-Fr",
            ),
            (Fault::PageWithout("Set-Cookie"), https, "there is Set"),
            (
                Fault::CreationWithout("Cache-Control"),
                https,
                "Cache-Control",
            ),
            (
                Fault::CreationWithout("X-Down-Cursor"),
                https,
                "X-Down-Cursor",
            ),
            (
                Fault::CreationWithout("X-Session-Token"),
                https,
                "a session token",
            ),
            (
                Fault::CreationWithout("X-Carrier-Mode"),
                https,
                "X-Carrier-Mode",
            ),
            (Fault::WrongAck, https, "ack Some(\"2\")"),
            (Fault::SameCursor, https, "to 0, cursor Some(\"0\")"),
            (Fault::FarCursor, https, "to 0, cursor Some(\"2\")"),
            (Fault::NoSubprotocol, socket, "Sec-WebSocket-Protocol"),
            (Fault::Extension, socket, "an extension"),
            (Fault::Text, socket, "opcode 1"),
            (Fault::Raw(&[0x82, 0x80, 1, 2, 3, 4]), socket, "with a mask"),
            (Fault::Raw(&[0xc2, 0]), socket, "reserved"),
            (Fault::Raw(&[0x80, 0]), socket, "opcode 0"),
            (Fault::Raw(&[0x02, 0, 0x82, 0]), socket, "within a message"),
            (Fault::Raw(&[0x8a, 0]), socket, "nobody asked for"),
            (
                Fault::Raw(&[0x82, 126, 0, 3, 1, 1, 1]),
                socket,
                "2 bytes for 3",
            ),
            (Fault::Raw(&[0x82, 0]), socket, "without a frame"),
        ] {
            let (_relay, options) = relay(to, fault);
            let said = broken(&options.carrier(carrier)).await;
            assert!(said.contains(expected), "{fault:?}: {said}");
        }
    });
}

#[test]
fn links_are_in_both_forms() {
    let secret = Secret::padded([0x11; 16]);
    let [tg, me] = invites(&secret, HOST, None);
    let rest = format!("webproxy?server={HOST}&secret=dd{}", "11".repeat(16));
    assert_eq!(tg, format!("tg://{rest}"));
    assert_eq!(me, format!("https://t.me/{rest}"));
}
