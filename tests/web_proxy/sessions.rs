//! Sessions by both carriers, classic and dd, direct and middle, with a few streams and
//! with many.

use fake_telegram::client::{Codec, Kind};
use fake_telegram::crypto::{from_hex, random};
use fake_telegram::harness::{ProxyOptions, Route};
use fake_telegram::payload::{Command, echo, req_pq_multi};
use fake_telegram::secret::KEY;
use fake_telegram::transport::Unit;
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_app::{
    App, CLOSE, Carrier, Cut, DATA, Gateway, OPEN, Options, Secret, WINDOW, frame,
};

use crate::{HOST, Inside, KINDS, Set, served};

/// The key of a secret that takes padded clients alone.
const DD: [u8; 16] = [0xd0; 16];

/// Clients of every kind do everything that clients do, in so many streams of one
/// session.
pub async fn whole_session(app: &Options, streams: usize) {
    let gateway = Gateway::start(app).await.unwrap();
    let mut clients = Vec::new();
    for kind in KINDS.into_iter().cycle().take(streams) {
        clients.push(served(&gateway, kind, 2).await);
    }
    let sizes = [8, 504, 508, 16_380, 65_532, 300_000];
    for (at, client) in clients.iter_mut().enumerate() {
        let request = echo(at as u32, sizes[at % sizes.len()]);
        within("an echo", client.echo(&request)).await.unwrap();
        let nonce: [u8; 16] = random();
        client.send(&req_pq_multi(nonce)).await.unwrap();
        let answer = within("resPQ", client.recv_packet()).await.unwrap();
        assert_eq!(answer[24..40], nonce);
        if at % 16 == 0 {
            within("a download", client.download(400_000, 100_000))
                .await
                .unwrap();
            let request = echo(3, 700);
            let quick = client.echo_for_quick_ack(&request);
            assert!(within("a quick-ack", quick).await.unwrap());
        }
    }
    // Some of them end, by the DC or by themselves; the others go on.
    let mut last = clients.pop().unwrap();
    last.send(&Command::EchoAndClose.payload()).await.unwrap();
    let units = within("its end", last.until_closed()).await.unwrap();
    assert_eq!(units.len(), 1);
    clients.truncate(streams / 2);
    for client in &mut clients {
        within("an echo", client.echo(&echo(5, 64))).await.unwrap();
    }
    drop(clients);
    served(&gateway, Kind::Padded, 2).await;
    let session = gateway.session().await.unwrap();
    session.assert_clean();
    session.close().await.unwrap();
}

async fn whole_sessions(route: Route, carrier: Carrier, streams: &[usize]) {
    whole_sessions_of(&Set::start(route).await, carrier, streams).await;
}

pub async fn whole_sessions_of(set: &Set, carrier: Carrier, streams: &[usize]) {
    for secret in [Secret::plain(KEY), Secret::padded(KEY)] {
        for streams in streams {
            let app = set.app().carrier(carrier).secret(secret.clone());
            // A padded one takes no other client.
            match secret.is_padded {
                false => whole_session(&app, *streams).await,
                true => padded_session(&app, *streams).await,
            }
        }
    }
    set.telegram.assert_clean();
}

async fn padded_session(app: &Options, streams: usize) {
    let gateway = Gateway::start(app).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..streams {
        clients.push(served(&gateway, Kind::Padded, -4).await);
    }
    for client in &mut clients {
        within("an echo", client.echo(&echo(2, 70_000)))
            .await
            .unwrap();
    }
    gateway.session().await.unwrap().assert_clean();
}

#[test]
fn direct_by_websocket() {
    run(whole_sessions(Route::Direct, Carrier::WebSocket, &[1, 20]));
}

#[test]
fn direct_by_https() {
    run(whole_sessions(Route::Direct, Carrier::Https, &[1, 20]));
}

#[test]
fn middle_by_websocket() {
    run(whole_sessions(Route::Middle, Carrier::WebSocket, &[1, 20]));
}

#[test]
fn middle_by_https() {
    run(whole_sessions(Route::Middle, Carrier::Https, &[1, 20]));
}

