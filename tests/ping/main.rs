//! `ping`: every kind of link to proxies that work, that do not, and that are none.
#![cfg(feature = "ping")]

mod failures;
mod other;
mod pacing;
#[cfg(feature = "tls")]
mod site;
#[cfg(feature = "tls")]
mod web;
mod words;
mod working;

use std::net::SocketAddr;

use fake_telegram::built_binary;
use fake_telegram::crypto::hex;
use fake_telegram::harness::{Said, program};
use fake_telegram::secret::{DOMAIN, KEY, classic, fake_tls, padded};
use serde_json::Value;

/// Another one than the proxies'.
pub const WRONG: [u8; 16] = [0x77; 16];

/// What ping says to these words; no secret is in it.
pub async fn said(words: &[String]) -> Said {
    let mut command = program(built_binary!());
    command.arg("ping").args(words);
    let said = smol::unblock(move || Said::by(&mut command)).await;
    for key in [KEY, WRONG] {
        let secret = hex(&key);
        assert!(!said.stdout.contains(&secret), "{}", said.stdout);
        assert!(!said.stderr.contains(&secret), "{}", said.stderr);
    }
    said
}

/// Its status, and the one object that it prints.
pub async fn told(words: &[String]) -> (i32, Value) {
    let words: Vec<String> = words.iter().cloned().chain(["--json".to_owned()]).collect();
    let said = said(&words).await;
    let object = serde_json::from_str(&said.stdout);
    let object = object.unwrap_or_else(|error| panic!("{error}: {} {}", said.stdout, said.stderr));
    (said.status, object)
}

pub fn words(link: &str, more: &str) -> Vec<String> {
    let more = more.split_whitespace().map(str::to_owned);
    [link.to_owned()].into_iter().chain(more).collect()
}

/// The three forms of a key, by the words of ping.
pub fn forms(key: &[u8; 16]) -> [(&'static str, String); 3] {
    [
        ("plain", classic(key)),
        ("dd", padded(key)),
        ("ee", fake_tls(key, DOMAIN)),
    ]
}

pub fn link(address: SocketAddr, secret: &str) -> String {
    let (server, port) = (address.ip(), address.port());
    format!("tg://proxy?server={server}&port={port}&secret={secret}")
}

/// The word for the failure of a link's first ping.
pub fn failure(told: &Value) -> &str {
    let ping = &told["links"][0]["pings"][0];
    ping["failure"].as_str().unwrap_or_else(|| panic!("{told}"))
}

pub fn advice(told: &Value) -> &str {
    let ping = &told["links"][0]["pings"][0];
    ping["advice"].as_str().unwrap_or_else(|| panic!("{told}"))
}
