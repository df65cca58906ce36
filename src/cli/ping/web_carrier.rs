use std::io::Write;
use std::time::{Duration, Instant};

use super::failure::{Failure, WebFailure, WebStep};
use super::question::Question;
use super::web_connection::{OF_BROWSERS, WebConnection, of_io, read_more};
use super::web_place::{FRAMES, Place, status};
use crate::net::fill_random;
use crate::wire::web::{RelayFrame, RelayReader, StreamId, data_header, open, pong};
use crate::wire::websocket::{
    self, FrameReader, KEY_LEN, Piece, UpgradeAnswer, UpgradeError, message_header,
};

/// A normal end.
const GOING: u16 = 1000;

/// Until the carrier is open, and how each question fared.
type Carried = (Duration, Vec<Result<Duration, Failure>>);

/// The streams of one session, each with its question.
pub(super) struct Questions {
    streams: Vec<Asked>,
    frames: RelayReader,
    sent: Option<Instant>,
}

struct Asked {
    id: StreamId,
    question: Question,
    outcome: Option<Result<Duration, Failure>>,
}

/// What the relay is to be told.
type Batch = Vec<u8>;

impl Questions {
    /// With the batch that opens their streams and asks them.
    pub(super) fn new(all: Vec<(StreamId, Question, Vec<u8>)>) -> (Self, Batch) {
        let (mut streams, mut batch) = (Vec::new(), Vec::new());
        for (id, question, bytes) in all {
            batch.extend(open(id));
            batch.extend(data_header(id, bytes.len()));
            batch.extend(bytes);
            streams.push(Asked {
                id,
                question,
                outcome: None,
            });
        }
        let questions = Self {
            streams,
            frames: RelayReader::default(),
            sent: None,
        };
        (questions, batch)
    }

    fn are_all_answered(&self) -> bool {
        self.streams.iter().all(|one| one.outcome.is_some())
    }

    fn are_sent(&mut self) {
        self.sent = Some(Instant::now());
    }

    /// Frames of the relay, however they are cut; what they are to be answered with.
    fn take(&mut self, bytes: &[u8]) -> Result<Batch, Failure> {
        let mut batch = Batch::new();
        self.frames.push(bytes);
        let strange = |_| Failure::Web(WebFailure::Strange(WebStep::Down));
        while let Some(frame) = self.frames.frame().map_err(strange)? {
            match frame {
                RelayFrame::Data { stream, bytes } => self.data(stream, bytes),
                RelayFrame::Close(stream) => {
                    self.settle(stream, Err(Failure::Closed { is_proven: true }));
                }
                RelayFrame::Ping(body) => batch.extend(pong(&body)),
                RelayFrame::Bye => self.settle_all(&Failure::Closed { is_proven: true }),
                RelayFrame::Welcome | RelayFrame::Window { .. } => {}
            }
        }
        Ok(batch)
    }

    fn data(&mut self, stream: StreamId, mut bytes: Vec<u8>) {
        let asked = self.streams.iter_mut().find(|one| one.id == stream);
        let Some(asked) = asked.filter(|one| one.outcome.is_none()) else {
            return;
        };
        let taken = asked.question.take(&mut bytes);
        let took = self.sent.map(|sent| sent.elapsed()).unwrap_or_default();
        match taken {
            Ok(false) => {}
            Ok(true) => asked.outcome = Some(Ok(took)),
            Err(failure) => asked.outcome = Some(Err(failure)),
        }
    }

    fn settle(&mut self, stream: StreamId, outcome: Result<Duration, Failure>) {
        let asked = self.streams.iter_mut().find(|one| one.id == stream);
        if let Some(asked) = asked {
            asked.outcome.get_or_insert(outcome);
        }
    }

    /// Those without an outcome have this one.
    fn settle_all(&mut self, failure: &Failure) {
        for asked in &mut self.streams {
            asked.outcome.get_or_insert_with(|| Err(failure.clone()));
        }
    }

    fn outcomes(mut self, open: Duration) -> Carried {
        self.settle_all(&Failure::Web(WebFailure::Silent(WebStep::Down)));
        let outcomes = self.streams.into_iter().filter_map(|one| one.outcome);
        (open, outcomes.collect())
    }
}

