//! A real client's first bytes, sent once more.

use std::io;
use std::net::{SocketAddr, TcpStream};

use smol::Async;

use super::{Client, Codec, invalid};
use crate::obfuscated;
use crate::secret::KEY;
use crate::tls::Hello;

/// What a client sent, as it was recorded; made with the tests' key.
pub struct Capture {
    /// A fake-TLS client's hello.
    pub hello: Option<Vec<u8>>,
    /// The 64 bytes that open the obfuscated stream.
    pub header: [u8; 64],
    /// All that came after the hello, or all if there was none.
    pub chunks: Vec<Vec<u8>>,
}

impl Capture {
    /// Sends it to `proxy`; the hello is signed anew, for the present. The
    /// client that is returned can only receive.
    pub async fn replay(&self, proxy: SocketAddr) -> io::Result<Client> {
        let accepted = obfuscated::accept(&self.header, Some(&KEY)).map_err(invalid)?;
        let stream = Async::<TcpStream>::connect(proxy).await?;
        let mut client = Client::over(stream, Codec::over(accepted.transport, accepted.streams))?;
        if let Some(hello) = &self.hello {
            let hello = Hello::signed_anew(hello, &KEY).map_err(invalid)?;
            client.send_raw(&hello.bytes).await?;
            client.take_flight(&hello, &KEY).await?;
        }
        for chunk in &self.chunks {
            client.send_raw(chunk).await?;
        }
        Ok(client)
    }
}
