//! The self-test: some seconds after the start a line says how all fares that clients need,
//! or the one thing that is wrong. It asks a DC once, by one route after the other until one
//! leads there; everything else is what the parts have found out anyway.

use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::link::LinkPart;
use super::rooms::Rooms;
use super::telegram::TelegramPart;
#[cfg(feature = "tls")]
use super::web_tls::WebTlsPart;
use crate::client::{Sites, Standing};
use crate::config::{Config, Reach, Role, RouteChoice, RouteList};
use crate::telegram::directory::PublicAddress;
use crate::wire::dc::DcId;

/// The first clients come before it.
const DELAY: Duration = Duration::from_secs(5);

/// For what the parts are still finding out by then.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where most accounts are.
const USUAL_DC: DcId = DcId(2);

/// Days of a certificate from which on it is in danger: renewal is long overdue.
#[cfg(feature = "tls")]
const FEW_DAYS: i64 = 7;

/// What is known of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Good(String),
    /// Nothing speaks against it, and nothing shows that it works.
    Open(String),
    /// The cause, and the way out.
    Bad(String),
}

use Finding::{Bad, Good, Open};

/// What it looks at.
pub(super) struct SelfTest {
    core: Rc<Core>,
    address: Rc<PublicAddress>,
    telegram: Option<Rc<TelegramPart>>,
    link: Option<Rc<LinkPart>>,
    sites: Option<Rc<Sites>>,
    #[cfg(feature = "tls")]
    web_tls: Option<Rc<WebTlsPart>>,
}

impl SelfTest {
    /// `None`: it is not wanted.
    pub(crate) fn new(core: &Rc<Core>, rooms: &Rooms) -> Option<Self> {
        core.config().process.self_test.then(|| Self {
            core: core.clone(),
            address: rooms.address().clone(),
            telegram: rooms.telegram().cloned(),
            link: rooms.link().cloned(),
            sites: rooms.clients().map(|clients| clients.sites().clone()),
            #[cfg(feature = "tls")]
            web_tls: rooms.web_tls().cloned(),
        })
    }

    pub(crate) async fn run(self) {
        self.core.reactor.sleep(DELAY).await;
        let looked = async {
            self.address.first_look().await;
            if let Some(sites) = self.sites.as_ref().filter(|sites| sites.are_asked_of()) {
                sites.first_answers().await;
            }
        };
        let looked = self.core.reactor.timeout(PATIENCE, looked);
        let (_, dc) = smol::future::zip(looked, self.dc()).await;
        let config = self.core.config();
        let mut findings = Vec::new();
        findings.extend(dc);
        findings.extend(self.link());
        findings.extend(self.site());
        #[cfg(feature = "tls")]
        findings.extend(self.certificates());
        if config.process.role != Role::Back {
            findings.push(judge_address(self.address.known()));
        }
        let came = self.core.metrics.clients_by_kind.total();
        tell(&findings, config.process.role, came);
    }

    /// Asks one that clients go to directly.
    async fn dc(&self) -> Option<Finding> {
        let telegram = self.telegram.as_ref()?;
        let config = self.core.config();
        if !goes_directly(&config) {
            return Some(self.middle());
        }
        let (dc, routes) = (dc_to_ask(&config), config.telegram.routes);
        let mut failed = Vec::new();
        for route in routes.as_slice() {
            let fared = telegram.ask(dc, *route).await;
            match fared.answered {
                Ok(took) => return Some(Good(answers(dc, route.word(), took, &failed))),
                Err(why) => failed.push(format!("{}: {why}", route.word())),
            }
        }
        Some(Bad(silent(dc, &failed, routes)))
    }

    /// Middle proxies are not asked: a connection to one is shared, and made for clients.
    fn middle(&self) -> Finding {
        match self.core.metrics.dcs.connections() {
            0 => Open(
                "middle proxies are connected to when the first client comes (--dc-connections 1 \
                 would be sooner)"
                    .to_owned(),
            ),
            1 => Good("a middle proxy is connected".to_owned()),
            several => Good(format!("{several} connections to middle proxies are open")),
        }
    }

    fn link(&self) -> Option<Finding> {
        let metrics = &self.core.metrics;
        Some(match &**self.link.as_ref()? {
            LinkPart::Front(front) => {
                let (there, wanted) = front.link_counts();
                judge_links(there, wanted, metrics.link_rtt_micros.get())
            }
            LinkPart::Back(_) => match metrics.links.get() {
                0 => Open("no front has come for a link yet".to_owned()),
                1 => Good("a front is linked".to_owned()),
                several => Good(format!("{several} links of fronts are open")),
            },
        })
    }

