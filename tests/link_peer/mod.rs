//! The other end of a link, made of frames.

use std::io::{Read, Write};
use std::net::TcpStream;

use fake_telegram::wait::patience;
use smol_mtproxy_wire::link::{Decoder, Event, Frame};

pub struct Peer {
    pub stream: TcpStream,
    decoder: Decoder,
    received: Vec<u8>,
}

impl Peer {
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(patience())).unwrap();
        Self {
            stream,
            decoder: Decoder::default(),
            received: Vec::new(),
        }
    }

    pub fn say(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.encode()).unwrap();
    }

    /// The next frame that is no ping; `None` at the end.
    pub fn hear(&mut self) -> Option<Frame> {
        loop {
            let length = self.received.len();
            let mut input = self.received.as_mut_slice();
            let event = self.decoder.next(&mut input).unwrap();
            let frame = match event {
                Some(Event::Frame(frame)) => Some(frame),
                _ => None,
            };
            let used = length - input.len();
            self.received.drain(..used);
            match frame {
                Some(Frame::Ping(_)) => continue,
                Some(frame) => return Some(frame),
                None => {}
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.received.extend_from_slice(&bytes[..length]),
            }
        }
    }
}
