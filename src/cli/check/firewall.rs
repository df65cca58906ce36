//! Whether this machine's own firewall probably keeps clients from a port: by the rules of
//! nftables (firewalld and OpenWrt write those) or of iptables (ufw does), which only root
//! may read. They are read as text and not obeyed: no more than a suspicion comes of it.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::verdict::Verdict;
use crate::cli::within::within;
use crate::config::{Config, Role};

const LIMIT: Duration = Duration::from_secs(3);

/// Each by its name, with the command that prints its rules and the way to open a port.
const FIREWALLS: [(&str, &[&str], &str); 3] = [
    (
        "nftables",
        &["nft", "-n", "list", "ruleset"],
        "`ufw allow PORT/tcp`, or `firewall-cmd --permanent --add-port=PORT/tcp` and \
         `firewall-cmd --reload`, or a rule `tcp dport PORT accept` in its input chain",
    ),
    (
        "iptables",
        &["iptables-save", "-t", "filter"],
        "`ufw allow PORT/tcp`, or `iptables -I INPUT -p tcp --dport PORT -j ACCEPT`",
    ),
    (
        "iptables (IPv6)",
        &["ip6tables-save", "-t", "filter"],
        "`ufw allow PORT/tcp`, or `ip6tables -I INPUT -p tcp --dport PORT -j ACCEPT`",
    ),
];

/// Of the ports that are to be reached from outside.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let mut ports: Vec<u16> = config
        .listen_addresses()
        .into_iter()
        .filter(|place| !place.address.ip().is_loopback())
        .map(|place| place.address.port())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() {
        return Vec::new();
    }
    let who = match config.process.role {
        Role::Back => "fronts",
        Role::Both | Role::Front => "clients",
    };
    let mut verdicts = Vec::new();
    for (name, command, way_out) in FIREWALLS {
        let rules = within(LIMIT, move || rules_of(command)).flatten();
        if let Some(rules) = rules.filter(|rules| refuses_by_default(rules)) {
            verdicts.extend(
                ports
                    .iter()
                    .map(|port| judge(name, way_out, who, *port, &rules)),
            );
        }
    }
    verdicts
}

fn judge(name: &str, way_out: &str, who: &str, port: u16, rules: &str) -> Verdict {
    let subject = format!("firewall, port {port}");
    match lets_in(rules, port) {
        true => Verdict::ok(
            subject,
            format!("{name} has a rule that seems to let {who} in"),
        ),
        false => {
            let way_out = way_out.replace("PORT", &port.to_string());
            Verdict::warn(
                subject,
                format!(
                    "{name} refuses what no rule accepts, and none seems to accept this port: \
                     {who} probably do not get in; open it: {way_out}"
                ),
            )
        }
    }
}

