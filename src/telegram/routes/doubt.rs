//! Whether a client's line that speaks against a route is to be believed.

use std::rc::Rc;
use std::time::Duration;

use super::{Routes, question};
use crate::config::RouteName;
use crate::wire::dc::DcId;
use crate::wire::key_exchange::Answer;

/// For a connection and the answer together.
const LIMIT: Duration = Duration::from_secs(8);

/// At a time, for all DCs and routes: each is a descriptor that no session has.
const MAX_QUESTIONS: usize = 4;

impl Routes {
    /// Asks whether the route works for others: the client may have said what no DC
    /// answers. If it does they have it again.
    pub(super) fn doubt(self: &Rc<Self>, dc: DcId, route: RouteName) {
        if self.questions.get() < MAX_QUESTIONS && self.table.borrow().may_be_doubted(dc, route) {
            self.questions.set(self.questions.get() + 1);
            let asking = self.clone().resolve(dc, route);
            self.shared.executor.spawn(asking).detach();
        }
    }

    async fn resolve(self: Rc<Self>, dc: DcId, route: RouteName) {
        let shared = &*self.shared;
        let request = question::request(shared, dc);
        let deadline = self.now() + LIMIT;
        let asking = async {
            let line = self.try_one(route, &request, deadline).await.ok()?;
            let asked = question::ask(shared, line, request.to_client.clone()).await;
            asked.ok().flatten()
        };
        let answer = shared.reactor.timeout(LIMIT, asking).await.flatten();
        self.questions.set(self.questions.get() - 1);
        if answer == Some(Answer::Right) {
            let now = self.now();
            let news = self.table.borrow_mut().is_cleared(dc, route, now);
            self.tell(dc, route, news);
        }
    }
}
