//! Sessions that take their time to open.

use std::rc::Rc;

use super::app::App;
use super::relays::payload;
use super::telegram::Answer;
use super::{SECRET, Setup, World};
use crate::metrics::CloseReason;
use crate::net::Notify;
use crate::wire::transport::Transport;

/// A client whose session opens upon the event.
async fn connect(world: &World) -> (App, Rc<Notify>) {
    let event = Rc::<Notify>::default();
    let answers = &world.telegram.answers;
    answers.borrow_mut().push_back(Answer::Upon(event.clone()));
    let count = world.telegram.opened.borrow().len();
    let address = world.listener.address();
    let app = App::connect(&world.reactor, address, Transport::Padded, &SECRET).await;
    let is_opening = || world.telegram.opened.borrow().len() > count;
    world.until("an opening", is_opening).await;
    (app, event)
}

#[test]
fn a_client_that_hangs_up_meanwhile_gives_up_its_place() {
    let mut setup = Setup::default();
    setup.clients.max_clients = 1;
    setup.run(async |world| {
        for has_spoken in [false, true] {
            let (mut app, event) = connect(&world).await;
            if has_spoken {
                app.send(&payload(64, 0)).await;
            }
            assert!(event.is_awaited());
            drop(app);
            let is_free = || world.context.connections() == 0;
            world.until("a free place", is_free).await;
            assert!(!event.is_awaited());
        }
        assert_eq!(world.metrics.closed.get(CloseReason::ClientClosed), 2);
    });
}

#[test]
fn what_it_said_last_is_handed_on_if_there_is_a_session_at_once() {
    Setup::default().run(async |world| {
        let (mut app, event) = connect(&world).await;
        app.send(&payload(64, 0)).await;
        drop(app);
        event.notify();
        let is_free = || world.context.connections() == 0;
        world.until("a free place", is_free).await;
        let script = world.telegram.session().script;
        assert_eq!(script.payloads(), [payload(64, 0)]);
    });
}
