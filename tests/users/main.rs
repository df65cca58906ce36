//! Users that come, change and go while the proxy runs.
#![cfg(feature = "ctl")]

mod disk;
mod file;
mod life;
mod links;
mod refusals;

use std::fs;

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Said};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, within};
use serde_json::Value;

fn telegram() -> FakeTelegram {
    FakeTelegram::start(Default::default()).unwrap()
}

fn options(telegram: &FakeTelegram) -> ProxyOptions {
    ProxyOptions::new(built_binary!(), telegram, Route::Direct)
        .set("--log-level", "info")
        .set("--reset", "on-handshake-error")
        .in_config_file()
}

/// Once it answers, which is a moment after its listener does.
async fn started(options: ProxyOptions) -> Proxy {
    let proxy = options.start().await;
    let control = proxy.directory().join("control");
    eventually("its socket for ctl", || control.exists()).await;
    proxy
}

/// `user` with the words of `line`.
fn user(proxy: &Proxy, line: &str) -> Said {
    let words: Vec<&str> = ["user"].into_iter().chain(line.split(' ')).collect();
    Said::by(&mut proxy.prepared(&words))
}

fn json(proxy: &Proxy, line: &str) -> Value {
    let said = user(proxy, &format!("{line} --json")).fine();
    serde_json::from_str(&said).unwrap()
}

/// What it says against the words of `line`, and its exit code.
fn refused(proxy: &Proxy, line: &str) -> (i32, String) {
    let said = user(proxy, line);
    assert_eq!(said.stdout, "", "{line}");
    (said.status, said.stderr)
}

/// The key of an answer with a secret.
fn key_in(answer: &Value) -> [u8; 16] {
    let secret = answer["secret"].as_str().unwrap();
    let digits = &secret[2..34];
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

/// Adds a user, and gives the key.
fn added(proxy: &Proxy, line: &str) -> [u8; 16] {
    key_in(&json(proxy, &format!("add {line}")))
}

async fn served(proxy: &Proxy, key: [u8; 16]) -> Option<Client> {
    proxy.client(Kind::FakeTls).key(key).served().await
}

/// The file, if it is there.
fn file(proxy: &Proxy) -> Option<String> {
    fs::read_to_string(proxy.directory().join("users")).ok()
}

async fn says(proxy: &Proxy, text: &str) {
    eventually(text, || proxy.log_contains(text)).await;
}

/// Its session ends.
async fn ends(client: &mut Client) {
    within("its end", client.until_closed()).await.unwrap();
}
