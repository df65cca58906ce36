//! What the person at the keyboard needs: an invite, and its QR code. A service, which
//! has a config file, prints its invites with `smol-mtproxy link`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use super::core::Core;
use crate::cli::invites::{self, NamedInvite};
use crate::cli::web_invites::{self, NamedWebInvite};
use crate::cli::{print, qr};
use crate::client::Sites;
use crate::config::{Config, ConfigSource, OwnSecret};
use crate::log;
use crate::net::unblock;
use crate::telegram::directory::PublicAddress;
use crate::wire::secret::SecretForm;

/// For the public address, and for sites, before there is an invite.
const PATIENCE: Duration = Duration::from_secs(3);

/// For the lines of the log that come before it.
const LINES: Duration = Duration::from_secs(1);

/// Longer commands are not repeated.
const MAX_COMMAND: usize = 160;

/// Of a terminal that does not say.
const ROWS: usize = 24;
const COLUMNS: usize = 80;

/// Rows and columns.
type Screen = (usize, usize);

/// Shows the invite once the log has said how things are, and again if the public
/// address makes it another. Clients wait for no terminal: it may stand still.
pub(super) async fn show(
    core: Rc<Core>,
    address: Rc<PublicAddress>,
    sites: Rc<Sites>,
    command: String,
) {
    let known = smol::future::zip(address.first_look(), sites.first_answers());
    core.reactor.timeout(PATIENCE, known).await;
    let mut shown = None;
    loop {
        let config = core.config();
        let mut invites = invites::all(&config, None);
        if let Some(outside) = address.known() {
            let ours = invites.iter_mut().filter(|named| named.is_behind_nat());
            ours.for_each(|named| named.move_to(outside));
        }
        let named = best(&invites);
        let mut web = web_invites::all(&config, None).into_iter();
        let web = web.find(|named| named.ended.is_none());
        let tg = [
            named.map(|named| named.invite.tg()),
            web.as_ref().map(|named| named.invite.tg()),
        ];
        if shown.as_ref() != Some(&tg) {
            advise(&config, &invites, named);
            let more = match config.doors.own_secret {
                Some(OwnSecret::ThisRunOnly) => "for this run only",
                _ => &command,
            };
            let texts = texts(named, web.as_ref(), more, screen());
            if let Some(text) = texts {
                unblock(move || {
                    log::finish(LINES);
                    print(&text);
                })
                .await;
            }
            shown = Some(tg);
        }
        address.next_look().await;
    }
}

/// The least conspicuous invite of those that most can use.
fn best(invites: &[NamedInvite]) -> Option<&NamedInvite> {
    let open = invites.iter().filter(|named| named.ended.is_none());
    open.min_by_key(|named| {
        let form = match named.invite.secret.form {
            SecretForm::FakeTls(_) => 0,
            SecretForm::Padded => 1,
            SecretForm::Classic => 2,
        };
        (named.is_private, form)
    })
}

/// What to do for a better one, for the log.
fn advise(config: &Config, invites: &[NamedInvite], best: Option<&NamedInvite>) {
    let warning = invites::warning(invites).filter(|_| !config.doors.listeners.is_empty());
    for warning in warning
        .into_iter()
        .chain(web_invites::warning(config, None))
    {
        warn!("{warning}");
    }
    if best.is_some_and(|named| named.invite.secret.form == SecretForm::Padded) {
        info!(
            "a dd link looks like random bytes, which some networks drop; {}, it is ee and looks \
             like HTTPS",
            way_to_https(config)
        );
    }
}

/// What makes invites look like it whose secret is padded, or may be either.
fn way_to_https(config: &Config) -> String {
    let mut with_tls = config.web.hosts.iter().filter(|host| host.files.is_some());
    let way = if !config.doors.tls_domains.is_empty() && config.doors.allow.tls {
        "with the same --secret without its dd"
    } else if !config.doors.tls_domains.is_empty() {
        "with tls in --allow, and a --secret without dd"
    } else if let Some(host) = with_tls.next() {
        return format!("with --tls-domain {}", host.name);
    } else {
        "with --tls-domain DOMAIN, one of your own whose address is this machine's"
    };
    way.to_owned()
}

