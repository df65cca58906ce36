use std::net::SocketAddr;
use std::time::Duration;

use super::aim::{Aim, Form};
use super::options::Options;
use super::pace::STEP;
use crate::wire::dc::DcId;

/// One connection, and what is asked by it: of a WEB proxy all DCs, else one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Step {
    pub(super) address: SocketAddr,
    pub(super) form: Form,
    pub(super) dcs: Vec<DcId>,
}

/// The pings of one link.
pub(in crate::cli) struct Plan {
    steps: Vec<Step>,
    limit: Duration,
}

impl Plan {
    /// All of it at the first address, which apps take; the others are asked for one DC.
    pub(super) fn new(aim: &Aim, addresses: &[SocketAddr], options: &Options) -> Self {
        let mut steps = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            let is_first = number == 0;
            let (forms, dcs, repeat) = match is_first {
                true => (aim.forms(), options.dcs.as_slice(), options.repeat),
                false => (
                    aim.forms().get(..1).unwrap_or_default(),
                    options.dcs.get(..1).unwrap_or_default(),
                    1,
                ),
            };
            for form in forms {
                for _ in 0..repeat {
                    let step = |dcs: &[DcId]| Step {
                        address: *address,
                        form: *form,
                        dcs: dcs.to_vec(),
                    };
                    match aim.is_web() {
                        true => steps.push(step(dcs)),
                        false => steps.extend(dcs.chunks(1).map(step)),
                    }
                }
            }
        }
        Self {
            steps,
            limit: options.limit,
        }
    }

    pub(in crate::cli) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What is said beforehand.
    pub(super) fn announcement(&self, aim: &Aim) -> String {
        let count = self.steps.len() as u32;
        let least = STEP * count.saturating_sub(1) + Duration::from_secs(1);
        let most = (self.limit.max(STEP) * count).max(least);
        let connections = match count {
            1 => "1 connection".to_owned(),
            count => format!("{count} connections, at most one a second"),
        };
        let server = aim.server();
        format!(
            "{server}: {connections}: {} s, {} s if nothing answers",
            least.as_secs(),
            most.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    fn plan(link: &str, dcs: &[i16], repeat: u32, addresses: usize) -> Plan {
        let options = Options {
            dcs: dcs.iter().copied().map(DcId).collect(),
            repeat,
            limit: Duration::from_secs(10),
            at: None,
            #[cfg(feature = "tls")]
            roots: crate::tls::public_roots(),
        };
        let addresses: Vec<_> = (0..addresses)
            .map(|last| SocketAddr::from(([192, 0, 2, last as u8], 443)))
            .collect();
        Plan::new(&Aim::parse(link).unwrap(), &addresses, &options)
    }

    #[test]
    fn a_connection_for_each_dc() {
        let link = format!("h:443:dd{KEY}");
        let one = plan(&link, &[1, 2, 3], 2, 1);
        let dcs: Vec<i16> = one
            .steps()
            .iter()
            .flat_map(|step| &step.dcs)
            .map(|dc| dc.0)
            .collect();
        assert_eq!(dcs, [1, 2, 3, 1, 2, 3]);
        let aim = Aim::parse(&link).unwrap();
        let said = one.announcement(&aim);
        assert_eq!(
            said,
            "h: 6 connections, at most one a second: 6 s, 60 s if nothing answers"
        );
        // Other addresses are asked once.
        let two = plan(&link, &[4, 5], 1, 3);
        let last = two.steps().last().unwrap();
        assert_eq!(
            (two.steps().len(), last.dcs.as_slice()),
            (4, &[DcId(4)][..])
        );
        let said = plan(&link, &[2], 1, 1).announcement(&aim);
        assert_eq!(said, "h: 1 connection: 1 s, 10 s if nothing answers");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_web_proxy_has_all_dcs_in_one() {
        let link = format!("tg://webproxy?server=p.example&secret=dd{KEY}");
        let plan = plan(&link, &[1, 2], 2, 2);
        let forms: Vec<_> = plan.steps().iter().map(|step| step.form.word()).collect();
        let ws = "websocket";
        assert_eq!(forms, [ws, ws, "https", "https", ws]);
        assert_eq!(plan.steps()[0].dcs, [DcId(1), DcId(2)]);
        assert_eq!(plan.steps()[4].dcs, [DcId(1)]);
    }
}
