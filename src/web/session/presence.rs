//! Whether an app is there: its streams ask by way of the carrier, whose connection is
//! asked once for all of them.

use std::io;
use std::rc::Rc;

use super::super::carrier::Out;
use super::super::stream::Stream;
use super::Session;
use super::asking::Asking;
use crate::client::KEEPALIVE;
use crate::http::Connection;
use crate::wire::websocket::server_ping;

impl Session {
    /// See [`StreamEnd::ask_peer`](crate::connection::StreamEnd::ask_peer).
    pub(in crate::web) fn ask_peer(&self, stream: &Stream) -> io::Result<()> {
        if !stream.asks.replace(true) && self.askers.come() {
            self.askers.set_asking(self.begin_asking());
        }
        match self.askers.asking() {
            Asking::No => Err(io::ErrorKind::Unsupported.into()),
            Asking::Kernel | Asking::Ping(_) => Ok(()),
        }
    }

    fn begin_asking(&self) -> Asking {
        let connection = self.connection();
        let Some(connection) = connection.filter(|_| self.ended().is_none()) else {
            return Asking::No;
        };
        let socket = connection.socket();
        let is_app = socket
            .peer_address()
            .is_ok_and(|peer| peer.ip().to_canonical() == self.peer.client.ip().to_canonical());
        if is_app {
            return match socket.ask_peer() {
                Ok(()) => Asking::Kernel,
                Err(_) => {
                    socket.set_keepalive(KEEPALIVE);
                    Asking::No
                }
            };
        }
        // Behind a long frame the answer would come late, as it would if nothing is read.
        let buffers = &self.context.buffers;
        let is_sent = !self.is_short()
            && self.with_out(|out| match out {
                Out::Socket(outlet) => {
                    outlet.is_free() && outlet.send(&[&server_ping(&[])], buffers).is_ok()
                }
                _ => false,
            });
        match is_sent {
            true => Asking::Ping(self.context.reactor.now()),
            false => Asking::No,
        }
    }

    /// See [`StreamEnd::has_answered`](crate::connection::StreamEnd::has_answered).
    pub(in crate::web) fn has_answered(&self) -> bool {
        match self.askers.asking() {
            Asking::No => true,
            Asking::Kernel => {
                let connection = self.connection();
                connection.is_none_or(|connection| connection.socket().has_answered())
            }
            Asking::Ping(since) => self.is_short() || self.heard.get() > since,
        }
    }

    /// See [`StreamEnd::let_be`](crate::connection::StreamEnd::let_be).
    pub(in crate::web) fn let_be(&self, stream: &Stream) {
        if stream.asks.replace(false)
            && self.askers.leave() == Asking::Kernel
            && let Some(connection) = self.connection()
        {
            connection.socket().set_keepalive(KEEPALIVE);
        }
    }

    /// That of its WebSocket.
    pub(in crate::web) fn connection(&self) -> Option<Rc<Connection>> {
        self.with_out(|out| match out {
            Out::Socket(outlet) => Some(outlet.connection().clone()),
            _ => None,
        })
    }
}
