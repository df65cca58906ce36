//! The fake Telegram as a program. Prints where it is and the proxy's flags,
//! then obeys the lines of its standard input (`help` lists them).

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;
use fake_telegram::control::{Accept, Behaviour, Close, Cut, Damage, Http};
use fake_telegram::crypto::from_hex;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::via::{Options as ViaOptions, Protocol, Via};
use fake_telegram::web_front::manners::Cut as Frames;
use fake_telegram::web_front::{self, Kind, WebFront};

/// A strict fake Telegram on loopback.
#[derive(FromArgs)]
struct Arguments {
    /// middle proxies of each DC (default 1)
    #[argh(option, default = "1")]
    addresses_per_dc: usize,
    /// middle proxies on [::1] too
    #[argh(switch)]
    ipv6: bool,
    /// the ad tag that every request must carry, 32 hex digits
    #[argh(option, from_str_fn(parse_tag))]
    tag: Option<[u8; 16]>,
    /// a web front too; the certificate of its authority is written to this file
    #[argh(option)]
    web_front: Option<PathBuf>,
    /// whose that is: telegram (default), zone (zone.example) or worker (tunnel.example)
    #[argh(option, default = "Kind::Telegram", from_str_fn(parse_front))]
    web_front_kind: Kind,
    /// a strict server for the proxy's --via: socks5, socks5h or http
    #[argh(option, from_str_fn(parse_scheme))]
    via: Option<(String, Protocol)>,
    /// the user and password without which nobody gets through there, USER:PASSWORD
    #[argh(option, from_str_fn(parse_credentials))]
    via_credentials: Option<(String, String)>,
    /// threads that serve (default 1)
    #[argh(option, default = "1")]
    threads: usize,
}

const HELP: &str = "\
rotate all|one [fin|drop|reset]     end middle-proxy connections
rotate staggered MILLIS             end the present ones one after the other
close-sessions                      RPC_CLOSE_EXT for every session
close-direct [fin|drop|reset]       end the direct connections
ping                                RPC_PING on every connection
nonsense                            messages that a proxy must ignore
damage DC crc|seq|length            a damaged frame on every connection of DC
behave DC|all NAME VALUE            accept normal|refuse|drop|silent|silent-after-nonce|
                                      handshake-error|drop-after-handshake,
                                    stop-reading|mute|ignore-pings|refuse-crc32c|pad-nonce|
                                      direct-silent|direct-refuse on|off,
                                    direct-starves-after BYTES,
                                    ping-every MILLIS, clock-skew SECONDS,
                                    cut mid-request|after-request|mid-answer,
                                    damage crc|seq|length
web-front cut BYTES [FRAMES]        messages of so many frames, each at most so long
web-front exactly BYTES             frames of exactly so many bytes
web-front pings on|off              a ping behind every frame
web-front close CODE [TEXT]         CLOSE on every connection
web-front stats
http normal|down|silent|slow|garbage|portal|truncated|empty|STATUS
stats | violations | sessions | connections | help | quit";

fn main() {
    let arguments: Arguments = argh::from_env();
    let options = Options {
        addresses_per_dc: arguments.addresses_per_dc,
        ipv6: arguments.ipv6,
        tag: arguments.tag,
        threads: arguments.threads,
        ..Options::default()
    };
    let telegram = match FakeTelegram::start(options) {
        Ok(telegram) => telegram,
        Err(error) => fail(error),
    };
    let front = arguments.web_front.map(|file| {
        let options = web_front::Options::new(arguments.web_front_kind);
        let front = WebFront::start(&telegram, options).unwrap_or_else(|error| {
            eprintln!("cannot listen on loopback: {error}");
            std::process::exit(1);
        });
        if let Err(error) = std::fs::write(&file, front.options().authority.pem()) {
            eprintln!("cannot write {}: {error}", file.display());
            std::process::exit(1);
        }
        println!("web-front {}", front.address());
        front
    });
    let via = arguments.via.map(|(scheme, protocol)| {
        let mut options = ViaOptions::new(protocol);
        options.credentials = arguments.via_credentials;
        let via = Via::start(options).unwrap_or_else(|error| fail(error));
        (via.url(&scheme), via)
    });
    introduce(&telegram, via.as_ref().map(|(url, _)| url.as_str()));
    let via = via.as_ref().map(|(_, via)| via);
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["quit"] => return,
            ["web-front", words @ ..] => {
                let answer = front.as_ref().and_then(|front| obey_front(front, words));
                println!(
                    "{}",
                    answer.unwrap_or(format!("not understood: {line}\n{HELP}"))
                );
            }
            words => match obey(&telegram, via, words) {
                Some(answer) => println!("{answer}"),
                None => println!("not understood: {line}\n{HELP}"),
            },
        }
        let _ = std::io::stdout().flush();
    }
    // Without a standard input it serves until it is killed.
    loop {
        std::thread::park();
    }
}

