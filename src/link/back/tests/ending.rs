use super::*;
use crate::backend::SessionEnd;
use crate::wire::link::packets::packet_header;

#[test]
fn who_leaves_does_not_wait_for_telegram_any_more() {
    let link = House::new().link("a front", &Dc::stuck());
    let packet = [&packet_header(8, false)[..], &[1; 8]].concat();
    let streams = [0, 1].map(|number| open(&link, number, &mut packet.clone()));
    turn(&link);
    assert_eq!(*link.stalled.borrow(), [0, 1]);
    link.ended_by_front(0).unwrap();
    assert_eq!(*link.stalled.borrow(), [1]);
    assert_eq!(streams[0].strong_count(), 0);
    assert_eq!(streams[1].strong_count(), 1);
    // The number is another one's now.
    open(&link, 0, &mut packet.clone());
    turn(&link);
    assert_eq!(*link.stalled.borrow(), [1, 0]);
    assert_eq!(link.lose(), 2);
    assert_eq!(held(&link), 0);
}

/// A Telegram that ends a session at its first packet.
struct Ending(RefCell<Option<Rc<dyn Sink>>>);

impl Backend for Ending {
    fn open(&self, _: SessionRequest, sink: Rc<dyn Sink>) -> PendingSession<'_> {
        let session = Box::new(Ending(Some(sink).into()));
        Box::pin(async { Ok(Session::Packets(session)) })
    }
}

impl Stream for Ending {
    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn push(&self, _: Packet<'_>) {
        if let Some(sink) = self.0.take() {
            sink.end(SessionEnd::MidSend);
        }
    }

    fn resume(&self) {}
}

#[test]
fn a_session_that_ends_while_its_packet_is_taken_is_dropped_without_another_frame() {
    let packet = [&packet_header(8, false)[..], &[1; 8]].concat();
    let (_link, stream) = comes_late(Rc::new(Ending(None.into())), &packet);
    assert_eq!(stream.strong_count(), 0);
}