/// `None`: there is no such program, or it does not say.
fn rules_of(command: &[&str]) -> Option<String> {
    let (program, words) = command.split_first()?;
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What comes in and meets no other rule is dropped or rejected.
fn refuses_by_default(rules: &str) -> bool {
    let mut lines = rules.lines().map(str::trim);
    lines.clone().any(|line| line.starts_with(":INPUT DROP"))
        || lines.clone().any(is_last_word)
        || lines.any(|line| line.contains("hook input") && line.contains("policy drop"))
        || ends_in_refusal(rules)
}

/// Of iptables: all that comes as far as this rule of the chain INPUT is refused.
fn is_last_word(line: &str) -> bool {
    let ["-A", "INPUT", "-j", target, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        return false;
    };
    matches!(target, "DROP" | "REJECT")
}

/// Of nftables: a chain of the hook input has a rule that refuses without a condition.
fn ends_in_refusal(rules: &str) -> bool {
    let mut is_input = false;
    for line in rules.lines().map(str::trim) {
        if line.starts_with("chain ") || line == "}" {
            is_input = false;
        }
        is_input |= line.contains("hook input");
        let rule = line.trim_start_matches("counter ");
        let rule = match rule.strip_prefix("packets ") {
            // Of a counter.
            Some(counted) => counted.splitn(4, ' ').nth(3).unwrap_or_default(),
            None => rule,
        };
        if is_input && (rule == "drop" || rule.starts_with("reject")) {
            return true;
        }
    }
    false
}

/// A rule accepts the port, or one that is not understood may do so.
fn lets_in(rules: &str, port: u16) -> bool {
    rules.lines().map(str::trim).any(|line| {
        let words: Vec<&str> = line
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect();
        let is_tcp = !words.contains(&"udp");
        let accepts = words.iter().any(|word| {
            // A chain or a map of others decides, as OpenWrt's for a zone.
            matches!(*word, "accept" | "ACCEPT" | "jump" | "goto" | "vmap")
        });
        is_tcp && accepts && (names_port(&words, port) || is_open_to_all(&words))
    })
}

fn names_port(words: &[&str], port: u16) -> bool {
    let at = words.iter().position(|word| {
        matches!(
            *word,
            "dport" | "--dport" | "--dports" | "--destination-port"
        )
    });
    let Some(at) = at else { return false };
    let named = words
        .iter()
        .skip(at + 1)
        .map(|word| word.trim_matches(['{', '}']));
    let mut named = named.filter(|word| !word.is_empty());
    let first = named.clone().next().unwrap_or_default();
    // A set of its own, whose elements are elsewhere, a map, or another port than that.
    if first.starts_with('@') || matches!(first, "!=" | "vmap") {
        return true;
    }
    let holds = |word: &str| {
        let (from, to) = word.split_once(['-', ':']).unwrap_or((word, word));
        match (from.parse::<u16>(), to.parse::<u16>()) {
            (Ok(from), Ok(to)) => Some((from..=to).contains(&port)),
            _ => None,
        }
    };
    // Numbers up to the first other word.
    named.by_ref().map_while(holds).any(|holds| holds)
}

/// It accepts everything, or everything of TCP, from everywhere.
fn is_open_to_all(words: &[&str]) -> bool {
    match words {
        ["accept"] | ["counter", .., "accept"] => !words.iter().any(|word| is_condition(word)),
        ["-A", "INPUT", rest @ ..] => {
            matches!(rest, ["-j", "ACCEPT"] | ["-p", "tcp", "-j", "ACCEPT"])
        }
        _ => false,
    }
}

fn is_condition(word: &str) -> bool {
    matches!(
        word,
        "iif" | "iifname" | "ip" | "ip6" | "ct" | "meta" | "tcp" | "icmp" | "icmpv6" | "ether"
    )
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    const NFT: &str = "table inet filter {
        chain input {
            type filter hook input priority filter; policy drop;
            ct state established,related accept
            iif \"lo\" accept
            tcp dport { 22, 80, 8000-8100 } accept
            udp dport 443 accept
        }
    }";

    const FIREWALLD: &str = "table inet firewalld {
        chain filter_INPUT {
            type filter hook input priority filter + 10; policy accept;
            ct state { established, related } accept
            iifname \"lo\" accept
            jump filter_INPUT_ZONES
            reject with icmpx admin-prohibited
        }
        chain filter_IN_public_allow {
            tcp dport 22 accept
        }
    }";

    const UFW: &str = "*filter
:INPUT DROP [7:420]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -p tcp -m multiport --dports 80,8000:8100 -j ACCEPT
COMMIT";

    const LAST_WORD: &str = "*filter
:INPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT";

    #[test]
    fn a_port_that_no_rule_accepts_is_suspected() {
        for (rules, open, closed) in [
            (NFT, &[22, 80, 8000, 8050, 8100][..], &[443, 8101, 2][..]),
            (FIREWALLD, &[22], &[443, 80]),
            (UFW, &[22, 80, 8000, 8100], &[443, 8101]),
            (LAST_WORD, &[22], &[443]),
        ] {
            assert!(refuses_by_default(rules), "{rules}");
            for port in open {
                assert!(lets_in(rules, *port), "{port} of {rules}");
            }
            for port in closed {
                assert!(!lets_in(rules, *port), "{port} of {rules}");
            }
        }
        let verdict = judge("iptables", FIREWALLS[1].2, "clients", 443, UFW);
        assert_eq!(verdict.grade, Grade::Warn);
        let open = "`ufw allow 443/tcp`";
        assert!(verdict.finding.contains("probably") && verdict.finding.contains(open));
        assert_eq!(judge("iptables", "", "clients", 22, UFW).grade, Grade::Ok);
    }

    #[test]
    fn rules_that_refuse_nothing_by_default_raise_no_suspicion() {
        for rules in [
            "",
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.1/32 -j DROP\nCOMMIT",
            "table ip nat {\n chain prerouting {\n type nat hook prerouting priority 0;\n }\n }",
            "table inet f {\n chain input {\n type filter hook input priority 0; policy accept;\n \
             ip saddr 192.0.2.1 drop\n }\n chain forward {\n type filter hook forward priority 0; \
             policy drop;\n drop\n }\n }",
        ] {
            assert!(!refuses_by_default(rules), "{rules}");
        }
    }

    #[test]
    fn what_is_not_understood_may_let_in() {
        for rules in [
            "tcp dport @ports accept",
            "tcp dport vmap { 443 : accept }",
            "tcp dport != 25 accept",
            "meta l4proto tcp tcp dport 443 counter packets 0 bytes 0 accept",
            "tcp dport 443 jump clients",
            "accept",
            "-A INPUT -j ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 400:500 -j ACCEPT",
        ] {
            assert!(lets_in(rules, 443), "{rules}");
        }
        for rules in [
            "tcp sport 443 accept",
            "tcp dport 443 drop",
            "-A INPUT -i lo -j ACCEPT",
            "counter packets 443 bytes 1 drop",
            "ct state established accept",
        ] {
            assert!(!lets_in(rules, 443), "{rules}");
        }
    }
}
