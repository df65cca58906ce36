//! What a proxy says of itself: its metrics and its log.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::wait::patience;

/// One scrape of the metrics.
pub struct Metrics(pub String);

impl Metrics {
    /// Asks the exporter at `address`.
    pub fn scrape(address: &str) -> io::Result<Self> {
        http_get(address, "/metrics").map(Self)
    }

    /// The sum of the samples of `name` whose labels contain all of `labels`,
    /// each as in `reason="…"`; 0 when there are none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let wanted = labels.iter().all(|label| found.contains(label));
            wanted.then(|| value.trim().parse::<f64>().ok()).flatten()
        });
        samples.sum()
    }
}

/// The lines that a child wrote so far.
#[derive(Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    followers: Vec<JoinHandle<()>>,
}

impl Log {
    pub fn follow(&mut self, stream: impl Read + Send + 'static) {
        let log = self.lines.clone();
        self.followers.push(std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                log.lock().expect("no holder panics").push(line);
            }
        }));
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no holder panics").clone()
    }

    /// All lines of a child that has ended.
    pub fn into_lines(self) -> Vec<String> {
        for follower in self.followers {
            let _ = follower.join();
        }
        self.lines.lock().expect("no holder panics").clone()
    }
}

fn http_get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience()))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(answer)),
    }
}
