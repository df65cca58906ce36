//! A question of our own to a cover's site.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Poll, ready};

use super::shown::{Cover, Source};
use crate::client::Peer;

/// For whom we say that it is, to a site that wants to know.
const OURSELVES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Enough of a buffer for any record.
const ROOM: usize = 20 * 1024;

impl Cover {
    /// The site that is asked over HTTP, as people know it.
    pub(crate) fn place(&self) -> Option<String> {
        match &self.source {
            Source::Site(site) => Some(site.to_string()),
            Source::Directory(_) => None,
        }
    }

    /// Asks the site for `target` and waits for the beginning of its answer, whatever that
    /// is. Of a site that does not answer nothing is said: visitors will tell.
    pub(crate) async fn ask_for(&self, host: &str, target: &str) {
        let Source::Site(site) = &self.source else {
            return;
        };
        let (client, local) = (OURSELVES, OURSELVES);
        let connected = site
            .try_connect(&self.context, Peer { client, local })
            .await;
        let Ok(connection) = connected else {
            return;
        };
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let mut rest = request.as_bytes();
        let asked = poll_fn(|cx| {
            loop {
                ready!(connection.poll_writable(cx))?;
                if rest.is_empty() {
                    return Poll::Ready(io::Result::Ok(()));
                }
                let written = connection.try_write(&[rest])?;
                rest = rest.get(written..).unwrap_or_default();
            }
        });
        if asked.await.is_err() {
            return;
        }
        let mut space = vec![0; ROOM.max(connection.needed())];
        let _ = poll_fn(|cx| connection.poll_read(cx, &mut space, &mut |_| {})).await;
    }
}
