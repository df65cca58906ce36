use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;

use super::aim::Form;
use super::failure::{Failure, WebFailure, WebStep};
use super::pace::Pace;
use super::plan::Step;
use super::question::Question;
use super::times::Times;
use super::web_carrier::{self, Questions};
use super::web_connection::{Server, WebConnection};
use super::web_place::{FRAMES, Place, status};
use crate::wire::transport::Transport;
use crate::wire::web::{Capability, HELLO, StreamId, WELCOME, WebInvite, token_in_page};

/// What one ping of a WEB proxy is made with.
pub(super) struct Request {
    pub(super) invite: WebInvite,
    pub(super) step: Step,
    pub(super) limit: Duration,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) pace: Pace,
}

/// As an app does it: the page, a session, its carrier, a stream for each DC; one outcome
/// for each. Blocks.
pub(super) fn ping(request: &Request) -> Vec<Result<Times, Failure>> {
    match begin(request) {
        Ok((times, answers)) => {
            let (tcp, handshake) = times;
            let of_answer = |answer: Result<Duration, Failure>| {
                answer.map(|answer| Times {
                    tcp,
                    handshake: Some(handshake),
                    answer,
                })
            };
            answers.into_iter().map(of_answer).collect()
        }
        Err(failure) => vec![Err(failure); request.step.dcs.len()],
    }
}

type Answers = Vec<Result<Duration, Failure>>;

fn begin(request: &Request) -> Result<((Duration, Duration), Answers), Failure> {
    let invite = &request.invite;
    let host = invite.host.as_str();
    let server = Server {
        address: request.step.address,
        name: host,
        roots: &request.roots,
    };
    let began = Instant::now();
    let mut connection = WebConnection::new(server, request.pace.clone(), request.limit);
    let place = Place::of(invite);
    let bootstrap = page(&mut connection, &place, invite)?;
    let token = session(&mut connection, &place, &bootstrap)?;
    let (questions, batch) = Questions::new(questions(request));
    let tcp = connection.times.map(|(tcp, _)| tcp).unwrap_or_default();
    let carried = match request.step.form {
        Form::Https => {
            web_carrier::by_requests(connection, &place, &token, questions, &batch, began)
        }
        _ => web_carrier::by_websocket(connection, &place, &token, questions, &batch, began),
    };
    let (open, answers) = carried?;
    Ok(((tcp, open.saturating_sub(tcp)), answers))
}

/// The page's token.
fn page(
    connection: &mut WebConnection<'_>,
    place: &Place,
    invite: &WebInvite,
) -> Result<String, Failure> {
    let capability = Capability::of(&invite.key, &invite.host, invite.path.as_ref());
    let line = format!("GET {}", place.path(&format!("?bridge={capability}")));
    let page = connection.ask(WebStep::Page, &line, "", &[])?;
    let token = token_in_page(&page.body).filter(|_| page.status == 200);
    match token {
        Some(token) => Ok(token.to_owned()),
        None if page.status == 503 => Err(status(WebStep::Page, &page)),
        None => Err(Failure::Web(WebFailure::Cover(page.status))),
    }
}

/// The session's token.
fn session(
    connection: &mut WebConnection<'_>,
    place: &Place,
    bootstrap: &str,
) -> Result<String, Failure> {
    let line = format!("POST {}", place.path("api/v1/session"));
    let fields = place.fields(bootstrap) + FRAMES;
    let session = connection.ask(WebStep::Session, &line, &fields, &HELLO)?;
    if session.status != 200 {
        return Err(status(WebStep::Session, &session));
    }
    let token = session.field("x-session-token");
    let token = token.filter(|token| is_token(token) && session.body == WELCOME);
    let token = token.ok_or(Failure::Web(WebFailure::Strange(WebStep::Session)))?;
    Ok(token.to_owned())
}

/// It goes into heads of requests.
fn is_token(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.len() <= 256 && text.bytes().all(is_letter)
}

/// One in a stream of its own for each DC, with what it begins with.
fn questions(request: &Request) -> Vec<(StreamId, Question, Vec<u8>)> {
    let key = &request.invite.key;
    let transport = match key.is_padded {
        true => Transport::Padded,
        false => Transport::Abridged,
    };
    let ids = (1..).filter_map(StreamId::new);
    let dcs = ids.zip(&request.step.dcs);
    let question = |(id, dc): (StreamId, &_)| {
        let (question, bytes) = Question::new(transport, &key.secret, *dc);
        (id, question, bytes)
    };
    dcs.map(question).collect()
}