#[test]
fn as_many_streams_as_a_session_may_have() {
    for carrier in Carrier::ALL {
        run(whole_sessions(Route::Direct, carrier, &[128]));
    }
}

#[test]
fn every_app_is_served() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for app in App::REAL {
            for carrier in Carrier::ALL {
                let options = set.app().app(app).carrier(carrier);
                let options = options.first_stream(0xff_fff0);
                whole_session(&options, 20).await;
            }
        }
        set.telegram.assert_clean();
    });
}

#[test]
fn messages_may_be_cut_anywhere() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for seed in 0..8 {
            whole_session(&set.app().cut(Cut::Anywhere(seed)), 4).await;
        }
        whole_session(&set.app().cut(Cut::Whole), 4).await;
        set.telegram.assert_clean();
    });
}

#[test]
fn frames_may_be_cut_anywhere() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for carrier in Carrier::ALL {
            let mut app = set.app().carrier(carrier);
            for data in [1, 7, 63, 64, 65, 1000] {
                app.data = data;
                let session = app.session().await.unwrap();
                let mut inside = Inside::open(&session, Kind::Abridged, 2);
                let outcome = within("an echo", inside.echo(&echo(1, 1024))).await;
                outcome.unwrap_or_else(|error| panic!("{carrier:?}, {data}: {error}"));
                session.assert_clean();
            }
            // One DATA of a mebibyte.
            app.data = 1 << 20;
            let session = app.session().await.unwrap();
            let mut inside = Inside::open(&session, Kind::Padded, 2);
            within("an echo", inside.echo(&echo(1, 1 << 20)))
                .await
                .unwrap();
            session.assert_clean();
        }
        set.telegram.assert_clean();
    });
}

/// A stream that is no client of its session is closed, and nothing else is.
#[test]
fn a_bad_header_closes_its_stream_alone() {
    run(async {
        let other = [0x6e; 16];
        let guest = format!("guest={}", fake_telegram::crypto::hex(&other));
        let dd = format!("dd=dd{}", fake_telegram::crypto::hex(&DD));
        let add = |o: ProxyOptions| o.add("--secret", guest).add("--secret", dd);
        let set = Set::start_with(Route::Direct, add).await;
        for carrier in Carrier::ALL {
            for secret in [Secret::plain(KEY), Secret::padded(DD)] {
                let is_padded = secret.is_padded;
                let key = secret.key;
                let app = set.app().carrier(carrier).secret(secret);
                let session = app.session().await.unwrap();
                let mut good = Inside::open(&session, Kind::Padded, 2);
                within("an echo", good.echo(&echo(1, 64))).await.unwrap();
                // Noise; the key of another secret; a form that the secret does not take.
                let noise = session.stream().unwrap();
                noise.write(&random::<64>()).await.unwrap();
                let foreign = session.stream().unwrap();
                let options = Kind::Padded.options(app.door).key(other);
                foreign.write(&options.first_bytes()).await.unwrap();
                let mut bad = vec![("noise", noise), ("foreign", foreign)];
                if is_padded {
                    let plain = session.stream().unwrap();
                    let options = Kind::Abridged.options(app.door).key(key);
                    plain.write(&options.first_bytes()).await.unwrap();
                    bad.push(("plain", plain));
                }
                for (what, stream) in &bad {
                    let end = async { while !stream.read().await.unwrap().is_empty() {} };
                    within(&format!("CLOSE of {what}, {carrier:?}"), end).await;
                }
                // A header that came before is a replay.
                let header = Kind::Padded.options(app.door).key(key).first_bytes();
                let first = session.stream().unwrap();
                first.write(&header).await.unwrap();
                within("an echo", good.echo(&echo(3, 64))).await.unwrap();
                let second = session.stream().unwrap();
                second.write(&header).await.unwrap();
                eventually("CLOSE", || !second.is_open()).await;
                within("an echo", good.echo(&echo(2, 640))).await.unwrap();
                session.assert_clean();
            }
        }
        set.telegram.assert_clean();
    });
}

