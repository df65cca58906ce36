//! Front and back on loopback, joined by a plain link with a key: what clients
//! see of it must be what they see of one process.

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{Route, Secured, Split};
use fake_telegram::payload::{echo, quick_ack_token};
use fake_telegram::telegram::Options;
use fake_telegram::transport::Unit;
use fake_telegram::wait::{run, within};

const TAG: [u8; 16] = [0xab; 16];

fn tagged() -> Options {
    Options {
        tag: Some(TAG),
        ..Options::default()
    }
}

async fn packets_of_every_size(route: Route) {
    let secured = Secured::default();
    let split = Split::start_with(built_binary!(), route, tagged(), &secured, |o| o).await;
    let small = (4..=64).step_by(4);
    let sizes = small.chain([500, 504, 508, 512, 1000, 16_380, 16_384, 65_532]);
    let sizes: Vec<usize> = sizes.chain([100 << 10, (1 << 20) - 4, 1 << 20]).collect();
    for kind in Kind::ALL {
        let mut client = split.front.client(kind).connect().await.unwrap();
        for size in &sizes {
            let request = echo(*size as u32, *size);
            let outcome = within("an echo", client.echo(&request)).await;
            outcome.unwrap_or_else(|error| panic!("{kind:?}, {size} bytes: {error}"));
        }
        for (total, size) in [(4096, 64), (1 << 20, 100 << 10), (4 << 20, 1 << 20)] {
            within("a download", client.download(total, size))
                .await
                .unwrap();
        }
    }
    split.front.cleared().await;
    split.back.cleared().await;
    split.telegram.assert_clean();
    split.front.stop().await;
    split.back.stop().await;
}

#[test]
fn middle_carries_packets_of_every_size() {
    run(packets_of_every_size(Route::Middle));
}

#[test]
fn direct_carries_packets_of_every_size() {
    run(packets_of_every_size(Route::Direct));
}

#[test]
fn quick_acks_and_rows_of_packets_arrive_in_order() {
    run(async {
        for route in Route::ALL {
            let secured = Secured::default();
            let split = Split::start(built_binary!(), route, &secured, |o| o).await;
            for kind in Kind::ALL {
                let mut client = split.front.client(kind).connect().await.unwrap();
                for size in [64, 700, 100 << 10] {
                    let request = echo(9, size);
                    client.send_for_quick_ack(&request).await.unwrap();
                    let ack = within("a quick-ack", client.recv()).await.unwrap();
                    assert_eq!(ack, Unit::QuickAck(quick_ack_token(&request)), "{kind:?}");
                    let answer = within("an answer", client.recv_packet()).await.unwrap();
                    assert!(answer == request, "{kind:?}, {size} bytes");
                }
                let packets: Vec<_> = (1..200).map(|n| echo(n, 8 + 4 * n as usize)).collect();
                for packet in &packets {
                    client.send(packet).await.unwrap();
                }
                for packet in &packets {
                    let answer = within("an answer", client.recv_packet()).await.unwrap();
                    assert!(answer == *packet, "{kind:?} over {route:?}");
                }
            }
            split.telegram.assert_clean();
        }
    });
}
