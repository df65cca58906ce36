//! Sessions that lost their connection when there is no other.

use super::*;

#[test]
fn nobody_waits_for_an_attempt_that_is_far_away() {
    House::run(&[("--clients-per-connection", "1")], |house| async move {
        let session = house.open().await;
        house.echo(&session, &payload::echo(1, 40)).await;
        // One more is wanted and cannot be had: the pauses grow up to 4.8 s.
        house.fake.behave(|b| b.accept = Accept::Refuse);
        let failures = || house.metrics.connect_failures.total();
        house.until("some failures", || failures() >= 5).await;
        house.fake.rotate_all(Close::Fin);
        let took = house.ends(&session, SessionEnd::NoConnection).await;
        assert_eq!(took, Duration::ZERO);
        assert_eq!(failures(), 5);
    });
}

#[test]
fn nobody_waits_for_all_addresses_when_none_says_a_word() {
    House::run_at(3, ON_DEMAND, |house| async move {
        let session = house.open().await;
        house.echo(&session, &payload::echo(1, 40)).await;
        house.fake.behave(|b| b.accept = Accept::Silent);
        house.rotate(Close::Fin).await;
        let took = house.ends(&session, SessionEnd::NoConnection).await;
        assert_eq!(took, Duration::from_secs(10));
        assert_eq!(house.metrics.connect_failures.total(), 1);
    });
}
