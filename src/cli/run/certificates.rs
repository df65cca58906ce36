use std::rc::Rc;
use std::time::Duration;

use super::server::Server;

/// Certificates end on a day.
const EVERY: Duration = Duration::from_secs(24 * 3600);

impl Server {
    /// Says at the start, and once a day from then on, which certificates of the
    /// link end soon or cannot be used, and what to do.
    pub(super) async fn watch_certificates(self: Rc<Self>) {
        loop {
            self.tell_concerns();
            self.reactor.sleep(EVERY).await;
        }
    }

    pub(super) fn tell_concerns(&self) {
        let concerns = match (&self.front, &self.back) {
            (Some(front), _) => front.concerns(),
            (None, Some(back)) => back.concerns(),
            (None, None) => Vec::new(),
        };
        for concern in concerns {
            warn!("{}", concern.text);
        }
    }
}