/// How to see all invites of this run.
pub(super) fn command(source: &ConfigSource, data_dir: &Path) -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = quoted(&program.to_string_lossy());
    let mut command = format!("all links: {program} link");
    // Without a flag it would be about the service that this machine may have.
    if source.command_line().next().is_none() {
        command.push_str(&format!(
            " --data-dir {}",
            quoted(&data_dir.to_string_lossy())
        ));
    }
    for (flag, value) in source.command_line() {
        command.push_str(&format!(" {flag} {}", quoted(value)));
    }
    // A salt is more than the invites tell.
    let is_secret = source.command_line().any(|(flag, _)| flag == "--sni-salt");
    if is_secret || command.len() > MAX_COMMAND {
        return format!("all links: {program} link, with the flags of this run");
    }
    command
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,@%+-".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The terminal's, if there is one.
fn screen() -> Option<Screen> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let of_terminal = tcgetwinsize(&stdout).ok();
    let sizes = of_terminal.map(|size| (size.ws_row.into(), size.ws_col.into()));
    Some(
        sizes
            .filter(|size| *size != (0, 0))
            .unwrap_or((ROWS, COLUMNS)),
    )
}

/// The invite to a listener, and above it, without a code, the one to a WEB host, which
/// only newer apps know; or that alone.
fn texts(
    named: Option<&NamedInvite>,
    web: Option<&NamedWebInvite>,
    more: &str,
    screen: Option<Screen>,
) -> Option<String> {
    let head = |web: &NamedWebInvite| format!("{} (WEB, {})", web.secret_name, web.place());
    match (named, web) {
        (None, None) => None,
        (Some(named), None) => Some(text(named, more, screen)),
        (None, Some(web)) => {
            let (tg, short) = (web.invite.tg(), web.invite.short_tg());
            Some(shown(
                &format!("{}; {more}\n", head(web)),
                [&tg, &short],
                screen,
            ))
        }
        (Some(named), Some(web)) => {
            let above = format!("{}\n{}\n", head(web), web.invite.tg());
            Some(format!("{above}{}", text(named, more, screen)))
        }
    }
}

/// One invite with what it is, with `more` about it, and the code if there is a
/// terminal that has room for both.
fn text(named: &NamedInvite, more: &str, screen: Option<Screen>) -> String {
    let form = match &named.invite.secret.form {
        SecretForm::FakeTls(domain) => format!("ee, {domain}"),
        SecretForm::Padded => "dd".to_owned(),
        SecretForm::Classic => "classic".to_owned(),
    };
    let reach = match named.is_private {
        true if named.is_of_this_machine() => ", from this machine only",
        true => ", from the local network only",
        false => "",
    };
    let name = &named.secret_name;
    let head = format!("{name} ({form}){reach}; {more}\n");
    let (tg, short) = (named.invite.tg(), named.invite.short_tg());
    shown(&head, [&tg, &short], screen)
}

/// An invite, longer and shorter, below its head, and above its code.
fn shown(head: &str, [tg, short]: [&str; 2], screen: Option<Screen>) -> String {
    let code = match screen {
        Some(screen) => code(head, [tg, short], screen),
        None => String::new(),
    };
    format!("{head}{tg}\n{code}")
}

