//! The RPC handshake, steps 1 to 5 of `doc/protocol.md` §4.

use super::End;
use super::frames::{Checksum, FrameReader, FrameWriter, PADDING_WORD, pad};
use super::keys::Material;
use crate::control::{Accept, Close};
use crate::crypto::{CbcDecrypt, CbcEncrypt, random};
use crate::host::Stream;
use crate::shared::{Dc, Shared};

const NONCE: [u8; 4] = [0xaa, 0x87, 0xcb, 0x7a];
const HANDSHAKE: [u8; 4] = [0xf5, 0xee, 0x82, 0x76];
const HANDSHAKE_ERROR: [u8; 4] = [0xda, 0xbe, 0x27, 0x6a];
const AES: [u8; 4] = [1, 0, 0, 0];
const NONCE_FRAME_LEN: usize = 44;
const MAX_SKEW: u32 = 30;
const OFFERS_CRC32C: u32 = 0x800;

/// A connection whose handshake is done.
pub struct Secured {
    pub opener: Opener,
    pub sealer: Sealer,
}

/// From the proxy.
pub struct Opener {
    pub frames: FrameReader,
    decrypt: CbcDecrypt,
    /// Less than a block that is still encrypted.
    sealed: Vec<u8>,
}

/// To the proxy.
pub struct Sealer {
    pub frames: FrameWriter,
    encrypt: CbcEncrypt,
}

impl Opener {
    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.sealed.extend_from_slice(bytes);
        let whole = self.sealed.len() / 16 * 16;
        let rest = self.sealed.split_off(whole);
        let mut clear = std::mem::replace(&mut self.sealed, rest);
        self.decrypt.apply(&mut clear);
        self.frames.push(&clear);
    }
}

impl Sealer {
    /// What has been framed, ready to be written.
    pub fn seal(&mut self, mut framed: Vec<u8>) -> Vec<u8> {
        pad(&mut framed);
        self.encrypt.apply(&mut framed);
        framed
    }
}

pub async fn perform(shared: &Shared, dc: &Dc, stream: &Stream) -> Result<Secured, End> {
    let Secured {
        mut opener,
        mut sealer,
    } = exchange_nonces(shared, dc, stream).await?;
    let accept = dc.with(|behaviour| behaviour.accept);
    if accept == Accept::SilentAfterNonce {
        stream.drain().await;
        return Err(End::Gone);
    }
    let body = loop {
        match opener.frames.next().map_err(End::Violation)? {
            Some(body) => break body,
            None => {
                let bytes = stream.read_some().await?;
                if bytes.is_empty() {
                    return Err(End::Gone);
                }
                opener.push(&bytes);
            }
        }
    };
    let (answer, checksum) = match accept {
        Accept::HandshakeError(code) => {
            let parts = [&HANDSHAKE_ERROR[..], &code.to_le_bytes(), &[0; 12]];
            (parts.concat(), Checksum::Crc32)
        }
        _ => answer_handshake(dc, &body)?,
    };
    let mut framed = Vec::new();
    sealer.frames.write(&mut framed, &[&answer], None);
    let sealed = sealer.seal(framed);
    stream.write_all(&sealed).await?;
    if matches!(
        accept,
        Accept::HandshakeError(_) | Accept::DropAfterHandshake
    ) {
        return Err(End::Told(Close::Drop));
    }
    opener.frames.checksum = checksum;
    sealer.frames.checksum = checksum;
    Ok(Secured { opener, sealer })
}

async fn exchange_nonces(shared: &Shared, dc: &Dc, stream: &Stream) -> Result<Secured, End> {
    let mut frame = [0; NONCE_FRAME_LEN];
    stream.read_exact(&mut frame).await?;
    let mut frames = FrameReader::new();
    frames.push(&frame);
    let body = frames
        .next()
        .and_then(|body| body.ok_or_else(|| format!("a nonce frame not of 44 bytes: {frame:02x?}")))
        .map_err(|why| End::Violation(format!("nonce: {why}")))?;
    let (client_time, client_nonce) = check_nonce(shared, &body).map_err(End::Violation)?;

    let server_nonce = random();
    let time = i64::from(shared.host.unix_time()) + dc.with(|behaviour| behaviour.clock_skew);
    let mut writer = FrameWriter::new();
    let mut answer = Vec::new();
    let time = (time as u32).to_le_bytes();
    let parts: [&[u8]; 5] = [&NONCE, shared.key_selector(), &AES, &time, &server_nonce];
    writer.write(&mut answer, &parts, None);
    if dc.with(|behaviour| behaviour.pad_nonce) {
        answer.extend_from_slice(&PADDING_WORD);
    }
    stream.write_all(&answer).await?;

    let material = Material {
        server_nonce: &server_nonce,
        client_nonce: &client_nonce,
        client_time,
        server: stream.get_ref().local_addr()?,
        client: stream.get_ref().peer_addr()?,
        secret: &shared.options.secret,
    };
    let (from_proxy, to_proxy) = (material.derive("CLIENT"), material.derive("SERVER"));
    let opener = Opener {
        frames,
        decrypt: CbcDecrypt::new(&from_proxy.0, &from_proxy.1),
        sealed: Vec::new(),
    };
    let sealer = Sealer {
        frames: writer,
        encrypt: CbcEncrypt::new(&to_proxy.0, &to_proxy.1),
    };
    Ok(Secured { opener, sealer })
}

fn check_nonce(shared: &Shared, body: &[u8]) -> Result<(u32, [u8; 16]), String> {
    let body: &[u8; 32] = body
        .try_into()
        .map_err(|_| format!("a nonce body of {} bytes", body.len()))?;
    let word = |at: usize| [body[at], body[at + 1], body[at + 2], body[at + 3]];
    if word(0) != NONCE {
        return Err(format!("the first message is {:02x?}", word(0)));
    }
    if word(4) != shared.key_selector() {
        return Err(format!("key selector {:02x?}", word(4)));
    }
    if word(8) != AES {
        return Err(format!("crypto schema {:02x?}", word(8)));
    }
    let time = u32::from_le_bytes(word(12));
    let skew = time.abs_diff(shared.host.unix_time());
    if skew > MAX_SKEW {
        return Err(format!("a time that is {skew} s off"));
    }
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&body[16..]);
    Ok((time, nonce))
}

fn answer_handshake(dc: &Dc, body: &[u8]) -> Result<(Vec<u8>, Checksum), End> {
    let body: &[u8; 32] = body
        .try_into()
        .map_err(|_| End::Violation(format!("a handshake of {} bytes", body.len())))?;
    if body[..4] != HANDSHAKE {
        return Err(End::Violation(format!(
            "{:02x?} in place of a handshake",
            &body[..4]
        )));
    }
    let flags = u32::from_le_bytes([body[4], body[5], body[6], body[7]]);
    if flags & !OFFERS_CRC32C != 0 {
        return Err(End::Violation(format!("handshake flags {flags:08x}")));
    }
    let (checksum, agreed) = match dc.with(|behaviour| behaviour.refuse_crc32c) {
        false if flags & OFFERS_CRC32C != 0 => (Checksum::Crc32c, flags),
        _ => (Checksum::Crc32, 0),
    };
    let parts = [
        &HANDSHAKE[..],
        &agreed.to_le_bytes(),
        b"FAKETELEGRAM",
        &body[8..20],
    ];
    Ok((parts.concat(), checksum))
}
