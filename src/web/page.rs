//! Serves the bridge page.

mod template;

use std::io;

use super::WebContext;
use super::hosts::{Bridge, Host};
use crate::http::{Exchange, Next};
use crate::net::fill_random;
use crate::wire::http::RequestHead;
use crate::wire::web::TokenKind;
use template::fill;

/// Hexadecimal digits of a nonce. Not as long as a token, which libraries look for.
const NONCE_LEN: usize = 32;

/// Features of browsers that a page may do without.
const PERMISSIONS: &str = "accelerometer=(), camera=(), clipboard-read=(), clipboard-write=(), \
     display-capture=(), fullscreen=(), geolocation=(), gyroscope=(), magnetometer=(), \
     microphone=(), midi=(), payment=(), usb=()";

/// Answers with the page of `host`, and a new token for who has come by `bridge`.
pub(super) async fn answer(
    context: &WebContext,
    exchange: &mut Exchange,
    head: &RequestHead,
    host: &Host,
    bridge: Bridge,
) -> io::Result<Next> {
    let ticket = context.mint.ticket(context.token_time(), bridge.id);
    let token = context.mint.token(TokenKind::Bootstrap, &ticket);
    let nonce = nonce();
    let page = fill(&nonce, &token.to_string());
    let policy = format!(
        "default-src 'none'; connect-src 'self' wss://{}; script-src 'nonce-{nonce}'; \
         frame-ancestors http://127.0.0.1:*; base-uri 'none'; form-action 'none'; \
         sandbox allow-scripts allow-same-origin",
        host.name
    );
    let fields = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-DNS-Prefetch-Control", "off"),
        ("Permissions-Policy", PERMISSIONS),
        ("Content-Security-Policy", &policy),
    ];
    context.metrics.web_pages.inc();
    exchange.answer(head, 200, &fields, page.as_bytes()).await
}

fn nonce() -> String {
    let mut random = [0; NONCE_LEN / 2];
    fill_random(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
