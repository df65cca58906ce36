//! The records of a client's session.

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, start};
use fake_telegram::payload::{Command, echo};
use fake_telegram::tls::{APPLICATION_DATA, FULL_RECORD, MAX_RECORD, SEAL, split_record};
use fake_telegram::wait::{run, within};
use smol::io::AsyncReadExt;

/// Lengths of the records that come in answer to `command`, until there are
/// `total` bytes or the proxy closes.
async fn record_lengths(
    proxy: &Proxy,
    post_quantum: bool,
    command: &[u8],
    total: usize,
) -> Vec<usize> {
    let options = proxy.client(Kind::FakeTls);
    let options = options.hello(|hello| hello.post_quantum = post_quantum);
    let mut client = options.connect().await.unwrap();
    client.send(command).await.unwrap();
    let mut stream = client.into_stream();
    let (mut input, mut lengths) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; 65_536];
    while lengths.iter().sum::<usize>() < total {
        let length = within("an answer", stream.read(&mut buffer)).await.unwrap();
        if length == 0 {
            break;
        }
        input.extend_from_slice(&buffer[..length]);
        while let Some((kind, body, used)) = split_record(&input) {
            assert_eq!(kind, APPLICATION_DATA);
            lengths.push(body.len());
            input.drain(..used);
        }
    }
    assert!(input.is_empty(), "half a record");
    lengths
}

const TOTAL: u32 = 1_000_000;

fn download() -> Vec<u8> {
    let command = Command::SendMe {
        total: TOTAL,
        size: 250_000,
    };
    command.payload()
}

#[test]
fn records_are_full_or_grow() {
    run(async {
        for route in Route::ALL {
            for (sizes, post_quantum, longest) in [
                ("full", true, FULL_RECORD),
                ("auto", true, FULL_RECORD),
                ("auto", false, MAX_RECORD),
                ("growing", true, FULL_RECORD),
            ] {
                let flags = |o: ProxyOptions| o.set("--tls-records", sizes);
                let (telegram, proxy) = start(built_binary!(), route, flags).await;
                let lengths =
                    record_lengths(&proxy, post_quantum, &download(), TOTAL as usize).await;
                assert_eq!(lengths.iter().max(), Some(&longest), "{lengths:?}");
                assert!(lengths.iter().all(|length| *length >= SEAL), "{lengths:?}");
                if sizes == "growing" {
                    assert_eq!(lengths[..3], [1203, 2389, 3575], "{lengths:?}");
                }
                telegram.assert_clean();
            }
        }
    });
}

#[test]
fn the_last_record_is_as_long_as_an_alert() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = start(built_binary!(), route, |o| o).await;
            for _ in 0..8 {
                let command = Command::EchoAndClose.payload();
                let lengths = record_lengths(&proxy, true, &command, usize::MAX).await;
                assert_eq!(lengths.last(), Some(&19), "{lengths:?}");
            }
            telegram.assert_clean();
        }
    });
}

/// Not a byte of a packet goes alone, however the DC's bytes come.
#[test]
fn no_record_of_a_session_is_too_short() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = start(built_binary!(), route, |o| o).await;
            let mut client = proxy.client(Kind::FakeTls).connect().await.unwrap();
            for size in (20..120).chain(16_300..16_500).step_by(4) {
                let request = echo(1, size);
                within("an echo", client.echo(&request)).await.unwrap();
            }
            telegram.assert_clean();
        }
    });
}
