use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use smol_mtproxy_ciphers::{CtrStream, StreamKey};

use super::Telegram;
use crate::backend::{Route, SessionRequest};
use crate::config::RouteName;
use crate::connection::Line;
use crate::metrics::RouteResult;
use crate::net::SCRATCH_LEN;
use crate::wire::dc::DcId;
use crate::wire::key_exchange::{ANSWER_LEN, Answer, QUESTION_LEN, question};
use crate::wire::transport::Transport;

/// For a connection to the DC.
const LIMIT: Duration = Duration::from_secs(10);

/// From the question on.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Any packet of such clients is taken everywhere.
const TRANSPORT: Transport = Transport::Padded;

/// Bytes before a packet.
const HEADER_LEN: usize = 4;

/// How a route to a DC fared.
pub(crate) struct Fared {
    /// By what it leads there.
    pub(crate) place: Option<String>,
    /// How long it took until Telegram had answered, or why it has not.
    pub(crate) answered: Result<Duration, String>,
}

impl Telegram {
    /// Connects to `dc` by `route` as for a client, and asks for the first answer of a key
    /// exchange, which nobody else can give; 15 s at most.
    pub(crate) async fn ask(&self, dc: DcId, route: RouteName) -> Fared {
        let shared = &self.shared;
        let to_client = StreamKey {
            key: shared.random_bytes(),
            iv: shared.random_bytes(),
        };
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let request = SessionRequest {
            route: Route::Direct,
            has_other_route: false,
            dc,
            client: nowhere,
            local: nowhere,
            tag: None,
            transport: TRANSPORT,
            to_client: to_client.clone(),
        };
        let began = shared.reactor.now();
        let opened = self.routes.try_one(route, &request, began + LIMIT).await;
        let told = shared.told.as_ref();
        let answered = match opened {
            Ok(line) => {
                let asking = self.ask_on(line, CtrStream::new(to_client));
                let asked = shared.reactor.timeout(ANSWER_LIMIT, asking).await;
                asked.unwrap_or_else(|| Err(silence()))
            }
            Err(error) => Err(match error.result() {
                None => "it does not lead to this DC".to_owned(),
                Some(why) => {
                    let failure = told.and_then(|told| told.failure(dc, why));
                    failure.unwrap_or_else(|| in_words(why))
                }
            }),
        };
        Fared {
            place: told.and_then(|told| told.place(dc)),
            answered: answered.map(|()| shared.reactor.now() - began),
        }
    }

    async fn ask_on(&self, mut line: Line, mut from_dc: CtrStream) -> Result<(), String> {
        let shared = &self.shared;
        let nonce = shared.random_bytes();
        let mut packet = [0; HEADER_LEN + QUESTION_LEN];
        let question = question(&nonce, shared.unix_time());
        let parts = (QUESTION_LEN as u32)
            .to_le_bytes()
            .into_iter()
            .chain(question);
        for (to, from) in packet.iter_mut().zip(parts) {
            *to = from;
        }
        let broken = |error: std::io::Error| format!("the connection breaks: {error}");
        line.send(&shared.buffers, &mut packet).map_err(broken)?;
        let mut came = Vec::new();
        poll_fn(|cx| {
            loop {
                line.flush(cx).map_err(broken)?;
                if let Some(answer) = read(&came) {
                    return Poll::Ready(judge(answer, &nonce));
                }
                match self.poll_more(cx, &mut line, &mut from_dc, &mut came) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(
                            "it connects, and closes without an answer".to_owned()
                        ));
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(error))),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    fn poll_more(
        &self,
        cx: &mut Context<'_>,
        line: &mut Line,
        from_dc: &mut CtrStream,
        came: &mut Vec<u8>,
    ) -> Poll<std::io::Result<usize>> {
        let most = HEADER_LEN + ANSWER_LEN - came.len();
        let mut take = |bytes: &mut [u8]| {
            from_dc.apply(bytes);
            came.extend_from_slice(bytes);
        };
        let scratch = &self.shared.scratch;
        let read = scratch.with(|space: &mut [u8]| {
            let length = SCRATCH_LEN.min(space.len());
            let space = space.get_mut(..length).unwrap_or_default();
            line.poll_read(cx, space, most, &mut take)
        });
        read.unwrap_or_else(|| {
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

/// Of the first packet as much as is needed, once that has come.
fn read(came: &[u8]) -> Option<&[u8]> {
    let (header, rest) = came.split_at_checked(HEADER_LEN)?;
    let length = match TRANSPORT.parse_header(header) {
        Ok(header) => header?.payload_len.min(ANSWER_LEN),
        // Nothing that Telegram says.
        Err(_) => 0,
    };
    rest.get(..length)
}

fn judge(payload: &[u8], nonce: &[u8; 16]) -> Result<(), String> {
    match Answer::of(payload, nonce) {
        Answer::Right => Ok(()),
        Answer::Refused(code) => Err(format!(
            "it connects, and Telegram refuses by error {code}; is this machine's clock right?"
        )),
        Answer::Other => {
            Err("it connects, and who answers is not Telegram: something is in between".to_owned())
        }
    }
}

fn silence() -> String {
    format!(
        "it connects, and no answer of Telegram's comes within {} s: something on the way swallows \
         it",
        ANSWER_LIMIT.as_secs()
    )
}

fn in_words(why: RouteResult) -> String {
    match why {
        RouteResult::CutShort => format!("no connection within {} s", LIMIT.as_secs()),
        why => why.to_string(),
    }
}