    fn site(&self) -> Option<Finding> {
        Some(match self.sites.as_ref()?.standing()? {
            Standing::Answers(how) => Good(how),
            Standing::NotAsked(domain) => {
                Open(format!("the site of {domain} has not answered yet"))
            }
            Standing::Fails(why) => Bad(why),
        })
    }

    /// Of the WEB hosts whose TLS is ours.
    #[cfg(feature = "tls")]
    fn certificates(&self) -> Vec<Finding> {
        let days = self.web_tls.iter().flat_map(|part| part.days_left());
        days.map(|(name, days)| judge_certificate(&name, days))
            .collect()
    }
}

/// Some clients have lines of their own to DCs.
pub(super) fn goes_directly(config: &Config) -> bool {
    let untagged = || config.doors.listeners.iter().any(|door| door.tag.is_none());
    match config.doors.route {
        _ if config.process.role == Role::Back => true,
        RouteChoice::Own(_) => true,
        RouteChoice::Auto => untagged(),
        RouteChoice::Middle => false,
    }
}

/// One of those that the operator gave, if he gave any.
pub(super) fn dc_to_ask(config: &Config) -> DcId {
    let given = &config.telegram.dc_overrides;
    let usual = given.iter().find(|(dc, _)| *dc == USUAL_DC);
    usual.or(given.first()).map_or(USUAL_DC, |(dc, _)| *dc)
}

fn answers(dc: DcId, route: &str, took: Duration, failed: &[String]) -> String {
    let others = match failed {
        [] => String::new(),
        failed => format!(" (not by {})", failed.join("; ")),
    };
    format!(
        "DC {dc} answers in {} ms by {route}{others}",
        took.as_millis().max(1)
    )
}

fn silent(dc: DcId, failed: &[String], routes: RouteList) -> String {
    let other = match routes == RouteList::default() && cfg!(feature = "tls") {
        true => "--route direct,ws or --via",
        false => "--via",
    };
    format!(
        "DC {dc} does not answer ({}): if this machine is online, Telegram is blocked here, and \
         {other} may lead around that (doc/blocked.md)",
        failed.join("; ")
    )
}

fn judge_links(there: usize, wanted: usize, micros: u64) -> Finding {
    match there {
        0 => Bad(
            "there is no link to a back: see whether the backs run, what their logs say, and the \
             network between"
                .to_owned(),
        ),
        there if there < wanted => Bad(format!(
            "{there} of {wanted} links to backs are there: the lines above say what keeps the \
             others away"
        )),
        _ => {
            let links = match wanted {
                1 => "the back is linked".to_owned(),
                several => format!("all {several} links to backs are there"),
            };
            // The first ping may be on its way.
            Good(match micros {
                0 => links,
                micros => format!("{links}, {}.{} ms away", micros / 1000, micros / 100 % 10),
            })
        }
    }
}

#[cfg(feature = "tls")]
fn judge_certificate(name: &str, days: i64) -> Finding {
    match days {
        ..0 => Bad(format!(
            "the certificate of {name} has ended: renew it, and the files are read again by \
             themselves"
        )),
        0..=FEW_DAYS => Bad(format!(
            "the certificate of {name} ends in {days} days: see why it is not renewed"
        )),
        _ => Good(format!("the certificate of {name} is good for {days} days")),
    }
}

fn judge_address(known: Option<std::net::IpAddr>) -> Finding {
    match known {
        Some(ip) if Reach::of(ip) == Reach::Internet => Good(format!("the public address is {ip}")),
        Some(ip) => Open(format!(
            "the address {ip} is reached from its own network only"
        )),
        None => Open("the public address is unknown (--external-ip gives it)".to_owned()),
    }
}

fn tell(findings: &[Finding], role: Role, came: u64) {
    match judge(findings, role, came) {
        Ok(line) => info!("self-test: {line}"),
        Err(line) => warn!("self-test: {line}"),
    }
}

