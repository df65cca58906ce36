use super::aim::Aim;
#[cfg(feature = "tls")]
use super::failure::{BadCertificate, WebFailure, WebStep};
use super::failure::{Failure, SiteClock};
use crate::clock::unix_now;
use crate::wire::calendar::time_text;

/// What whoever has the link can do, in one line.
pub(in crate::cli) fn of(failure: &Failure, aim: &Aim) -> String {
    let name = aim.shown_name().unwrap_or_default();
    match failure {
        Failure::Unresolved(_) => {
            "is the server's name written right? else the resolver here fails or lies: try \
             another network"
                .to_owned()
        }
        Failure::Refused => format!(
            "start the proxy, or correct the link's port {}; some firewalls refuse so, too",
            aim.port()
        ),
        Failure::NoConnection => format!(
            "is the server up, and port {} open in its firewall (a cloud has one of its own) or \
             forwarded? if others get through, the way from here is blocked: another port or \
             address may help",
            aim.port()
        ),
        Failure::Unreachable => {
            "look at this machine's network; or the name has an IPv6 address that is not of use \
             here"
                .to_owned()
        }
        Failure::Connect(_) => "look at this machine's network and its limits".to_owned(),
        Failure::HelloSilent | Failure::HelloClosed | Failure::HelloReset => format!(
            "the name {name} may be filtered on the way (try another network), the secret may be \
             another one, or no proxy for ee links is there"
        ),
        Failure::Alert(_) => {
            "a TLS server that is no proxy, or one that shows its site to whoever \
             has another secret: copy the whole link again; is that its port?"
                .to_owned()
        }
        Failure::Site(clock) => of_site(*clock),
        Failure::NotTls => "another program has that port, or the proxy takes no ee links: is it \
                            the link's port?"
            .to_owned(),
        Failure::BadRecord => "who has answered the handshake does not keep to it: update that \
                               proxy"
            .to_owned(),
        Failure::Silent { is_proven: true } => {
            "the proxy knows the secret, but no answer of Telegram's comes through it: is Telegram \
             blocked where it runs, or its back down? see its log (with this program: \
             `smol-mtproxy check` there)"
                .to_owned()
        }
        Failure::Closed { is_proven: true } | Failure::Reset { is_proven: true } => {
            "the proxy knows the secret, and does not reach this DC or has no place for one more: \
             see its log (with this program: `smol-mtproxy check` there)"
                .to_owned()
        }
        Failure::Silent { .. } | Failure::Closed { .. } | Failure::Reset { .. } => {
            "the secret may be another one (copy the whole link again), the proxy may not take \
             this form, a filter on the way may know it (ee links get further), or the proxy does \
             not reach Telegram: see its log"
                .to_owned()
        }
        Failure::TelegramRefuses(-444) => "Telegram knows no such DC".to_owned(),
        Failure::TelegramRefuses(_) => format!(
            "is this machine's clock right? it says {}; else Telegram limits that proxy's address",
            time_text(unix_now())
        ),
        Failure::NotTelegram => {
            "who answers there is not Telegram: do not use that link".to_owned()
        }
        #[cfg(feature = "tls")]
        Failure::Web(failure) => of_web(failure, name),
    }
}

fn of_site(clock: SiteClock) -> String {
    match clock {
        SiteClock::Unknown => format!(
            "copy the whole link again: its secret is not the proxy's; or this machine's clock is \
             wrong: it says {}",
            time_text(unix_now())
        ),
        SiteClock::Agrees => {
            "copy the whole link again: its secret is not the proxy's, or that is \
                              the web site itself (this machine's clock is right)"
                .to_owned()
        }
        SiteClock::Ahead(seconds) => of_skew(seconds, "ahead of"),
        SiteClock::Behind(seconds) => of_skew(seconds, "behind"),
    }
}

fn of_skew(seconds: u64, side: &str) -> String {
    format!(
        "this machine's clock is {seconds} s {side} that site's, and proxies take a client's hello \
         as a stranger's then: set it (NTP); if that does not help, the secret is another one"
    )
}

#[cfg(feature = "tls")]
fn of_web(failure: &WebFailure, name: &str) -> String {
    match failure {
        WebFailure::Certificate(why) => of_certificate(why, name),
        WebFailure::Tls(_) => format!(
            "see what has port 443 of {name}; on the way its name may be filtered (try another \
             network)"
        ),
        WebFailure::Silent(WebStep::Tls) | WebFailure::Closed(WebStep::Tls) => format!(
            "the name {name} may be filtered on the way: try another network; else see what has \
             its port 443"
        ),
        WebFailure::Cover(_) => {
            "copy the whole link again: secret or path are not the proxy's; or \
                                 its web server does not hand requests on to it"
                .to_owned()
        }
        WebFailure::Status(WebStep::WebSocket, _) | WebFailure::Strange(WebStep::WebSocket) => {
            "the web server or CDN in front has to pass the fields Upgrade and Connection, in \
             HTTP/1.1; until then apps go by https, which is slower"
                .to_owned()
        }
        WebFailure::Silent(WebStep::Down) | WebFailure::Closed(WebStep::Down) => {
            "the WEB proxy works, but no answer of Telegram's comes through it: is Telegram \
             blocked where it runs, or its back down? see its log (with this program: \
             `smol-mtproxy check` there)"
                .to_owned()
        }
        WebFailure::Status(_, 503) => "the proxy has no place for one more session: try again \
                                       later"
            .to_owned(),
        WebFailure::Silent(_) | WebFailure::Closed(_) | WebFailure::NotHttp(_) => {
            format!("see what has port 443 of {name}, and its log")
        }
        WebFailure::Status(..) | WebFailure::Strange(_) => {
            "the web server in front has to hand all paths on to the proxy, as they came".to_owned()
        }
    }
}

#[cfg(feature = "tls")]
fn of_certificate(why: &BadCertificate, name: &str) -> String {
    let now = || time_text(unix_now());
    match why {
        BadCertificate::UnknownIssuer => "apps refuse it: the server has to show the whole chain \
             (fullchain.pem) of an authority that browsers know; else somebody is in between"
            .to_owned(),
        BadCertificate::Expired => format!(
            "renew it, and reload what shows it; or this machine's clock is wrong: it says {}",
            now()
        ),
        BadCertificate::NotYet => {
            format!(
                "this machine's clock is behind: it says {}; set it (NTP)",
                now()
            )
        }
        BadCertificate::OtherName => format!(
            "get one for {name}, and let that be shown to who asks for the name; or the name \
             leads to another server"
        ),
        BadCertificate::Other(_) => "apps refuse it: get another one".to_owned(),
    }
}