/// The session that the vectors describe, byte for byte.
#[test]
fn the_session_of_the_vectors() {
    run(async {
        let key: [u8; 16] = std::array::from_fn(|at| at as u8);
        let secret = fake_telegram::crypto::hex(&key);
        let set = Set::start_with(Route::Direct, |o| o.set("--secret", secret)).await;
        let header = from_hex(concat!(
            "030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc",
            "e3eaf1f8ff060d141b222930373e454c535a61686f767d84db3b9332566cf594"
        ));
        let request = from_hex(concat!(
            "1804d1dd04cda30cd01aed19023f437fde29a9c664fa2cef890f75fc649f2af3",
            "24504822bbc94805f4"
        ));
        let (header, request) = (header.unwrap(), request.unwrap());
        let app = set.app().secret(Secret::plain(key)).carrier(Carrier::Https);
        let api = app.api().await.unwrap();
        let (token, welcome) = api.create().await.unwrap();
        assert_eq!(welcome, from_hex("1100000000000000").unwrap());
        let body = [
            frame(OPEN, 1, &[]),
            frame(DATA, 1, &[header.clone(), request].concat()),
        ];
        assert!(body[1].starts_with(&[2, 0, 0, 1, 0, 0, 0, 0x69]));
        let answer = api.ask(&api.up(&token, 1, &body.concat())).await.unwrap();
        assert_eq!(answer.status, 204);
        assert_eq!(answer.field("X-Up-Ack"), Some("1"));

        let header: [u8; 64] = header.try_into().unwrap();
        let mut codec = Codec::behind(&header, &key).unwrap();
        let (mut cursor, mut granted, mut answered) = (0, 0, None);
        while granted < 105 || answered.is_none() {
            let answer = api.ask(&api.down(&token, cursor)).await.unwrap();
            assert_eq!(answer.status, 200, "{granted} granted, {answered:?}");
            cursor += 1;
            assert_eq!(answer.field("X-Down-Cursor"), Some(&*cursor.to_string()));
            let mut rest = answer.body.as_slice();
            while let [kind, _, _, 1, length @ ..] = rest {
                let (length, behind) = length.split_first_chunk::<4>().unwrap();
                let (payload, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
                match *kind {
                    WINDOW => granted += u32::from_be_bytes(payload.try_into().unwrap()),
                    DATA => codec.push(payload).unwrap(),
                    kind => panic!("a frame {kind}"),
                }
                rest = behind;
            }
            answered = answered.or(codec.next_unit().unwrap());
        }
        assert_eq!(granted, 105);
        let Some(Unit::Packet { payload, .. }) = answered else {
            panic!("{answered:?}");
        };
        assert_eq!(payload[20..24], 0x0516_2463u32.to_le_bytes(), "resPQ");
        assert_eq!(payload[24..40], key, "the nonce");
        let answer = api.ask(&api.delete(&token)).await.unwrap();
        assert_eq!(answer.status, 204);
        set.telegram.assert_clean();
    });
}

/// What comes for a stream that is closed is ignored, on both sides.
#[test]
fn late_frames_do_no_harm() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for carrier in Carrier::ALL {
            let (session, mut inside) = crate::session(&set.app(), carrier).await;
            let closed = session.stream_numbered(900).unwrap();
            closed.close();
            for late in [
                frame(DATA, 900, b"late"),
                frame(WINDOW, 900, &[0, 0, 0, 1]),
                frame(CLOSE, 900, &[]),
                frame(fake_telegram::web_app::PONG, 0, &[7; 64]),
            ] {
                session.send_raw(&late);
            }
            within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
            // An answer that is under way when its stream is closed.
            let mut busy = Inside::open(&session, Kind::Padded, 2);
            let ask = Command::SendMe {
                total: 8 << 20,
                size: 1 << 20,
            };
            let packet = busy.codec.packet(&ask.payload(), false, &[]);
            busy.stream.write(&packet).await.unwrap();
            assert!(
                !within("bytes", busy.stream.read())
                    .await
                    .unwrap()
                    .is_empty()
            );
            drop(busy);
            within("an echo", inside.echo(&echo(3, 300_000)))
                .await
                .unwrap();
            session.assert_clean();
        }
        set.telegram.assert_clean();
        assert!(set.proxy.web_app(HOST).page().await.is_ok());
    });
}
