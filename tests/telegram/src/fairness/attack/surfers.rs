//! Those who come to the WEB proxy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use smol::Timer;
use smol::io::AsyncReadExt;

use super::{Attack, Tally, for_ever};
use crate::client::{Codec, Kind};
use crate::crypto::random;
use crate::payload::Command;
use crate::web_app::{DATA, OPEN, Options, Request, Socket, frame, unpadded};

/// What they do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surf {
    /// They ask for pages with capabilities that are none, one after another.
    Guess,
    /// They begin a head that is long, and stop.
    HalfHead,
    /// They send a body to the cover a byte at a time.
    SlowBody,
    /// They say the first word of TLS, get an answer, and say no more.
    HalfHandshake,
    /// They have a session whose streams want much, and read nothing.
    Deaf,
    /// They have a session with as many streams as there may be, which say nothing.
    ManyStreams,
}

pub fn surfers(app: Options, count: usize, surf: Surf) -> Attack {
    Attack::launch(count, move |_, tally| {
        let app = app.clone();
        async move {
            let mut has_begun = false;
            loop {
                let went = match surf {
                    Surf::Guess => guess(&app, &tally, &mut has_begun).await,
                    Surf::HalfHead => half_head(&app, &tally, &mut has_begun).await,
                    Surf::SlowBody => slow_body(&app, &tally, &mut has_begun).await,
                    Surf::HalfHandshake => half_handshake(&app, &tally, &mut has_begun).await,
                    Surf::Deaf => session(&app, &deaf(&app), &tally, &mut has_begun).await,
                    Surf::ManyStreams => {
                        let opened = (1..=128).flat_map(|stream| frame(OPEN, stream, &[]));
                        let opened = opened.collect::<Vec<_>>();
                        session(&app, &opened, &tally, &mut has_begun).await
                    }
                };
                if went.is_err() {
                    tally.was_cut();
                }
                begin(&tally, &mut has_begun);
                Timer::after(Duration::from_millis(200)).await;
            }
        }
    })
}

fn begin(tally: &Arc<Tally>, has_begun: &mut bool) {
    if !std::mem::replace(has_begun, true) {
        tally.began();
    }
}

async fn guess(app: &Options, tally: &Arc<Tally>, has_begun: &mut bool) -> io::Result<()> {
    let mut connection = app.connect().await?;
    loop {
        let guess = unpadded(&random::<32>());
        let request = Request::new(app, "GET", &format!("/?bridge={guess}"));
        connection.ask(&request).await?;
        tally.add(1);
        begin(tally, has_begun);
    }
}

async fn half_head(app: &Options, tally: &Arc<Tally>, has_begun: &mut bool) -> io::Result<()> {
    let mut connection = app.connect().await?;
    let half = format!("GET /{}", "x".repeat(60_000));
    connection.send(half.as_bytes()).await?;
    begin(tally, has_begun);
    connection.rest().await.map(|_| ())
}

async fn slow_body(app: &Options, tally: &Arc<Tally>, has_begun: &mut bool) -> io::Result<()> {
    let mut connection = app.connect().await?;
    let host = &app.host;
    let head = format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\n");
    connection.send(head.as_bytes()).await?;
    begin(tally, has_begun);
    loop {
        connection.send(b"x").await?;
        Timer::after(Duration::from_millis(200)).await;
    }
}

async fn half_handshake(app: &Options, tally: &Arc<Tally>, has_begun: &mut bool) -> io::Result<()> {
    let mut stream = app.half_shaken().await?;
    begin(tally, has_begun);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    Ok(())
}

/// Four streams to DC 2 with a wish for 32 MiB each.
fn deaf(app: &Options) -> Vec<u8> {
    let streams = (1..5).map(|stream| {
        let options = Kind::Padded.options(app.door);
        let mut codec = Codec::new(options.transport, 2, options.key.as_ref());
        let ask = Command::SendMe {
            total: 32 << 20,
            size: 1 << 20,
        };
        let packet = codec.packet(&ask.payload(), false, &[]);
        [frame(OPEN, stream, &[]), frame(DATA, stream, &packet)].concat()
    });
    streams.collect::<Vec<_>>().concat()
}

/// On a WebSocket that is opened, and never read.
async fn session(
    app: &Options,
    frames: &[u8],
    tally: &Arc<Tally>,
    has_begun: &mut bool,
) -> io::Result<()> {
    let api = app.api().await?;
    let (token, _) = api.create().await?;
    let socket = Socket::open(&api, &token).await?;
    socket.sender().send(frames).await?;
    begin(tally, has_begun);
    for_ever().await;
    Ok(())
}
