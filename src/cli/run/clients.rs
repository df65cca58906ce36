use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::part::{Change, Doing, Part, Phase, Report};
use crate::backend::Backend;
use crate::client::{ClientContext, ClientParts, Sites};
use crate::guard::gate::Gate;
use crate::net::PipePool;
use crate::telegram::directory::PublicAddress;

/// How long clients get to finish after SIGTERM.
const DRAIN: Duration = Duration::from_secs(3);

/// Secrets that one line names.
const MAX_NAMED: usize = 10;

/// Clients that are let in, and the sites that strangers see; not on a back.
pub(super) struct ClientPart {
    context: Rc<ClientContext>,
    sites: Rc<Sites>,
}

impl ClientPart {
    /// Reads what is kept of sites; blocks.
    pub(crate) fn new(
        core: &Core,
        backend: Rc<dyn Backend>,
        gate: &Rc<Gate>,
        address: &Rc<PublicAddress>,
    ) -> Rc<Self> {
        let address = address.clone();
        let sites = Sites::new(
            &core.reactor,
            &core.executor,
            &core.metrics,
            core.settings.sites.clone(),
            core.data_dir(),
            move || address.known(),
        );
        let context = ClientContext::new(ClientParts {
            reactor: core.reactor.clone(),
            executor: core.executor.clone(),
            buffers: core.buffers.clone(),
            scratch: core.scratch.clone(),
            pipes: PipePool::new(core.config().descriptors.pipes),
            backend,
            gate: gate.clone(),
            metrics: core.metrics.clone(),
            sites: sites.clone(),
            config: core.settings.clients.clone(),
        });
        Rc::new(Self { context, sites })
    }

    pub(crate) fn context(&self) -> &Rc<ClientContext> {
        &self.context
    }

    pub(crate) fn sites(&self) -> &Rc<Sites> {
        &self.sites
    }

    /// Ends the sessions of secrets that are gone.
    fn end_removed(&self, change: &Change) -> Option<String> {
        let names = &change.differences.removed;
        if names.is_empty() {
            return None;
        }
        let ending = match self
            .context
            .end_other_secrets(|secret| change.keeps(secret))
        {
            0 => "no session was open".to_owned(),
            1 => "1 session ends".to_owned(),
            count => format!("{count} sessions end"),
        };
        let mut named: Vec<_> = names.iter().take(MAX_NAMED).cloned().collect();
        if let Some(more) = names.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
            named.push(format!("{more} more"));
        }
        let secrets = if names.len() == 1 {
            "secret"
        } else {
            "secrets"
        };
        Some(format!(
            "{secrets} taken out: {} ({ending})",
            named.join(", ")
        ))
    }
}

impl Part for ClientPart {
    fn start(self: Rc<Self>, core: &Core) {
        core.spawn(self.sites.clone().run());
        let context = self.context.clone();
        core.spawn(async move { context.enforce_limits().await });
    }

    fn reconfigure(&self, change: &Change, report: &mut Report<'_>) {
        report.told.extend(self.end_removed(change));
        for (from, to) in &change.differences.renamed {
            report
                .told
                .push(format!("the secret {from} is called {to}"));
        }
        report.warnings.extend(dead_links(change));
    }

    fn take_secrets(&self, change: &Change, report: &mut Report<'_>) {
        self.reconfigure(change, report);
    }

    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        if phase != Phase::Drain {
            return None;
        }
        match self.context.connections() {
            0 => info!("stopping"),
            1 => info!("stopping: one client gets {}s to finish", DRAIN.as_secs()),
            count => info!(
                "stopping: {count} clients get {}s to finish",
                DRAIN.as_secs()
            ),
        }
        Some(Box::pin(async {
            self.context.drain(DRAIN).await;
        }))
    }
}

/// Which links work no more, and what to do.
fn dead_links(change: &Change) -> Vec<String> {
    let differences = &change.differences;
    let mut lines = Vec::new();
    if !differences.lost_domains.is_empty() {
        let lost = differences.lost_domains.iter();
        let lost: Vec<_> = lost.map(|domain| domain.as_str()).collect();
        lines.push(format!(
            "links that look like {} (ee…) work no more; to keep them beside the new ones, give \
             --tls-domain {} too, after the new one, and reload",
            lost.join(", "),
            lost.join(", and --tls-domain ")
        ));
    }
    if differences.lost_other_domains {
        lines.push(
            "links that look like another site than --tls-domain (ee…) work no more; to keep them, \
             give each of their sites a --tls-domain too, and reload"
                .to_owned(),
        );
    }
    if differences.other_salt {
        let command = match change.new.doors.sni_salt {
            Some(_) => "link --sni DOMAIN",
            None => "link",
        };
        lines.push(format!(
            "links that look like a site (ee…) work no more, as --sni-salt is another; give out new \
             ones of `smol-mtproxy {command}`, or set it back and reload"
        ));
    }
    if !differences.lost_forms.is_empty() {
        let forms = differences.lost_forms.join(",");
        lines.push(format!(
            "links of these forms work no more: {forms}; to keep them, add them to --allow and \
             reload"
        ));
    }
    lines
}
