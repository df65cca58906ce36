//! Carrying out what payloads ask for, the same on both routes.

use std::future::Future;
use std::sync::Arc;

use crate::payload::{self, Reaction};
use crate::shared::Shared;

/// Where the answers of one session go.
pub trait Session: Send + Sync + 'static {
    /// Sends an answer soon; never waits.
    fn answer(&self, payload: Vec<u8>);
    /// Sends an answer when there is room; `false` when the session is over.
    fn answer_in_bulk(&self, payload: Vec<u8>) -> impl Future<Output = bool> + Send;
    /// Ends the session from Telegram's side, after the answers so far.
    fn close(&self);
}

/// Reacts to one payload; what takes time becomes a task.
pub fn serve<S: Session>(shared: &Arc<Shared>, session: S, payload: Vec<u8>) {
    match payload::react(payload) {
        Reaction::Nothing => {}
        Reaction::Answer(answer) => session.answer(answer),
        Reaction::Close => session.close(),
        Reaction::AnswerAndClose(answer) => {
            session.answer(answer);
            session.close();
        }
        Reaction::AnswerLater(delay, answer) => {
            let clock = shared.clone();
            shared.spawn(async move {
                clock.host.sleep(delay).await;
                session.answer(answer);
            });
        }
        Reaction::Stream { total, size } => shared.spawn(async move {
            for index in 0..total.div_ceil(size) {
                let answer = payload::streamed(index as u32, size);
                if !session.answer_in_bulk(answer).await {
                    return;
                }
            }
        }),
    }
}