/// The largest code that fits below these lines, or else below the last alone.
fn code(head: &str, [tg, short]: [&str; 2], (rows, columns): Screen) -> String {
    let height = |line: &str| line.trim_end().chars().count().div_ceil(columns.max(1));
    // The cursor's row stays empty.
    let below_invite = rows.saturating_sub(height(tg) + 1);
    let below_both = below_invite.saturating_sub(height(head));
    let smaller = [(tg, qr::QUIET_ZONE), (tg, 2), (short, 2), (short, 1)];
    for room in [below_both, below_invite] {
        for (text, quiet) in smaller {
            let Ok(code) = qr::render(text, false, quiet) else {
                continue;
            };
            let width = code.lines().next().map_or(0, |line| line.chars().count());
            if code.lines().count() <= room && width <= columns {
                return qr::render(text, true, quiet).unwrap_or_default();
            }
        }
    }
    "(the QR code needs a larger terminal)\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::invite::Invite;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    fn named(server: &str, secret: &str) -> NamedInvite {
        NamedInvite {
            secret_name: "own".to_owned(),
            counts_as: "own".to_owned(),
            ended: None,
            listener_name: "0.0.0.0:443".to_owned(),
            is_private: false,
            on_all_addresses: true,
            invite: Invite {
                server: server.to_owned(),
                port: 443,
                secret: secret.parse().unwrap(),
            },
        }
    }

    #[test]
    fn what_is_missing_for_an_invite_like_https_is_named() {
        let way = |flags: &[(&str, &str)]| way_to_https(&Config::of(flags));
        let domain = ("--tls-domain", "a.example");
        assert!(way(&[]).contains("--tls-domain"));
        assert!(way(&[domain]).contains("without its dd"));
        assert!(way(&[domain, ("--allow", "dd")]).contains("--allow"));
    }

    fn fake_tls(domain: &str) -> String {
        let hex = data_encoding::HEXLOWER.encode(domain.as_bytes());
        format!("ee{KEY}{hex}")
    }

    fn rows(text: &str, columns: usize) -> usize {
        let visible = text.replace("\x1b[97;40m", "").replace("\x1b[0m", "");
        let rows = visible.lines();
        rows.map(|line| line.chars().count().div_ceil(columns))
            .sum()
    }

    #[test]
    fn invite_and_code_fit_a_small_terminal_together() {
        let dd = format!("dd{KEY}");
        for secret in [
            dd.clone(),
            KEY.to_owned(),
            fake_tls("proxy.my-own-domain.com"),
        ] {
            let text = text(
                &named("203.0.113.177", &secret),
                "all links: smol-mtproxy link",
                Some((24, 80)),
            );
            assert!(text.contains('█'), "{text}");
            assert!(rows(&text, 80) < 24, "{text}");
            assert_eq!(text.matches("tg://").count(), 1);
        }
        // More room, more light around it.
        let wide = text(
            &named("203.0.113.177", &dd),
            "all links: smol-mtproxy link",
            Some((60, 200)),
        );
        let lines = wide.lines().filter(|line| line.contains(['█', '▀']));
        assert_eq!(lines.count(), (37 + 2 * qr::QUIET_ZONE + 1) as usize / 2);
    }

    #[test]
    fn a_code_that_does_not_fit_is_left_out() {
        let long = fake_tls(&format!("{}.my-own-domain.com", "a".repeat(60)));
        for (secret, screen) in [
            (format!("dd{KEY}"), (20, 80)),
            (format!("dd{KEY}"), (24, 30)),
            (long, (24, 80)),
        ] {
            let text = text(
                &named("203.0.113.177", &secret),
                "all links: x link",
                Some(screen),
            );
            assert!(
                text.ends_with("(the QR code needs a larger terminal)\n"),
                "{text}"
            );
            assert!(text.contains("all links: x link\n"));
        }
        let piped = text(&named("203.0.113.177", KEY), "all links: x link", None);
        assert_eq!(piped.lines().count(), 2, "{piped}");
    }

    #[test]
    fn the_least_conspicuous_invite_that_others_can_use() {
        let mut invites = vec![
            named("9.9.9.9", KEY),
            named("9.9.9.9", &format!("dd{KEY}")),
            named("10.0.0.1", &fake_tls("a.com")),
        ];
        invites[2].is_private = true;
        let is = |invites: &[NamedInvite], form| best(invites).unwrap().invite.secret.form == form;
        assert!(is(&invites, SecretForm::Padded));
        invites[2].is_private = false;
        assert!(is(&invites, SecretForm::FakeTls("a.com".parse().unwrap())));
        assert!(best(&[]).is_none());
    }

    #[test]
    fn an_invite_to_a_web_host_stands_above_or_alone() {
        let web = web_invites::all(
            &Config::of(&[
                ("--web", "a.example"),
                ("--web-listen", "127.0.0.1:1"),
                ("--web-site", "/x"),
                ("--secret", KEY),
            ]),
            None,
        );
        let dd = named("203.0.113.177", &format!("dd{KEY}"));
        let both = texts(Some(&dd), web.first(), "more", Some((40, 80))).unwrap();
        let lines: Vec<_> = both.lines().take(4).collect();
        assert_eq!(lines[0], "secret1 (WEB, a.example)");
        assert!(lines[1].starts_with("tg://webproxy?server=a.example&secret=dd"));
        assert!(lines[3].starts_with("tg://proxy?") && both.contains('█'));
        let alone = texts(None, web.first(), "more", Some((40, 80))).unwrap();
        assert!(alone.starts_with("secret1 (WEB, a.example); more\ntg://webproxy?"));
        assert!(alone.contains('█'));
        assert!(texts(None, None, "more", None).is_none());
    }

    #[test]
    fn words_for_the_shell() {
        for (word, shown) in [
            (":443", ":443"),
            ("*:443", "'*:443'"),
            ("it's", r"'it'\''s'"),
            ("/a b", "'/a b'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
