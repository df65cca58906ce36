use std::rc::Rc;
use std::task::{Context, Poll, ready};

use smol_mtproxy_ciphers::{BLOCK_LEN, CbcDecryptor};

use super::super::session::MiddleSession;
use super::MiddleConnection;
use crate::backend::SessionEnd;
use crate::metrics::ConnectionEnd;
use crate::net::{Rope, Socket};
use crate::wire::rpc::{RpcDecoder, RpcEvent};

/// Reads of this size still make progress when buffers are short.
const MIN_READ: usize = 4096;

/// The reading half of a connection: decrypts, decodes and hands answers to
/// their clients piece by piece, as they arrive.
pub(crate) struct AnswerReader {
    decryptor: CbcDecryptor,
    decoder: RpcDecoder,
    /// Bytes of a cipher block that is not complete.
    carry: heapless::Vec<u8, BLOCK_LEN>,
    /// Whose answer is arriving; `None` if that client has left.
    current: Option<Rc<MiddleSession>>,
    blocked: Option<Blocked>,
}

/// A client that did not take all of its answer. What was read behind it waits
/// here, decrypted, and the connection is not read further.
struct Blocked {
    /// Bytes at the front of `rest` that belong to the current answer.
    answer: usize,
    rest: Rope,
}

impl AnswerReader {
    /// `carry` came with the handshake: the beginning of a cipher block.
    pub(crate) fn new(decryptor: CbcDecryptor, decoder: RpcDecoder, carry: &[u8]) -> Self {
        Self {
            decryptor,
            decoder,
            carry: heapless::Vec::from_slice(carry).unwrap_or_default(),
            current: None,
            blocked: None,
        }
    }

    /// The client that holds up the connection.
    pub(crate) fn blocked_by(&self) -> Option<&Rc<MiddleSession>> {
        self.current.as_ref().filter(|_| self.is_blocked())
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Reads once and hands on what came; how many bytes that was.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        connection: &MiddleConnection,
        socket: &Socket,
    ) -> Poll<Result<usize, ConnectionEnd>> {
        let shared = connection.shared.clone();
        let read = shared.scratch.with(|buffer| {
            let room = (shared.buffers.free_bytes() / 2).max(MIN_READ);
            let room = room.min(buffer.len()) - BLOCK_LEN;
            let kept = self.carry.len();
            let (front, space) = buffer.split_at_mut(kept);
            front.copy_from_slice(&self.carry);
            let space = space.get_mut(..room).unwrap_or_default();
            let read = match ready!(socket.poll_read(cx, space)) {
                Ok(0) => return Poll::Ready(Err(ConnectionEnd::ClosedByTelegram)),
                Ok(read) => read,
                Err(_) => return Poll::Ready(Err(ConnectionEnd::Broken)),
            };
            let data = buffer.get_mut(..kept + read).unwrap_or_default();
            let whole = self.decryptor.apply(data);
            let (blocks, carry) = data.split_at_mut(whole);
            self.carry = heapless::Vec::from_slice(carry).unwrap_or_default();
            Poll::Ready(self.consume(connection, blocks).map(|()| read))
        });
        read.unwrap_or(Poll::Pending)
    }

    /// Offers the client that blocked its bytes again and, if it takes them,
    /// goes on with what was read behind them.
    pub(crate) fn retry(&mut self, connection: &MiddleConnection) -> Result<(), ConnectionEnd> {
        let Some(mut blocked) = self.blocked.take() else {
            return Ok(());
        };
        while blocked.answer > 0 {
            let Some(chunk) = blocked.rest.first_mut() else {
                break;
            };
            let length = chunk.len().min(blocked.answer);
            let piece = chunk.get_mut(..length).unwrap_or_default();
            let taken = self.offer(connection, piece);
            blocked.answer -= taken;
            blocked.rest.advance(taken);
            if taken < length {
                self.blocked = Some(blocked);
                return Ok(());
            }
        }
        let mut rest = blocked.rest;
        while let Some(chunk) = rest.first_mut() {
            let length = chunk.len();
            self.consume(connection, chunk)?;
            rest.advance(length);
            if let Some(blocked) = &mut self.blocked {
                blocked.rest.append_rope(rest);
                break;
            }
        }
        Ok(())
    }

