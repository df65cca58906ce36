use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use smol_mtproxy_ciphers::{BLOCK_LEN, CbcDecryptor, CbcEncryptor, ChecksumKind};

use super::super::Shared;
use super::MiddleConnection;
use super::answer_reader::AnswerReader;
use super::error::ConnectError;
use super::outbound::Outbound;
use crate::net::{Keepalive, Socket};
use crate::wire::full::{FrameEncoder, PAD_WORD, block_padding};
use crate::wire::middle_keys::{KeyMaterial, Purpose};
use crate::wire::rpc::{self, HandshakeFrame, NonceFrame, RpcDecoder, RpcEvent};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(8);

/// Both sides of every known implementation call themselves this; only our
/// own must come back.
const PROCESS_ID: [u8; 12] = *b"IPIPPRPDTIME";

const KEEPALIVE: Keepalive = Keepalive {
    interval: Duration::from_secs(40),
    probes: 5,
    user_timeout: Duration::from_secs(30),
};

/// A connection that sessions can be put on.
pub(crate) struct Secured {
    pub(crate) connection: Rc<MiddleConnection>,
    pub(crate) socket: Socket,
    pub(crate) answers: AnswerReader,
}

/// Connects to the middle proxy at `address` and shakes hands.
pub(crate) async fn establish(
    shared: &Rc<Shared>,
    address: SocketAddr,
) -> Result<Secured, ConnectError> {
    let reactor = &shared.reactor;
    let connected = Socket::connect_within(reactor, address, CONNECT_LIMIT).await;
    let socket = connected.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => ConnectError::ConnectTimeout,
        _ => ConnectError::Connect(error),
    })?;
    socket.set_nodelay();
    socket.set_keepalive(KEEPALIVE);
    reactor
        .timeout(HANDSHAKE_LIMIT, shake_hands(shared, socket, address))
        .await
        .ok_or(ConnectError::HandshakeTimeout)?
}

async fn shake_hands(
    shared: &Rc<Shared>,
    socket: Socket,
    address: SocketAddr,
) -> Result<Secured, ConnectError> {
    let secret = shared.directory.secret();
    let local = socket.local_address().map_err(ConnectError::Connect)?;
    let our = shared.announced_address(local);
    let ours = NonceFrame {
        key_selector: rpc::key_selector(&secret),
        schema: rpc::SCHEMA_AES,
        time: shared.unix_time(),
        nonce: shared.random_bytes(),
    };
    let mut encoder = FrameEncoder::new();
    let mut frame = Vec::with_capacity(64);
    encoder.encode_into(&mut frame, &[&ours.body()]);
    send(&socket, &frame).await?;
    let mut reader = Reader::new(&socket);
    let theirs = reader.nonce().await?;
    check_nonce(&ours, &theirs)?;

    let keys = KeyMaterial {
        server_nonce: theirs.nonce,
        client_nonce: ours.nonce,
        client_time: ours.time,
        server: address,
        client: our,
        proxy_secret: &secret,
    };
    let (key, iv) = keys.derive(Purpose::Client);
    let mut encryptor = CbcEncryptor::new(&key, &iv);
    let (key, iv) = keys.derive(Purpose::Server);
    reader.decryptor = Some(CbcDecryptor::new(&key, &iv));

    let hello = HandshakeFrame {
        flags: rpc::FLAG_CRC32C,
        sender_pid: PROCESS_ID,
        peer_pid: PROCESS_ID,
    };
    frame.clear();
    encoder.encode_into(&mut frame, &[&hello.body()]);
    frame.extend_from_slice(block_padding(frame.len()));
    encryptor.apply(&mut frame);
    send(&socket, &frame).await?;
    let checksum = agreed_checksum(&reader.handshake().await?)?;
    let Some((mut answers, mut behind)) = reader.into_answer_reader(checksum) else {
        return Err(ConnectError::BadAnswer("no keys"));
    };
    let outbound = Outbound::new(encryptor, checksum, &shared.buffers);
    let connection = MiddleConnection::new(shared, address, our, outbound);
    answers
        .consume(&connection, &mut behind)
        .map_err(|_| ConnectError::BadAnswer("a broken frame"))?;
    Ok(Secured {
        connection,
        socket,
        answers,
    })
}

