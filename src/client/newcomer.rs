//! One that has proven a full secret waits for a place of it.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::ClientContext;
use crate::connection::Askable;
use crate::guard::gate::Pass;
use crate::guard::policy::Visitor;
use crate::metrics::RejectReason;

/// One that has just proven a secret, all of whose places are taken.
pub(super) struct Newcomer<'a> {
    pub(crate) end: &'a dyn Askable,
    /// What is done when it waits.
    pub(crate) knows: &'a dyn Fn(),
    /// Ready when it is gone.
    pub(crate) leaves: &'a dyn Fn(&mut Context<'_>) -> Poll<()>,
}

impl Newcomer<'_> {
    /// It waits while the sessions of its secret are asked whether they are still there,
    /// and comes in if one is not. Else it is refused for `reason`.
    pub(crate) async fn wait(
        &self,
        context: &Rc<ClientContext>,
        visitor: &Visitor<'_>,
        reason: RejectReason,
    ) -> Result<Pass, RejectReason> {
        let waits = async {
            let mut outcome = Err(reason);
            let Some(waiting) = context.wait_for_place(visitor.secret, self.end) else {
                return outcome;
            };
            (self.knows)();
            while outcome.as_ref().is_err_and(|reason| is_full(*reason)) {
                let is_last = !waiting.changed().await;
                outcome = context.gate.admit(visitor, context.reactor.clock().unix());
                if is_last {
                    break;
                }
            }
            outcome
        };
        let leaves = async {
            poll_fn(self.leaves).await;
            Err(RejectReason::Abandoned)
        };
        smol::future::or(waits, leaves).await
    }
}

/// All places are taken, some perhaps by sessions that are not there any more.
pub(super) fn is_full(reason: RejectReason) -> bool {
    matches!(
        reason,
        RejectReason::SecretConnections | RejectReason::SecretAddresses
    )
}