    /// The connection is over: ends whoever blocks it, so that the answers
    /// behind theirs reach their clients.
    pub(crate) fn unblock(&mut self, connection: &MiddleConnection) -> Result<(), ConnectionEnd> {
        while self.blocked.is_some() {
            if let Some(session) = self.current.take()
                && !session.is_ended()
            {
                connection.lose(&session, SessionEnd::MidAnswer);
            }
            self.retry(connection)?;
        }
        Ok(())
    }

    /// Hands on decrypted bytes.
    pub(crate) fn consume(
        &mut self,
        connection: &MiddleConnection,
        mut input: &mut [u8],
    ) -> Result<(), ConnectionEnd> {
        while let Some(event) = self.decode(connection, &mut input)? {
            match event {
                RpcEvent::AnswerBytes(data) => {
                    let taken = self.offer(connection, data);
                    if taken < data.len() {
                        self.block(connection, data.get(taken..).unwrap_or_default(), input);
                        return Ok(());
                    }
                }
                event => self.handle(connection, event)?,
            }
        }
        Ok(())
    }

    fn decode<'a>(
        &mut self,
        connection: &MiddleConnection,
        input: &mut &'a mut [u8],
    ) -> Result<Option<RpcEvent<'a>>, ConnectionEnd> {
        self.decoder.next(input).map_err(|error| {
            connection.shared.talks_nonsense(connection.address, &error);
            ConnectionEnd::Protocol
        })
    }

    fn handle(
        &mut self,
        connection: &MiddleConnection,
        event: RpcEvent<'_>,
    ) -> Result<(), ConnectionEnd> {
        match event {
            RpcEvent::AnswerStart { conn_id, len, .. } => {
                self.current = connection.find(conn_id);
                if let Some(session) = &self.current {
                    session.begin_answer(len);
                }
            }
            // Any bytes heard prove life, a pong too.
            RpcEvent::AnswerBytes(_) | RpcEvent::Pong { .. } => {}
            RpcEvent::AnswerEnd => {
                if let Some(session) = self.current.take()
                    && !session.is_ended()
                {
                    session.end_answer(connection.shared.reactor.now());
                }
            }
            RpcEvent::CloseExt { conn_id } => {
                if let Some(session) = connection.find(conn_id) {
                    session.end(SessionEnd::ClosedByTelegram);
                }
            }
            RpcEvent::SimpleAck { conn_id, token } => {
                if let Some(session) = connection.find(conn_id) {
                    session.sink().quick_ack(token);
                }
            }
            RpcEvent::Ping { id } => connection.push_pong(id),
            RpcEvent::Unknown { tag } => connection.shared.unknown_rpc(connection.address, tag),
            RpcEvent::Nonce(_) | RpcEvent::Handshake(_) | RpcEvent::HandshakeError(_) => {
                return Err(ConnectionEnd::Protocol);
            }
        }
        Ok(())
    }

    /// How much of `data` is done with: all of it if the client has left.
    fn offer(&self, connection: &MiddleConnection, data: &mut [u8]) -> usize {
        match &self.current {
            Some(session) if !session.is_ended() => {
                session.sink().offer(data, connection.allowance(session))
            }
            _ => data.len(),
        }
    }

    fn block(&mut self, connection: &MiddleConnection, answer: &[u8], behind: &[u8]) {
        let buffers = &connection.shared.buffers;
        let mut rest = Rope::default();
        rest.append_overdrawn(buffers, answer);
        rest.append_overdrawn(buffers, behind);
        self.blocked = Some(Blocked {
            answer: answer.len(),
            rest,
        });
    }
}
