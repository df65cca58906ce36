//! Turns TCP connections into streams of one WEB session, for clients that know nothing
//! of WEB proxies. Prints `ready` when it listens, and ends when its standard input does;
//! its status is 1 if the relay broke a rule.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use argh::FromArgs;
use fake_telegram::crypto::from_hex;
use fake_telegram::web_app::{App, Carrier, Cut, Gateway, Options, Secret};

/// A strict WEB app that other clients come through.
#[derive(FromArgs)]
struct Arguments {
    /// where clients connect to, ADDRESS:PORT
    #[argh(option)]
    listen: SocketAddr,
    /// the WEB proxy's door, ADDRESS:PORT
    #[argh(option)]
    door: SocketAddr,
    /// the WEB host, with its base path if it has one: HOST[/PATH]
    #[argh(option)]
    host: String,
    /// the link's secret: 32 hex digits, or dd and these
    #[argh(option, from_str_fn(parse_secret))]
    secret: Secret,
    /// websocket (default) or https
    #[argh(option, from_str_fn(parse_carrier), default = "Carrier::WebSocket")]
    carrier: Carrier,
    /// desktop (default), android or telethon
    #[argh(option, from_str_fn(parse_app), default = "App::Desktop")]
    app: App,
    /// cuts WebSocket messages anywhere by this seed; else as Chromium does
    #[argh(option)]
    cut: Option<u64>,
    /// comes by TLS and trusts this authority
    #[argh(option)]
    ca: Option<PathBuf>,
    /// the address that a web server would tell of it
    #[argh(option)]
    forwarded_for: Option<String>,
}

fn main() {
    let arguments: Arguments = argh::from_env();
    let (host, path) = match arguments.host.split_once('/') {
        None => (arguments.host.as_str(), None),
        Some((host, path)) => (host, Some(path.to_owned())),
    };
    let mut options = Options::new(arguments.door, host)
        .secret(arguments.secret)
        .carrier(arguments.carrier)
        .app(arguments.app);
    options.path = path;
    options.forwarded_for = arguments.forwarded_for;
    if let Some(seed) = arguments.cut {
        options.cut = Cut::Anywhere(seed);
    }
    if let Some(file) = arguments.ca {
        let pem = std::fs::read_to_string(&file);
        let pem = pem.unwrap_or_else(|error| fail(&format!("{}: {error}", file.display())));
        options = options.trusting(&pem);
    }
    let gateway = Gateway::at(&options, arguments.listen);
    let gateway = gateway.unwrap_or_else(|error| fail(&error.to_string()));
    println!("ready");
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let violations = gateway.take_violations();
    for violation in &violations {
        println!("violation: {violation}");
    }
    std::process::exit(i32::from(!violations.is_empty()));
}

fn fail(why: &str) -> ! {
    eprintln!("web-gateway: {why}");
    std::process::exit(2);
}

fn parse_secret(text: &str) -> Result<Secret, String> {
    let bytes = from_hex(text).ok_or("a secret is hex digits")?;
    match *bytes.as_slice() {
        [0xdd, ref key @ ..] if key.len() == 16 => Ok(Secret::padded(key.try_into().unwrap())),
        ref key => match key.try_into() {
            Ok(key) => Ok(Secret::plain(key)),
            Err(_) => Err("a secret is 32 hex digits, or dd and these".to_owned()),
        },
    }
}

fn parse_carrier(text: &str) -> Result<Carrier, String> {
    match text {
        "websocket" => Ok(Carrier::WebSocket),
        "https" => Ok(Carrier::Https),
        _ => Err("it is websocket or https".to_owned()),
    }
}

fn parse_app(text: &str) -> Result<App, String> {
    match text {
        "desktop" => Ok(App::Desktop),
        "android" => Ok(App::Android),
        "telethon" => Ok(App::Telethon),
        _ => Err("it is desktop, android or telethon".to_owned()),
    }
}
