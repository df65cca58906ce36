//! HTTP/1.1 from the client's end, on a connection that is kept, to the letter.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use super::channel::Channel;
use super::options::Options;
use crate::client::invalid;
use crate::wait::before;

/// The longest that an answer may take: a poll lasts 25 s.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_HEAD: usize = 64 << 10;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// To the host of the options, as its web server would hand it on.
    pub fn new(options: &Options, method: &str, target: &str) -> Self {
        let request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: None,
        };
        let request = request.field("Host", &options.host);
        match &options.forwarded_for {
            None => request,
            Some(address) => request.field("X-Forwarded-For", address),
        }
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with another value of that field.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.fields
            .retain(|field| !field.0.eq_ignore_ascii_case(name));
        self.field(name, value)
    }

    pub fn without(mut self, name: &str) -> Self {
        self.fields
            .retain(|field| !field.0.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }

    /// The head, with the body's length where there is one, or could be.
    pub fn head(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            match value.is_empty() {
                true => out += &format!("{name}:\r\n"),
                false => out += &format!("{name}: {value}\r\n"),
            }
        }
        let length = self.body.as_ref().map(Vec::len);
        if let Some(length) = length.or((self.method == "POST").then_some(0)) {
            out += &format!("Content-Length: {length}\r\n");
        }
        (out + "\r\n").into_bytes()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.head();
        out.extend(self.body.iter().flatten());
        out
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// As it came, with the line of the status and the empty one.
    pub head: Vec<u8>,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The statuses of what came before it, 100 and 103.
    pub before: Vec<u16>,
}

impl Answer {
    /// The value of a field; a doubled one is as good as none.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut named = self.fields.iter();
        let mut named = named
            .by_ref()
            .filter(|one| one.0.eq_ignore_ascii_case(name));
        let value = named.next()?;
        named.next().is_none().then_some(value.1.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|field| field.0.eq_ignore_ascii_case(name))
    }

    pub fn is_last(&self) -> bool {
        let said = self.field("Connection");
        said.is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

pub struct Connection {
    channel: Arc<Channel>,
    input: Vec<u8>,
}

impl Connection {
    pub async fn open(options: &Options) -> io::Result<Self> {
        let channel = Channel::open(options).await?;
        Ok(Self {
            channel: Arc::new(channel),
            input: Vec::new(),
        })
    }

    /// Sends the request, and returns its answer.
    pub async fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.send(&request.bytes()).await?;
        self.answer(&request.method).await
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.channel.write(bytes).await
    }

    /// The next answer, to a request of this method.
    pub async fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let answer = before(PATIENCE, self.take_answer(method)).await;
        answer.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()))
    }

    async fn take_answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut before = Vec::new();
        let mut answer = loop {
            let answer = self.head().await?;
            match answer.status {
                101 | 200.. => break answer,
                status => before.push(status),
            }
        };
        answer.before = before;
        answer.body = match (method, answer.status) {
            ("HEAD", _) | (_, 101 | 204 | 304) => Vec::new(),
            _ => self.body(&answer).await?,
        };
        Ok(answer)
    }

    async fn head(&mut self) -> io::Result<Answer> {
        let end = loop {
            let mut lines = self.input.windows(4);
            match lines.position(|end| end == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if self.input.len() > MAX_HEAD => {
                    return Err(invalid("a head without an end".to_owned()));
                }
                None => self.more().await?,
            }
        };
        let head: Vec<u8> = self.input.drain(..end).collect();
        parse(head).map_err(invalid)
    }

    async fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        let is_chunked = answer.field("Transfer-Encoding") == Some("chunked");
        match answer.field("Content-Length") {
            Some(_) if answer.has("Transfer-Encoding") => {
                Err(invalid("a body of two lengths".to_owned()))
            }
            Some(length) => {
                let length = length.parse();
                let length = length.map_err(|_| invalid("a length in no digits".to_owned()))?;
                self.take(length).await
            }
            None if is_chunked => self.chunks().await,
            None => self.rest().await,
        }
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16);
            let length = length.map_err(|_| invalid(format!("a chunk of {line}")))?;
            if length == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            body.append(&mut self.take(length).await?);
            if self.take(2).await? != b"\r\n" {
                return Err(invalid("a chunk without its end".to_owned()));
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.input.windows(2).position(|end| end == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.more().await?;
        }
    }

    /// All until the end.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.more().await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(std::mem::take(&mut self.input));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The next so many bytes.
    pub async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < length {
            self.more().await?;
        }
        Ok(self.input.drain(..length).collect())
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut bytes = self.channel.read().await?;
        if bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.input.append(&mut bytes);
        Ok(())
    }

    /// The channel, with what was read beyond the last answer.
    pub(super) fn into_parts(self) -> (Arc<Channel>, Vec<u8>) {
        (self.channel, self.input)
    }
}

fn parse(head: Vec<u8>) -> Result<Answer, String> {
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.1 ");
    let status = status.or(first.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("no status: {first}"))?;
    let mut fields = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let field = line.split_once(':');
        let field = field.filter(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']));
        let (name, value) = field.ok_or_else(|| format!("no field: {line}"))?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Answer {
        status,
        head,
        fields,
        body: Vec::new(),
        before: Vec::new(),
    })
}
