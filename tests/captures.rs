//! The first packets of real clients, sent to the built binary once more.

use std::fs;
use std::path::Path;

use fake_telegram::built_binary;
use fake_telegram::client::Capture;
use fake_telegram::crypto::from_hex;
use fake_telegram::harness::{Route, start};
use fake_telegram::wait::{run, within};
use serde_json::Value;

/// `auth_key_id`, message id and length come before the body.
const UNENCRYPTED_HEAD: usize = 20;
const REQ_PQ_MULTI: [u8; 4] = [0xf1, 0x8e, 0x7e, 0xbe];

fn hex(value: &Value) -> Vec<u8> {
    from_hex(value.as_str().unwrap()).unwrap()
}

fn capture(json: &Value) -> Capture {
    let chunks = json["chunks"].as_array().unwrap().iter();
    let mut chunks: Vec<_> = chunks.map(|chunk| hex(&chunk["hex"])).collect();
    let hello = json.get("client_hello").map(|_| chunks.remove(0));
    Capture {
        hello,
        header: hex(&json["obf2"]["header_hex"]).try_into().unwrap(),
        chunks,
    }
}

async fn replay_all(route: Route) {
    let (telegram, proxy) = start(built_binary!(), route, |o| o).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let replaying = within("a replay", capture(&json).replay(proxy.address())).await;
        let mut client = replaying.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        for packet in json["decoded"].as_array().unwrap() {
            let sent = hex(&packet["hex"]);
            let answer = within("an answer", client.recv_packet()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{path:?}: {error}"));
            match sent.get(UNENCRYPTED_HEAD..) {
                Some(body) if sent.starts_with(&[0; 8]) && body.starts_with(&REQ_PQ_MULTI) => {
                    assert_eq!(answer[24..40], body[4..20], "{path:?}: another nonce");
                }
                _ => assert_eq!(answer, sent[..sent.len() / 4 * 4], "{path:?}: no echo"),
            }
        }
        replayed += 1;
    }
    assert_eq!(
        replayed, 15,
        "captures of five clients, three kinds of secret each"
    );
    telegram.assert_clean();
}

#[test]
fn captured_clients_are_served_by_middle_proxies() {
    run(replay_all(Route::Middle));
}

#[test]
fn captured_clients_are_served_directly() {
    run(replay_all(Route::Direct));
}
