use smol_mtproxy_ciphers::CtrStream;

use super::aim::Form;
use super::failure::Failure;
use crate::clock::unix_now;
use crate::net::fill_random;
use crate::wire::dc::DcId;
use crate::wire::key_exchange::{Answer, STREAM_LEN, packet};
use crate::wire::obfuscated2;
use crate::wire::secret::Secret;
use crate::wire::transport::Transport;

/// Asks a DC what apps ask first, by whatever carries the bytes; nobody but Telegram can
/// answer.
pub(super) struct Question {
    transport: Transport,
    nonce: [u8; 16],
    from_proxy: CtrStream,
    came: Vec<u8>,
}

impl Question {
    /// With the bytes that a client's connection begins with.
    pub(super) fn new(transport: Transport, secret: &Secret, dc: DcId) -> (Self, Vec<u8>) {
        let mut nonce = [0; 16];
        fill_random(&mut nonce);
        let (mut header, from_proxy) =
            obfuscated2::dial(transport, dc, Some(secret), &mut fill_random);
        let mut packet = packet(transport, &nonce, unix_now() as u32);
        header.to_dc.apply(&mut packet);
        let mut bytes = header.bytes.to_vec();
        bytes.append(&mut packet);
        let question = Self {
            transport,
            nonce,
            from_proxy,
            came: Vec::new(),
        };
        (question, bytes)
    }

    /// The transport of apps in this form.
    pub(super) fn transport(form: Form) -> Transport {
        match form {
            Form::Plain => Transport::Intermediate,
            _ => Transport::Padded,
        }
    }

    /// What came next. Whether the answer is there, or why there will be none.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Result<bool, Failure> {
        self.from_proxy.apply(bytes);
        let room = STREAM_LEN.saturating_sub(self.came.len());
        self.came.extend(bytes.iter().take(room));
        match Answer::in_stream(self.transport, &self.came, &self.nonce) {
            None => Ok(false),
            Some(Answer::Right) => Ok(true),
            Some(Answer::Refused(code)) => Err(Failure::TelegramRefuses(code)),
            Some(Answer::Other) => Err(Failure::NotTelegram),
        }
    }
}
