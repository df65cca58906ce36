//! Carrying out what payloads ask for, the same on both routes.

use std::future::Future;

use crate::payload::{self, Reaction};

/// Where the answers of one session go.
pub trait Session: Send + Sync + 'static {
    /// Sends an answer soon; never waits.
    fn answer(&self, payload: Vec<u8>);
    /// Sends an answer when there is room; `false` when the session is over.
    fn answer_in_bulk(&self, payload: Vec<u8>) -> impl Future<Output = bool> + Send;
    /// Ends the session from Telegram's side, after the answers so far.
    fn close(&self);
}

/// Reacts to one payload; what takes time is given to `spawn`.
pub fn serve<S: Session>(
    session: S,
    payload: Vec<u8>,
    spawn: impl FnOnce(smol::future::Boxed<()>),
) {
    match payload::react(payload) {
        Reaction::Nothing => {}
        Reaction::Answer(answer) => session.answer(answer),
        Reaction::Close => session.close(),
        Reaction::AnswerAndClose(answer) => {
            session.answer(answer);
            session.close();
        }
        Reaction::AnswerLater(delay, answer) => spawn(Box::pin(async move {
            smol::Timer::after(delay).await;
            session.answer(answer);
        })),
        Reaction::Stream { total, size } => spawn(Box::pin(async move {
            for index in 0..total.div_ceil(size) {
                let answer = payload::streamed(index as u32, size);
                if !session.answer_in_bulk(answer).await {
                    return;
                }
            }
        })),
    }
}