/// `began`: when the ping did.
pub(super) fn by_websocket(
    connection: WebConnection<'_>,
    place: &Place,
    token: &str,
    mut questions: Questions,
    batch: &[u8],
    began: Instant,
) -> Result<Carried, Failure> {
    let mut key = [0; KEY_LEN];
    fill_random(&mut key);
    let protocol = format!("tproxy-v1.{token}");
    let path = place.path("api/v1/ws");
    let request = websocket::request(&place.host, &path, &key, Some(&protocol));
    let head = request.strip_suffix("\r\n").unwrap_or(&request);
    let request = format!("{head}Origin: https://{}\r\n{OF_BROWSERS}\r\n", place.host);
    let mut stream = connection.into_stream(request.as_bytes())?;
    let broken = |step| move |error| of_io(&error, step);
    let mut answer = UpgradeAnswer::new(&key);
    let mut came = Vec::new();
    loop {
        if read_more(&mut stream, &mut came).map_err(broken(WebStep::WebSocket))? == 0 {
            return Err(Failure::Web(WebFailure::Closed(WebStep::WebSocket)));
        }
        let mut head = came.as_slice();
        let is_open = answer.take(&mut head).map_err(|error| of_upgrade(&error))?;
        came = head.to_vec();
        if is_open {
            break;
        }
    }
    let is_open = began.elapsed();
    let message = [&message_header(batch.len())[..], batch].concat();
    let sent = stream.write_all(&message).and_then(|()| stream.flush());
    sent.map_err(broken(WebStep::Down))?;
    questions.are_sent();
    let mut frames = FrameReader::default();
    loop {
        let (says, is_closed) = read_frames(&mut frames, &mut came, &mut questions)?;
        if is_closed {
            questions.settle_all(&Failure::Closed { is_proven: true });
        }
        if questions.are_all_answered() {
            break;
        }
        let sent = stream.write_all(&says).and_then(|()| stream.flush());
        came.clear();
        match sent.and_then(|()| read_more(&mut stream, &mut came)) {
            Ok(0) => questions.settle_all(&Failure::Closed { is_proven: true }),
            Ok(_) => {}
            Err(error) => questions.settle_all(&of_io(&error, WebStep::Down)),
        }
    }
    // The session ends with it; it has said all that is asked.
    let _ = stream.write_all(&websocket::close(GOING));
    let _ = stream.flush();
    Ok(questions.outcomes(is_open))
}

/// What the server is to be told of these bytes, and whether nothing follows them.
fn read_frames(
    frames: &mut FrameReader,
    came: &mut [u8],
    questions: &mut Questions,
) -> Result<(Vec<u8>, bool), Failure> {
    let mut says = Vec::new();
    let mut input = came;
    let strange = |_| Failure::Web(WebFailure::Strange(WebStep::WebSocket));
    while let Some(piece) = frames.next(&mut input).map_err(strange)? {
        match piece {
            Piece::Payload(bytes) => {
                let batch = questions.take(bytes)?;
                if !batch.is_empty() {
                    says.extend(message_header(batch.len()));
                    says.extend(batch);
                }
            }
            Piece::Ping(body) => says.extend(websocket::pong(&body)),
            Piece::Close(_) => return Ok((says, true)),
        }
    }
    Ok((says, false))
}

fn of_upgrade(error: &UpgradeError) -> Failure {
    let step = WebStep::WebSocket;
    Failure::Web(match error {
        UpgradeError::Redirect { status, .. } | UpgradeError::Status(status) => {
            WebFailure::Status(step, *status)
        }
        UpgradeError::Malformed => WebFailure::NotHttp(step),
        _ => WebFailure::Strange(step),
    })
}

/// `began`: when the ping did.
pub(super) fn by_requests(
    mut connection: WebConnection<'_>,
    place: &Place,
    token: &str,
    mut questions: Questions,
    batch: &[u8],
    began: Instant,
) -> Result<Carried, Failure> {
    let is_open = began.elapsed();
    let fields = place.fields(token);
    let mut number = 1;
    let mut says = batch.to_vec();
    let mut cursor = 0u64;
    questions.are_sent();
    loop {
        if !says.is_empty() {
            up(&mut connection, place, &fields, number, &says)?;
            number += 1;
        }
        let line = format!("POST {}", place.path("api/v1/down"));
        let fields = format!("{fields}X-Down-Cursor: {cursor}\r\n");
        let reply = match connection.ask(WebStep::Down, &line, &fields, &[]) {
            Ok(reply) => reply,
            Err(failure) => {
                questions.settle_all(&failure);
                break;
            }
        };
        says = match reply.status {
            200 => {
                cursor += 1;
                questions.take(&reply.body)?
            }
            // It had nothing to say for as long as a poll lasts.
            204 => Batch::new(),
            _ => return Err(status(WebStep::Down, &reply)),
        };
        if questions.are_all_answered() {
            break;
        }
    }
    // So that it takes no place for the minutes in which another request may come.
    let line = format!("DELETE {}", place.path("api/v1/session"));
    let _ = connection.ask(WebStep::Session, &line, &fields, &[]);
    Ok(questions.outcomes(is_open))
}

fn up(
    connection: &mut WebConnection<'_>,
    place: &Place,
    fields: &str,
    number: u64,
    batch: &[u8],
) -> Result<(), Failure> {
    let line = format!("POST {}", place.path("api/v1/up"));
    let fields = format!("{fields}{FRAMES}X-Up-Seq: {number}\r\n");
    let reply = connection.ask(WebStep::Up, &line, &fields, batch)?;
    match reply.status {
        204 => Ok(()),
        _ => Err(status(WebStep::Up, &reply)),
    }
}
