//! The requests of a session.

use std::io;
use std::time::Duration;

use super::frames::{self, HELLO};
use super::http::{Answer, Connection, Request};
use super::options::{App, Options};
use crate::client::invalid;

/// How long a poll waits at a relay that has nothing to say.
pub const DOWN_WAIT: Duration = Duration::from_secs(25);

const BYTES: &str = "application/octet-stream";

/// The requests that go with one bootstrap token.
#[derive(Clone)]
pub struct Api {
    pub options: Options,
    pub bootstrap: String,
}

impl Api {
    pub fn new(options: &Options, bootstrap: &str) -> Self {
        Self {
            options: options.clone(),
            bootstrap: bootstrap.to_owned(),
        }
    }

    fn request(&self, method: &str, what: &str, token: &str) -> Request {
        let target = self.options.target(&format!("api/v1/{what}"));
        Request::new(&self.options, method, &target)
            .field("Authorization", &format!("Bearer {token}"))
            .field("Origin", &format!("https://{}", self.options.host))
    }

    /// For a session; `body` is HELLO.
    pub fn session(&self, body: &[u8]) -> Request {
        let request = self.request("POST", "session", &self.bootstrap);
        request.field("Content-Type", BYTES).body(body)
    }

    pub fn delete(&self, token: &str) -> Request {
        self.request("DELETE", "session", token)
    }

    pub fn up(&self, token: &str, seq: u64, body: &[u8]) -> Request {
        self.request("POST", "up", token)
            .field("X-Up-Seq", &seq.to_string())
            .field("Content-Type", BYTES)
            .body(body)
    }

    pub fn down(&self, token: &str, cursor: u64) -> Request {
        let request = self.request("POST", "down", token);
        let request = request.field("X-Down-Cursor", &cursor.to_string());
        match self.options.app {
            App::Telethon => request.field("Content-Type", ""),
            _ => request,
        }
    }

    /// For the socket, as Chromium asks.
    pub fn socket(&self, token: &str) -> Request {
        let target = self.options.target("api/v1/ws");
        Request::new(&self.options, "GET", &target)
            .field("Connection", "Upgrade")
            .field("Pragma", "no-cache")
            .field("Upgrade", "websocket")
            .field("Origin", &format!("https://{}", self.options.host))
            .field("Sec-WebSocket-Version", "13")
            .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .field(
                "Sec-WebSocket-Extensions",
                "permessage-deflate; client_max_window_bits",
            )
            .field("Sec-WebSocket-Protocol", &format!("tproxy-v1.{token}"))
    }

    /// Asks on a connection of its own.
    pub async fn ask(&self, request: &Request) -> io::Result<Answer> {
        Connection::open(&self.options).await?.ask(request).await
    }

    /// Creates the session: its token, and what came with it, which is WELCOME.
    pub async fn create(&self) -> io::Result<(String, Vec<u8>)> {
        let hello = frames::frame(HELLO, 0, &[1]);
        let answer = self.ask(&self.session(&hello)).await?;
        created(answer).map_err(invalid)
    }
}

/// What an answer to the request for a session must say.
fn created(answer: Answer) -> Result<(String, Vec<u8>), String> {
    if answer.status != 200 {
        return Err(format!("no session: status {}", answer.status));
    }
    for (name, expected) in [
        ("Content-Type", BYTES),
        ("Cache-Control", "no-store"),
        ("X-Down-Cursor", "0"),
    ] {
        if answer.field(name) != Some(expected) {
            return Err(format!("{name} is {:?}", answer.field(name)));
        }
    }
    let mode = answer.field("X-Carrier-Mode").unwrap_or_default();
    if !["https", "websocket"].contains(&mode) {
        return Err(format!("X-Carrier-Mode is {mode:?}"));
    }
    let token = answer.field("X-Session-Token").unwrap_or_default();
    if token.len() != 43 {
        return Err(format!("a session token of {} characters", token.len()));
    }
    Ok((token.to_owned(), answer.body.clone()))
}