/// All that is well in one line, or what is wrong. That clients get here is known only of
/// those that have come.
fn judge(findings: &[Finding], role: Role, came: u64) -> Result<String, String> {
    let mut bad = findings.iter().filter_map(|finding| match finding {
        Bad(text) => Some(text.as_str()),
        Good(_) | Open(_) => None,
    });
    if let Some(first) = bad.next() {
        let more = bad.count();
        return Err(match (more, cfg!(feature = "check")) {
            (0, _) => first.to_owned(),
            (more, true) => format!("{first}; {more} more: smol-mtproxy check says all"),
            (more, false) => format!("{first}; {more} more, see the lines above"),
        });
    }
    let mut parts: Vec<&str> = findings
        .iter()
        .map(|finding| match finding {
            Good(text) | Open(text) | Bad(text) => text.as_str(),
        })
        .collect();
    let is_open = findings.iter().any(|one| matches!(one, Open(_)));
    parts.extend(match (role, came, is_open) {
        (Role::Back, ..) => None,
        (_, 1.., _) => Some("clients come"),
        (_, 0, true) => Some("whether clients can come shows with the first"),
        (_, 0, false) => Some(
            "clients can come if the port is open to them (firewall, provider), which shows with \
             the first",
        ),
    });
    Ok(parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Finding {
        Good(text.to_owned())
    }

    #[test]
    fn what_is_wrong_is_said_alone() {
        let bad = Bad("no link: see the backs".to_owned());
        let findings = [good("DC 2 answers"), bad.clone()];
        let judged = judge(&findings, Role::Both, 3);
        assert_eq!(judged, Err("no link: see the backs".to_owned()));
        let two = judge(&[bad.clone(), bad], Role::Both, 3).unwrap_err();
        assert!(two.starts_with("no link: see the backs; 1 more"), "{two}");
    }

    #[test]
    fn that_clients_can_come_is_said_where_it_is_known() {
        let fine = [
            good("DC 2 answers"),
            good("the public address is 192.0.2.1"),
        ];
        let open = [good("DC 2 answers"), Open("unknown".to_owned())];
        let line = |findings: &[Finding], role, came| judge(findings, role, came).unwrap();
        assert!(line(&fine, Role::Both, 1).ends_with("192.0.2.1; clients come"));
        assert!(line(&fine, Role::Both, 0).contains("clients can come if"));
        for role in [Role::Both, Role::Front] {
            assert!(!line(&open, role, 0).contains("clients can come if"));
        }
        assert_eq!(line(&fine[..1], Role::Back, 0), "DC 2 answers");
    }

    #[test]
    fn only_dcs_that_are_given_are_asked_where_some_are() {
        let asked = |flags: &[(&str, &str)]| dc_to_ask(&Config::of(flags));
        assert_eq!(asked(&[]), DcId(2));
        let four = ("--dc", "4=127.0.0.1:1");
        assert_eq!(asked(&[four]), DcId(4));
        assert_eq!(asked(&[four, ("--dc", "2=127.0.0.1:1")]), DcId(2));
    }

    #[test]
    fn where_all_go_by_middle_proxies_no_dc_is_asked() {
        let tag = ("--tag", "00112233445566778899aabbccddeeff");
        let direct = |flags: &[(&str, &str)]| goes_directly(&Config::of(flags));
        assert!(direct(&[]));
        assert!(!direct(&[tag]));
        assert!(!direct(&[("--route", "middle")]));
        assert!(direct(&[("--route", "direct")]));
    }

    #[test]
    fn a_dc_says_by_which_way_it_was_reached_or_why_not() {
        let took = Duration::from_millis(84);
        let failed = ["direct: no connection".to_owned()];
        assert_eq!(
            answers(DcId(2), "direct", took, &[]),
            "DC 2 answers in 84 ms by direct"
        );
        let line = answers(DcId(2), "ws", took, &failed);
        assert!(
            line.ends_with("by ws (not by direct: no connection)"),
            "{line}"
        );
        let line = silent(DcId(2), &failed, RouteList::default());
        assert!(
            line.contains("no connection") && line.contains("--via"),
            "{line}"
        );
    }

    #[test]
    fn links_are_there_some_or_none() {
        assert!(matches!(judge_links(0, 1, 0), Bad(_)));
        assert!(matches!(judge_links(1, 2, 0), Bad(text) if text.starts_with("1 of 2")));
        assert_eq!(
            judge_links(1, 1, 41_350),
            good("the back is linked, 41.3 ms away")
        );
        assert_eq!(judge_links(2, 2, 0), good("all 2 links to backs are there"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_certificate_that_ends_soon_is_wrong() {
        assert!(matches!(judge_certificate("a.example", -1), Bad(_)));
        assert!(matches!(judge_certificate("a.example", 7), Bad(_)));
        assert!(matches!(judge_certificate("a.example", 8), Good(_)));
    }
}
