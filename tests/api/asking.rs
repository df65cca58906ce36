//! A program that asks the control socket, with no code of the proxy's.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fake_telegram::harness::Proxy;
use serde_json::Value;

pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(one, _)| one == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// The socket is there a moment after the listener.
pub fn connect(proxy: &Proxy) -> UnixStream {
    let path = proxy.directory().join("control");
    let start = Instant::now();
    loop {
        match UnixStream::connect(&path) {
            Ok(stream) => {
                let limit = Some(Duration::from_secs(60));
                stream.set_read_timeout(limit).unwrap();
                return stream;
            }
            Err(error) => assert!(start.elapsed() < Duration::from_secs(30), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn send(stream: &mut UnixStream, method: &str, target: &str, fields: &str) {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
}

/// Reads one answer and leaves the connection as it is.
pub fn receive(stream: &mut UnixStream, has_body: bool) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let mut answer = Answer {
        status: status.parse().unwrap(),
        fields: fields.collect(),
        body: String::new(),
    };
    let length: usize = answer.field("content-length").parse().unwrap();
    let mut body = vec![0; if has_body { length } else { 0 }];
    stream.read_exact(&mut body).unwrap();
    answer.body = String::from_utf8(body).unwrap();
    answer
}

pub fn ask_with(proxy: &Proxy, method: &str, target: &str, fields: &str) -> Answer {
    let mut stream = connect(proxy);
    send(&mut stream, method, target, fields);
    receive(&mut stream, method != "HEAD")
}

pub fn ask(proxy: &Proxy, method: &str, target: &str) -> Answer {
    ask_with(proxy, method, target, "")
}

pub fn get(proxy: &Proxy, target: &str) -> Value {
    let answer = ask(proxy, "GET", target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    assert_eq!(answer.field("content-type"), "application/json");
    answer.json()
}
