use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::wire::http_date;

const LIMIT: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 4096;

/// The time at an HTTP server, in seconds since 1970, or why it is not known;
/// blocks.
pub fn time_at(host: &str, port: u16) -> Result<u64, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut addresses = (host, port).to_socket_addrs().map_err(text)?;
    let address: SocketAddr = addresses.next().ok_or("no address")?;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).map_err(text)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(text)?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER)
        .read_to_end(&mut answer)
        .map_err(text)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    http_date::in_answer(&answer).ok_or_else(|| "its answer has no Date".to_owned())
}