fn fail(error: std::io::Error) -> ! {
    eprintln!("cannot listen on loopback: {error}");
    std::process::exit(1);
}

fn introduce(telegram: &FakeTelegram, via: Option<&str>) {
    let options = telegram.options();
    for id in &options.middle_dcs {
        println!("middle {id} {:?}", telegram.middle_addresses(*id));
    }
    for id in &options.direct_dcs {
        println!("direct {id} {:?}", telegram.direct_addresses(*id));
    }
    let flags = telegram.proxy_flags();
    let flags = flags.iter().map(|(name, value)| format!(" {name} {value}"));
    let via = via.map(|url| format!(" --via {url}"));
    let flags = flags.chain(via).collect::<String>();
    println!("flags{flags}");
    println!("ready");
    let _ = std::io::stdout().flush();
}

fn obey(telegram: &FakeTelegram, via: Option<&Via>, words: &[&str]) -> Option<String> {
    let done = "ok".to_owned();
    let answer = match words {
        ["rotate", "staggered", millis] => {
            let pause = Duration::from_millis(millis.parse().ok()?);
            smol::block_on(telegram.rotate_staggered(Close::Fin, pause)).to_string()
        }
        ["rotate", which, how @ ..] => rotate(telegram, which, close(how)?)?,
        ["close-sessions"] => telegram.close_sessions(|_| true).to_string(),
        ["close-direct", how @ ..] => telegram.close_direct(close(how)?).to_string(),
        ["ping"] => {
            telegram.ping();
            done
        }
        ["nonsense"] => {
            telegram.send_nonsense();
            done
        }
        ["damage", dc, what] => {
            telegram.damage(dc.parse().ok()?, damage(what)?);
            done
        }
        ["behave", "all", name, value] => {
            let change = manner(name, value)?;
            telegram.behave(change);
            done
        }
        ["behave", dc, name, value] => {
            let change = manner(name, value)?;
            telegram.behave_dc(dc.parse().ok()?, change);
            done
        }
        ["http", manners] => {
            telegram.behave_http(http(manners)?);
            done
        }
        ["stats"] => {
            let opened = via.map(|via| format!("via_opened {}", via.seen().opened));
            let lines = opened.into_iter().chain(telegram.counters().lines());
            lines.collect::<Vec<_>>().join("\n")
        }
        ["violations"] => {
            let of_via = via.map(|via| via.seen().violations).unwrap_or_default();
            [telegram.violations(), of_via].concat().join("\n")
        }
        ["sessions"] => format!("{:#?}", telegram.sessions()),
        ["connections"] => format!("{:#?}", telegram.connections()),
        ["help"] => HELP.to_owned(),
        _ => return None,
    };
    Some(answer)
}

fn obey_front(front: &WebFront, words: &[&str]) -> Option<String> {
    let cut = match words {
        ["cut", size] => Frames::UpTo(size.parse().ok()?),
        ["cut", size, count] => Frames::Fragments {
            size: size.parse().ok()?,
            count: count.parse().ok()?,
        },
        ["exactly", size] => Frames::Exactly(size.parse().ok()?),
        ["pings", on] => {
            front.behave(|manners| manners.frames.pings = *on == "on");
            return Some("ok".to_owned());
        }
        ["close", code, text @ ..] => {
            return Some(front.close(code.parse().ok()?, &text.join(" ")).to_string());
        }
        ["stats"] => return Some(format!("{:?}", front.tally())),
        _ => return None,
    };
    front.behave(|manners| manners.frames.cut = cut);
    Some("ok".to_owned())
}

fn rotate(telegram: &FakeTelegram, which: &str, how: Close) -> Option<String> {
    let count = match which {
        "all" => telegram.rotate_all(how),
        "one" => {
            let first = telegram.connections().first()?.number;
            telegram.rotate(how, |one| one.number == first)
        }
        _ => return None,
    };
    Some(count.to_string())
}

