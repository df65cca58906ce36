use std::io;
use std::time::Instant;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

use super::failure::{Failure, SiteClock};
use super::patience::before;
use crate::clock::unix_now;
use crate::net::fill_random;
use crate::wire::next_proxy::{GreetingError, greet};
use crate::wire::secret::{Domain, Secret};

/// Of the answer at once.
const STEP: usize = 4096;

/// How a TLS server's answer begins.
const HANDSHAKE: u8 = 0x16;

/// The hello of a current browser, and whether the answer is that of a proxy with this
/// secret.
pub(super) async fn shake(
    stream: &mut TcpStream,
    domain: &Domain,
    secret: &Secret,
    deadline: Instant,
) -> Result<(), Failure> {
    let (hello, mut answer) = greet(domain, secret, unix_now() as u32, &mut fill_random);
    let mut first = None;
    let shaking = async {
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::ConnectionReset => Failure::HelloReset,
            _ => Failure::HelloClosed,
        };
        stream.write_all(&hello).await.map_err(broken)?;
        let mut space = vec![0; STEP];
        loop {
            let length = stream.read(&mut space).await.map_err(broken)?;
            let mut came = space.get(..length).unwrap_or_default();
            let Some(byte) = came.first() else {
                return Err(match first {
                    None => Failure::HelloClosed,
                    Some(first) => of_wrong(first),
                });
            };
            let first = *first.get_or_insert(*byte);
            match answer.take(&mut came) {
                // A proxy cannot say more: it has not got the key yet.
                Ok(true) if !came.is_empty() => return Err(of_wrong(first)),
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(GreetingError::Alert(number)) => return Err(Failure::Alert(number)),
                Err(_) => return Err(of_wrong(first)),
            }
        }
    };
    let shaken = before(deadline, shaking).await;
    shaken.unwrap_or_else(|| {
        Err(match first {
            None => Failure::HelloSilent,
            // A site that waits for more than a hello.
            Some(first) => of_wrong(first),
        })
    })
}

/// `first`: the byte that the answer begins with.
fn of_wrong(first: u8) -> Failure {
    match first {
        HANDSHAKE => Failure::Site(SiteClock::Unknown),
        _ => Failure::NotTls,
    }
}