async fn send(socket: &Socket, data: &[u8]) -> Result<(), ConnectError> {
    let sent = socket.write_all(data).await;
    sent.map_err(|_| ConnectError::Closed)
}

fn agreed_checksum(answer: &HandshakeFrame) -> Result<ChecksumKind, ConnectError> {
    if answer.peer_pid != PROCESS_ID {
        return Err(ConnectError::BadAnswer("another process id than ours"));
    }
    Ok(match answer.flags & rpc::FLAG_CRC32C {
        0 => ChecksumKind::Crc32,
        _ => ChecksumKind::Crc32c,
    })
}

fn check_nonce(ours: &NonceFrame, theirs: &NonceFrame) -> Result<(), ConnectError> {
    if theirs.schema != ours.schema || theirs.key_selector != ours.key_selector {
        return Err(ConnectError::BadAnswer("another key or cipher than ours"));
    }
    if theirs.time.abs_diff(ours.time) > rpc::MAX_CLOCK_OFFSET {
        return Err(ConnectError::ClockSkew {
            theirs: theirs.time,
            ours: ours.time,
        });
    }
    Ok(())
}

/// Reads the two handshake frames, however they are cut.
struct Reader<'a> {
    socket: &'a Socket,
    decoder: RpcDecoder,
    decryptor: Option<CbcDecryptor>,
    /// Read and not decoded yet; encrypted once there is a decryptor.
    rest: Vec<u8>,
    /// What came with the last frame's blocks behind it, decrypted.
    plain: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(socket: &'a Socket) -> Self {
        Self {
            socket,
            decoder: RpcDecoder::new(),
            decryptor: None,
            rest: Vec::new(),
            plain: Vec::new(),
        }
    }

    async fn nonce(&mut self) -> Result<NonceFrame, ConnectError> {
        loop {
            let mut rest = std::mem::take(&mut self.rest);
            let mut input = rest.as_mut_slice();
            let found = match self.decoder.next(&mut input) {
                Ok(Some(RpcEvent::Nonce(nonce))) => Some(nonce),
                Ok(Some(_)) => return Err(ConnectError::BadAnswer("another message")),
                Ok(None) => None,
                Err(_) => return Err(ConnectError::BadAnswer("a broken frame")),
            };
            self.rest = input.to_vec();
            if let Some(nonce) = found {
                self.skip_padding();
                return Ok(nonce);
            }
            self.read_more().await?;
        }
    }

    async fn handshake(&mut self) -> Result<HandshakeFrame, ConnectError> {
        loop {
            self.skip_padding();
            // A word of padding may still be on its way.
            let undecided = PAD_WORD.starts_with(&self.rest);
            let whole = if undecided {
                0
            } else {
                self.rest.len() - self.rest.len() % BLOCK_LEN
            };
            let carry = self.rest.split_off(whole);
            let mut blocks = std::mem::replace(&mut self.rest, carry);
            if let Some(decryptor) = &mut self.decryptor {
                decryptor.apply(&mut blocks);
            }
            let mut input = blocks.as_mut_slice();
            let found = match self.decoder.next(&mut input) {
                Ok(Some(RpcEvent::Handshake(frame))) => Some(frame),
                Ok(Some(RpcEvent::HandshakeError(code))) => {
                    return Err(ConnectError::Refused(code));
                }
                Ok(Some(_)) => return Err(ConnectError::BadAnswer("another message")),
                Ok(None) => None,
                Err(_) => return Err(ConnectError::BadAnswer("a broken frame")),
            };
            if let Some(frame) = found {
                self.plain = input.to_vec();
                return Ok(frame);
            }
            self.read_more().await?;
        }
    }

    /// Some peers pad the plaintext nonce frame like an encrypted one. That a
    /// ciphertext starts like this has a chance of 2^-32.
    fn skip_padding(&mut self) {
        while let Some(rest) = self.rest.strip_prefix(&PAD_WORD) {
            self.rest = rest.to_vec();
        }
    }

    async fn read_more(&mut self) -> Result<(), ConnectError> {
        let mut buffer = [0; 256];
        match self.socket.read(&mut buffer).await {
            Ok(0) | Err(_) => Err(ConnectError::Closed),
            Ok(read) => {
                self.rest
                    .extend_from_slice(buffer.get(..read).unwrap_or_default());
                Ok(())
            }
        }
    }

    /// For the connection, with what it has to decode first.
    fn into_answer_reader(self, checksum: ChecksumKind) -> Option<(AnswerReader, Vec<u8>)> {
        let mut decoder = self.decoder;
        decoder.set_checksum(checksum);
        let answers = AnswerReader::new(self.decryptor?, decoder, &self.rest);
        Some((answers, self.plain))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::net::{Executor, Reactor};

    /// Telegram's end of a handshake: what it sends until its answer, and
    /// `more` right behind.
    fn telegrams_bytes(key: &[u8; 32], iv: &[u8; 16], more: &[[u8; 12]]) -> Vec<u8> {
        let mut encoder = FrameEncoder::new();
        let nonce = NonceFrame {
            key_selector: [1; 4],
            schema: rpc::SCHEMA_AES,
            time: 2,
            nonce: [3; 16],
        };
        let answer = HandshakeFrame {
            flags: 0,
            sender_pid: [4; 12],
            peer_pid: PROCESS_ID,
        };
        let mut bytes = Vec::new();
        encoder.encode_into(&mut bytes, &[&nonce.body()]);
        let mut encrypted = Vec::new();
        encoder.encode_into(&mut encrypted, &[&answer.body()]);
        for body in more {
            encoder.encode_into(&mut encrypted, &[body]);
        }
        encrypted.extend_from_slice(block_padding(encrypted.len()));
        CbcEncryptor::new(key, iv).apply(&mut encrypted);
        bytes.extend_from_slice(&encrypted);
        bytes
    }

    #[test]
    fn what_comes_right_behind_the_answer_is_kept() {
        let (key, iv) = ([5; 32], [6; 16]);
        let pings = [7, 8, 9].map(rpc::ping_body);
        let bytes = telegrams_bytes(&key, &iv, &pings);
        // Everything at once, and the last bytes later.
        for held_back in [0, 1, 15, 16, 17, 40] {
            let reactor = Reactor::new().unwrap();
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let socket = Socket::new(&reactor, ours.into()).unwrap();
            let (now, later) = bytes.split_at(bytes.len() - held_back);
            theirs.write_all(now).unwrap();
            let events = reactor.block_on(&Executor::default(), async {
                let mut reader = Reader::new(&socket);
                reader.nonce().await.unwrap();
                reader.decryptor = Some(CbcDecryptor::new(&key, &iv));
                assert_eq!(reader.handshake().await.unwrap().peer_pid, PROCESS_ID);
                theirs.write_all(later).unwrap();
                let mut decryptor = reader.decryptor.take().unwrap();
                let mut rest = reader.rest.clone();
                rest.extend_from_slice(later);
                decryptor.apply(&mut rest);
                let mut plain = [reader.plain, rest].concat();
                let mut input = plain.as_mut_slice();
                let mut ids = Vec::new();
                while let Some(event) = reader.decoder.next(&mut input).unwrap() {
                    let RpcEvent::Ping { id } = event else {
                        panic!("{event:?}")
                    };
                    ids.push(id);
                }
                ids
            });
            assert_eq!(events, [7, 8, 9], "{held_back} bytes held back");
        }
    }
}
