use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::through;
use crate::config::Via;
use crate::wire::http_date;

const LIMIT: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 4096;

/// The time at an HTTP server, asked by way of `via` if there is one, in seconds since
/// 1970, or why it is not known; blocks.
pub(crate) fn time_at(via: Option<&Via>, host: &str, port: u16) -> Result<u64, String> {
    let answer = ask(via, host, port).map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    http_date::in_answer(&answer).ok_or_else(|| "its answer has no Date".to_owned())
}

fn ask(via: Option<&Via>, host: &str, port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = through::connect(via, host, port, Instant::now() + LIMIT)?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}
