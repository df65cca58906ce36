//! Web sessions over socket pairs, in virtual time. The app is the tests' own.

mod app;
mod circle;
mod decisions;
mod doors;
mod fairness;
mod limits;
mod presence;
mod requests;
mod sockets;
mod world;

/// Bytes of the future that a function of three arguments returns.
fn future_size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

/// What they hold while nothing is under way, without their clients.
#[test]
fn an_idle_session_is_small() {
    let carrier = future_size(super::carrier::websocket::run);
    let session = size_of::<super::session::Session>();
    let stream = size_of::<super::stream::Stream>();
    let small = carrier <= 640 && session <= 640 && stream <= 256;
    assert!(
        small,
        "carrier {carrier}, session {session}, stream {stream}"
    );
}