fn close(words: &[&str]) -> Option<Close> {
    match words {
        [] | ["fin"] => Some(Close::Fin),
        ["drop"] => Some(Close::Drop),
        ["reset"] => Some(Close::Reset),
        _ => None,
    }
}

fn damage(word: &str) -> Option<Damage> {
    match word {
        "crc" => Some(Damage::Checksum),
        "seq" => Some(Damage::Sequence),
        "length" => Some(Damage::Length),
        _ => None,
    }
}

fn http(word: &str) -> Option<Http> {
    Some(match word {
        "normal" => Http::Normal,
        "down" => Http::Down,
        "silent" => Http::Silent,
        "slow" => Http::Slow(Duration::from_millis(100)),
        "garbage" => Http::Garbage,
        "portal" => Http::Portal,
        "truncated" => Http::Truncated,
        "empty" => Http::Empty,
        status => Http::Status(status.parse().ok()?),
    })
}

/// A change of manners.
type Change = Box<dyn Fn(&mut Behaviour)>;

fn manner(name: &str, value: &str) -> Option<Change> {
    let on = value == "on";
    Some(match name {
        "accept" => {
            let accept = accept(value)?;
            Box::new(move |b| b.accept = accept)
        }
        "cut" => {
            let cut = match value {
                "mid-request" => Cut::MidRequest(Close::Drop),
                "after-request" => Cut::AfterRequest(Close::Drop),
                "mid-answer" => Cut::MidAnswer(Close::Drop),
                _ => return None,
            };
            Box::new(move |b| b.cut = Some(cut))
        }
        "damage" => {
            let damage = damage(value)?;
            Box::new(move |b| b.damage = Some(damage))
        }
        "ping-every" => {
            let pause = Duration::from_millis(value.parse().ok()?);
            Box::new(move |b| b.ping_every = Some(pause))
        }
        "clock-skew" => {
            let skew = value.parse().ok()?;
            Box::new(move |b| b.clock_skew = skew)
        }
        "direct-starves-after" => {
            let most = value.parse().ok()?;
            Box::new(move |b| b.direct_starves_after = Some(most))
        }
        "stop-reading" => Box::new(move |b| b.stop_reading = on),
        "mute" => Box::new(move |b| b.mute = on),
        "ignore-pings" => Box::new(move |b| b.ignore_pings = on),
        "refuse-crc32c" => Box::new(move |b| b.refuse_crc32c = on),
        "pad-nonce" => Box::new(move |b| b.pad_nonce = on),
        "direct-silent" => Box::new(move |b| b.direct_silent = on),
        "direct-refuse" => Box::new(move |b| b.direct_refuse = on),
        _ => return None,
    })
}

fn accept(value: &str) -> Option<Accept> {
    Some(match value {
        "normal" => Accept::Normal,
        "refuse" => Accept::Refuse,
        "drop" => Accept::Drop,
        "silent" => Accept::Silent,
        "silent-after-nonce" => Accept::SilentAfterNonce,
        "handshake-error" => Accept::HandshakeError(-1),
        "drop-after-handshake" => Accept::DropAfterHandshake,
        _ => return None,
    })
}

fn parse_tag(text: &str) -> Result<[u8; 16], String> {
    from_hex(text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "a tag is 32 hex digits".to_owned())
}

fn parse_front(text: &str) -> Result<Kind, String> {
    match text {
        "telegram" => Ok(Kind::Telegram),
        "zone" => Ok(Kind::Zone("kws{dc}.zone.example".to_owned())),
        "worker" => Ok(Kind::Worker {
            host: "tunnel.example".to_owned(),
            key: None,
        }),
        _ => Err("it is telegram, zone or worker".to_owned()),
    }
}

fn parse_scheme(text: &str) -> Result<(String, Protocol), String> {
    let protocol = match text {
        "socks5" | "socks5h" => Protocol::Socks5,
        "http" => Protocol::Http,
        _ => return Err("it is socks5, socks5h or http".to_owned()),
    };
    Ok((text.to_owned(), protocol))
}

fn parse_credentials(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(':').filter(|(user, _)| !user.is_empty());
    let (user, password) = parts.ok_or("credentials are USER:PASSWORD")?;
    Ok((user.to_owned(), password.to_owned()))
}
