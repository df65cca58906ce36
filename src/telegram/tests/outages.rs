//! DCs that cannot be used: who wants one is told so in time, it is not dialled
//! without end, and used again once it can be.

use super::*;

impl House {
    /// A client of the DC gets nothing; how long it took.
    async fn fails(&self) -> Duration {
        let start = self.reactor.now();
        match self.try_open(Route::Middle).await {
            Err(error) => assert!(matches!(error, OpenError::MiddleUnavailable), "{error:?}"),
            Ok((Session::Packets(stream), sink)) => {
                let session = TestSession { stream, sink };
                session.push(&payload::echo(1, 64));
                let ended = || session.sink.ended.get().is_some();
                self.until("the session's end", ended).await;
                assert!(session.sink.packets.borrow().is_empty());
            }
            Ok(_) => panic!("another kind of session"),
        }
        self.reactor.now() - start
    }

    async fn is_used_again(&self) -> TestSession {
        let start = self.reactor.now();
        loop {
            match self.try_open(Route::Middle).await {
                Ok((Session::Packets(stream), sink)) => return TestSession { stream, sink },
                _ => assert!(
                    self.reactor.now() - start < DEADLINE,
                    "it is never used again"
                ),
            }
            self.reactor.sleep(Duration::from_millis(100)).await;
        }
    }
}

#[test]
fn a_dc_that_cannot_be_used_is_left_in_time_and_found_again() {
    for accept in [
        Accept::Drop,
        Accept::DropAfterHandshake,
        Accept::HandshakeError(-7),
        Accept::Silent,
        Accept::SilentAfterNonce,
    ] {
        House::run(ON_DEMAND, |house| async move {
            house.fake.behave(|b| b.accept = accept);
            let start = house.reactor.now();
            for _ in 0..3 {
                let took = house.fails().await;
                println!("{accept:?}: given up after {took:?}");
                assert!(took <= Duration::from_secs(11), "{accept:?}: {took:?}");
            }
            let seconds = (house.reactor.now() - start).as_secs();
            let dials = house.fake.counters().middle_accepted();
            assert!(
                dials < 10 + 5 * (seconds + 1),
                "{dials} dials in {seconds} s"
            );
            house.fake.behave(|b| b.accept = Accept::Normal);
            let session = house.is_used_again().await;
            house.echo(&session, &payload::echo(2, 64)).await;
        });
    }
}

#[test]
fn a_dc_that_refuses_direct_lines_is_told_of_and_found_again() {
    House::run(ON_DEMAND, |house| async move {
        house.fake.behave(|b| b.direct_refuse = true);
        let start = house.reactor.now();
        let refused = house.try_open(Route::Direct).await;
        assert!(matches!(refused, Err(OpenError::DirectUnavailable)));
        let took = house.reactor.now() - start;
        assert!(took <= Duration::from_secs(9), "{took:?}");
        house.fake.behave(|b| b.direct_refuse = false);
        let found = house.try_open(Route::Direct).await;
        assert!(matches!(found, Ok((Session::Line(_), _))));
    });
}
