//! Packets out of a stream of bytes that may be cut anywhere.

use std::rc::Rc;

use crate::backend::{Body, Packet};
use crate::net::{BufferPool, Destination, Reservation, Rope, SCRATCH_LEN, User};
use crate::wire::packet_meter::HeaderReader;
use crate::wire::transport::{PacketHeader, Transport, TransportError};

/// Cuts what a client sends into packets.
pub(super) struct Unframer {
    headers: HeaderReader,
    /// Whose packets they are.
    user: User,
    to: Destination,
    /// A large one came whole.
    has_finished: bool,
    partial: Option<Partial>,
}

/// A packet that did not come in one read.
struct Partial {
    quick_ack: bool,
    payload_left: usize,
    padding_left: usize,
    body: Rope,
    reservation: Reservation,
}

impl Unframer {
    pub(crate) fn new(transport: Transport, user: User, to: Destination) -> Self {
        Self {
            headers: HeaderReader::new(transport),
            user,
            to,
            has_finished: false,
            partial: None,
        }
    }

    pub(crate) fn destination(&self) -> Destination {
        self.to
    }

    /// Takes the next packet off the front of `input`; `None` when all of it
    /// is taken. What goes on behind it has a reservation from then on.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        buffers: &Rc<BufferPool>,
    ) -> Result<Option<Packet<'a>>, TransportError> {
        if let Some(partial) = &mut self.partial {
            partial.collect(input);
            return Ok(self.finish());
        }
        let Some(header) = self.headers.next(input)? else {
            return Ok(None);
        };
        if let Some((body, rest)) = input.split_at_checked(header.body_len) {
            *input = rest;
            let payload = body.get(..header.payload_len).unwrap_or_default();
            return Ok(Some(Packet {
                quick_ack: header.quick_ack,
                body: Body::Slice(payload),
            }));
        }
        let length = header.payload_len;
        // All buffers together may be smaller than this packet.
        let reservation = buffers
            .announce(self.user, self.to, length)
            .ok_or(TransportError::TooLong(length))?;
        if self.has_finished {
            reservation.vouch();
        }
        let partial = self.partial.insert(Partial::new(&header, reservation));
        // What begins here was read only while there was room for all of it:
        // see `StreamRelay::poll_welcome`.
        partial.collect(input);
        Ok(self.finish())
    }

    /// What the packet that has begun and not ended takes.
    pub(crate) fn reservation(&self) -> Option<&Reservation> {
        self.partial.as_ref().map(|partial| &partial.reservation)
    }

    /// A packet has begun and not ended.
    pub(crate) fn is_collecting(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes to read so that nothing comes along that has no room yet.
    pub(crate) fn wanted(&self) -> usize {
        match &self.partial {
            Some(partial) => partial.payload_left + partial.padding_left,
            None => self.headers.wanted(),
        }
    }

    fn finish(&mut self) -> Option<Packet<'static>> {
        let partial = self
            .partial
            .take_if(|partial| partial.payload_left + partial.padding_left == 0)?;
        self.has_finished |= partial.body.len() >= SCRATCH_LEN;
        Some(Packet {
            quick_ack: partial.quick_ack,
            body: Body::Rope(partial.body),
        })
    }
}

impl Partial {
    fn new(header: &PacketHeader, reservation: Reservation) -> Self {
        Self {
            quick_ack: header.quick_ack,
            payload_left: header.payload_len,
            padding_left: header.body_len - header.payload_len,
            body: Rope::default(),
            reservation,
        }
    }

    fn collect(&mut self, input: &mut &[u8]) {
        let data = self.take_payload(input);
        self.body.append_promised(&mut self.reservation, data);
        self.take_padding(input);
    }

    fn take_payload<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let length = self.payload_left.min(input.len());
        let (data, rest) = input.split_at(length);
        self.payload_left -= length;
        *input = rest;
        data
    }

    fn take_padding(&mut self, input: &mut &[u8]) {
        if self.payload_left == 0 {
            let length = self.padding_left.min(input.len());
            self.padding_left -= length;
            *input = input.get(length..).unwrap_or_default();
        }
    }
}
