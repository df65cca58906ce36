use std::time::Duration;

/// How long each part of a ping took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Times {
    pub(super) tcp: Duration,
    /// Of a proxy with fake TLS; TLS, page, session and carrier of a WEB proxy.
    pub(super) handshake: Option<Duration>,
    /// From the question to Telegram's answer.
    pub(super) answer: Duration,
}

impl Times {
    pub(in crate::cli) fn total(&self) -> Duration {
        self.tcp + self.handshake.unwrap_or_default() + self.answer
    }
}
