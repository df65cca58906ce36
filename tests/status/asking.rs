//! A program that asks the status listener, with no code of the proxy's.

use std::io::{Read, Write};
use std::net::TcpStream;

use fake_telegram::harness::Proxy;
use fake_telegram::wait::patience;
use serde_json::Value;

pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn field(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

pub struct Asker {
    address: String,
    host: String,
    fields: String,
}

impl Asker {
    pub fn of(proxy: &Proxy) -> Self {
        Self::at(proxy.metrics_address())
    }

    pub fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            host: address.to_owned(),
            fields: String::new(),
        }
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    pub fn with(mut self, field: &str) -> Self {
        self.fields += &format!("{field}\r\n");
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.with(&format!("Authorization: Bearer {token}"))
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target)
    }

    pub fn ask(&self, method: &str, target: &str) -> Answer {
        self.send(method, target, "")
    }

    pub fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        let Self { host, fields, .. } = self;
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        self.say(&format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{length}Connection: close\r\n\r\n{body}"
        ))
    }

    /// Anything, and what comes of it until the proxy hangs up.
    pub fn say(&self, said: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{read:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

/// As a person gets it.
pub fn token(proxy: &Proxy) -> String {
    let said = proxy.command(&["ctl", "token"]);
    assert!(said.status.success(), "{said:?}");
    let token = String::from_utf8(said.stdout).unwrap().trim().to_owned();
    assert!(token.len() >= 32, "{token}");
    token
}
