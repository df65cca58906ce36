//! What the status listener has beside the metrics: a page for people, and the API
//! (`doc/status-page.md`).
//!
//! | File | What |
//! |---|---|
//! | `door.rs` | from where somebody asks, and by which name |
//! | `guesses.rs` | who has shown wrong tokens |
//!
//! The page itself is beside them, as HTML, CSS and a script, which go out as one.

mod door;
mod guesses;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::conversation::{Asked, Page};
use super::core::Core;
use crate::cli::api_token::ApiToken;
use crate::cli::qr;
use crate::cli::secret::new_key;
use crate::control::{Control, Form, Problem, Reply, Request};
use crate::http::Exchange;
use crate::log::Throttle;
use crate::wire::http::RequestHead;
use door::Door;
use guesses::Guesses;

/// Between two lines of the log about wrong tokens.
const TELL_EVERY: Duration = Duration::from_secs(600);

/// A link is shorter.
const MAX_QR_TEXT: usize = 1024;

const SCHEME: &str = "bearer ";

/// Nothing of others is loaded, run or told where from; and nobody frames it.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action \
                      'none'; frame-ancestors 'none'";

const HTML: &str = include_str!("status/page.html");
const CSS: &str = include_str!("status/page.css");
const SCRIPT: &str = include_str!("status/page.js");

pub(super) struct Status {
    core: Rc<Core>,
    control: Rc<Control>,
    token: Option<ApiToken>,
    guesses: Guesses,
    told: Throttle,
}

impl Status {
    /// Reads the token, or makes one; blocks.
    pub(crate) fn new(core: &Rc<Core>, control: &Rc<Control>, address: SocketAddr) -> Self {
        let token = ApiToken::take(&core.data_dir());
        match &token {
            Ok(_) => info!(
                "status page at http://{address}/; `smol-mtproxy ctl token` prints the token that \
                 it asks for"
            ),
            Err(fault) => warn!("the status page shows figures only: {fault}"),
        }
        Self {
            core: core.clone(),
            control: control.clone(),
            token: token.ok(),
            guesses: Guesses::default(),
            told: Throttle::new(TELL_EVERY),
        }
    }

    pub(crate) async fn answer(&self, asked: Asked<'_>) -> Page {
        let target = asked.head.target();
        let path = target.split(|byte| *byte == b'?').next();
        match path.unwrap_or(target) {
            b"/" => for_people(&asked),
            b"/qr" => self.qr(asked).await,
            path if path.starts_with(b"/v1/") => self.call(&asked).await,
            _ => Page::text(404, "try /, /metrics, /healthz, /readyz or /v1/status\n"),
        }
    }

    async fn call(&self, asked: &Asked<'_>) -> Page {
        let head = asked.head;
        let form = Form::accepted(head.fields().only("accept"));
        let request = Request::parse(head.method(), head.target());
        let may = match &request {
            Ok(Request::Figures | Request::History) if self.is_on_this_machine(asked) => Ok(()),
            _ => self.check(asked),
        };
        guarded(match may {
            Ok(()) => Page::from(self.control.reply(request, form).await),
            Err(refusal) => problem(&refusal, form),
        })
    }

    /// The text in the body as a QR code: the path of an SVG, in which a module is 1 wide.
    async fn qr(&self, asked: Asked<'_>) -> Page {
        if asked.head.method() != b"POST" {
            return problem(&Problem::NotAllowed("POST".to_owned()), Form::Lines);
        }
        if let Err(refusal) = self.check(&asked) {
            return problem(&refusal, Form::Lines);
        }
        let exchange: &mut Exchange = asked.exchange;
        let Ok(body) = exchange.whole_body(MAX_QR_TEXT).await else {
            return Page::text(400, "the body is a text of at most 1024 bytes\n");
        };
        let Ok(text) = String::from_utf8(body) else {
            return Page::text(400, "the body is no text\n");
        };
        guarded(match qr::path(&text) {
            Ok(path) => Page::text(200, path),
            Err(_) => Page::text(400, "too long for a QR code\n"),
        })
    }

    /// Nobody else can have asked, nor led a browser of this machine here.
    fn is_on_this_machine(&self, asked: &Asked<'_>) -> bool {
        asked.head.fields().only("authorization").is_none()
            && Door::of(asked.head, asked.exchange).is_of_this_machine()
    }

    /// Whether who asks may do what `ctl` may.
    fn check(&self, asked: &Asked<'_>) -> Result<(), Problem> {
        let token = self.token.as_ref().ok_or(Problem::NoToken)?;
        let shown = shown_in(asked.head).ok_or(Problem::NeedsToken)?;
        let is_forced = self.core.config().process.status_public;
        if !is_forced && Door::of(asked.head, asked.exchange).is_through_internet() {
            return Err(Problem::TokenInClear);
        }
        // Always: strangers behind one web server have the address that the operator has.
        if token.is(shown) {
            return Ok(());
        }
        let (now, from) = (self.core.reactor.now(), asked.from);
        if self.guesses.are_many(from, now) {
            return Err(Problem::ManyGuesses);
        }
        self.guesses.note(from, now);
        say!(
            self.told.pass(now),
            Warn,
            "somebody has shown a wrong token to --metrics"
        );
        Err(Problem::WrongToken)
    }
}

/// The page has nothing in it; but who could lead a browser here by a name of his own would
/// have a page there that may ask ours.
fn for_people(asked: &Asked<'_>) -> Page {
    if !matches!(asked.head.method(), b"GET" | b"HEAD") {
        return problem(&Problem::NotAllowed("GET".to_owned()), Form::Lines);
    }
    if !Door::of(asked.head, asked.exchange).is_by_address() {
        return problem(&Problem::OtherHost, Form::Lines);
    }
    let nonce = base16ct::lower::encode_string(&new_key().0);
    let text = format!(
        "{HTML}<style nonce={nonce}>\n{CSS}</style>\n<script nonce={nonce}>\n{SCRIPT}</script>\n"
    );
    let mut page = Page {
        content_type: "text/html; charset=utf-8",
        ..Page::text(200, text)
    };
    let policy = format!("{POLICY}; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'");
    page.fields.push(("Content-Security-Policy", policy.into()));
    guarded(page)
}

/// What is behind `Authorization: Bearer`.
fn shown_in(head: &RequestHead) -> Option<&[u8]> {
    let field = head.fields().only("authorization")?;
    let (scheme, token) = field.split_at_checked(SCHEME.len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME.as_bytes());
    is_bearer.then(|| token.trim_ascii())
}

fn problem(problem: &Problem, form: Form) -> Page {
    let mut page = Page::from(Reply::problem(problem, form));
    if page.status == 401 {
        page.fields.push(("WWW-Authenticate", "Bearer".into()));
    }
    if page.status == 429 {
        let seconds = guesses::WINDOW.as_secs().to_string();
        page.fields.push(("Retry-After", Cow::Owned(seconds)));
    }
    guarded(page)
}

/// Not to be taken for something else, nor to be had by pages of others.
fn guarded(mut page: Page) -> Page {
    page.fields.extend([
        ("X-Content-Type-Options", "nosniff".into()),
        ("Referrer-Policy", "no-referrer".into()),
        ("Cross-Origin-Resource-Policy", "same-origin".into()),
        ("X-Frame-Options", "DENY".into()),
    ]);
    page
}
