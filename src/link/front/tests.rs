use std::net::{Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use smol_mtproxy_ciphers::StreamKey;

use super::link::FrontLink;
use crate::backend::{Route, Session, SessionEnd, SessionRequest, Sink, Stream};
use crate::link::test_link;
use crate::wire::dc::DcId;
use crate::wire::transport::Transport;

struct Client;

impl Sink for Client {
    fn begin_packet(&self, _: usize) {}

    fn offer(&self, data: &mut [u8], _: usize) -> usize {
        data.len()
    }

    fn end_packet(&self) {}

    fn quick_ack(&self, _: [u8; 4]) {}

    fn undelivered(&self) -> usize {
        0
    }

    fn end(&self, _: SessionEnd) {}
}

impl Wake for Client {
    fn wake(self: Arc<Self>) {}
}

fn open(link: &Rc<FrontLink>) -> Box<dyn Stream> {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let request = SessionRequest {
        route: Route::Direct,
        dc: DcId(2),
        client: nobody,
        local: nobody,
        tag: None,
        transport: Transport::Padded,
        to_client: StreamKey {
            key: [0; 32],
            iv: [0; 16],
        },
    };
    match link.open(request, Rc::new(Client)) {
        Session::Bytes(stream) => stream,
        _ => panic!("a direct session is one of bytes"),
    }
}

#[test]
fn who_leaves_does_not_wait_for_the_link_any_more() {
    let link = FrontLink::new(Weak::new(), test_link::connection());
    let stream = open(&link);
    while !link.connection.is_full() {
        link.connection.send_data(7, &[], &[0; 4096]);
    }
    let task = Arc::new(Client);
    let waker = Waker::from(task.clone());
    for _ in 0..2 {
        assert!(
            stream
                .poll_ready(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    drop((stream, waker));
    assert_eq!(Arc::strong_count(&task), 1, "the link keeps its task");
    assert!(!link.connection.tell_room());
}
