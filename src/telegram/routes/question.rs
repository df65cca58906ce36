//! Our own question to a DC, by a route that a client's line speaks against.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use smol_mtproxy_ciphers::{CtrStream, StreamKey};

use super::Routes;
use crate::backend::{Route, SessionRequest};
use crate::config::RouteName;
use crate::connection::Line;
use crate::net::fill_random;
use crate::wire::dc::DcId;
use crate::wire::key_exchange::{ANSWER_LEN, Answer, question};
use crate::wire::transport::Transport;

/// For a connection and the answer together.
const LIMIT: Duration = Duration::from_secs(8);

/// At a time, for all DCs and routes: each is a descriptor that no session has.
const MAX_QUESTIONS: usize = 4;

/// Of a packet of [`Transport::Intermediate`].
const HEADER_LEN: usize = 4;

impl Routes {
    /// Asks whether the route works for others: the client may have said what no DC
    /// answers. If it does they have it again.
    pub(super) fn doubt(self: &Rc<Self>, dc: DcId, route: RouteName) {
        if self.questions.get() < MAX_QUESTIONS && self.table.borrow().may_be_doubted(dc, route) {
            self.questions.set(self.questions.get() + 1);
            let asking = self.clone().ask(dc, route);
            self.shared.executor.spawn(asking).detach();
        }
    }

    async fn ask(self: Rc<Self>, dc: DcId, route: RouteName) {
        let mut random = [0; 48];
        fill_random(&mut random);
        let (key, iv) = random.split_at(32);
        let request = SessionRequest {
            route: Route::Direct,
            has_other_route: true,
            dc,
            client: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            local: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            tag: None,
            transport: Transport::Intermediate,
            to_client: StreamKey {
                key: key.try_into().unwrap_or_default(),
                iv: iv.try_into().unwrap_or_default(),
            },
        };
        let deadline = self.now() + LIMIT;
        let asking = async {
            let line = self.try_one(route, &request, deadline).await.ok()?;
            self.answer(line, &request).await
        };
        let answer = self.shared.reactor.timeout(LIMIT, asking).await.flatten();
        self.questions.set(self.questions.get() - 1);
        if answer == Some(Answer::Right) {
            let now = self.now();
            let news = self.table.borrow_mut().is_cleared(dc, route, now);
            self.tell(dc, route, news);
        }
    }

    async fn answer(&self, mut line: Line, request: &SessionRequest) -> Option<Answer> {
        let shared = &*self.shared;
        let mut nonce = [0; 16];
        fill_random(&mut nonce);
        let payload = question(&nonce, shared.unix_time());
        let mut packet = (payload.len() as u32).to_le_bytes().to_vec();
        packet.extend(payload);
        line.send(&shared.buffers, &mut packet).ok()?;
        let mut came = Vec::new();
        poll_fn(|cx| {
            loop {
                if line.flush(cx).is_err() {
                    return Poll::Ready(None);
                }
                let read = shared.scratch.with(|space| {
                    let most = space.len();
                    let mut take = |data: &mut [u8]| {
                        let missing = HEADER_LEN + ANSWER_LEN - came.len();
                        came.extend_from_slice(data.get(..missing).unwrap_or(data));
                    };
                    line.poll_read(cx, space, most, &mut take)
                });
                match read {
                    Some(Poll::Ready(Ok(length))) if length > 0 => {}
                    Some(Poll::Ready(_)) | None => return Poll::Ready(None),
                    Some(Poll::Pending) => return Poll::Pending,
                }
                if came.len() == HEADER_LEN + ANSWER_LEN {
                    return Poll::Ready(Some(()));
                }
            }
        })
        .await?;
        CtrStream::new(request.to_client.clone()).apply(&mut came);
        let payload = came.get(HEADER_LEN..).unwrap_or_default();
        Some(Answer::of(payload, &nonce))
    }
}
