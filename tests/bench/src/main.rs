//! `make bench`: what the proxy costs, measured against a plain TCP relay in
//! the same run. The method is in `doc/performance.md`.

mod load;
mod relay;
mod report;
mod subject;

use std::io;
use std::net::SocketAddr;

use argh::FromArgs;
use fake_telegram::client::Kind;
use fake_telegram::harness::Route;
use fake_telegram::telegram::{FakeTelegram, Options};

use report::Report;
use subject::Subject;

/// Measures the proxy against a plain TCP relay.
#[derive(FromArgs)]
struct Flags {
    /// the proxy's binary (default: target/release/smol-mtproxy)
    #[argh(option, default = "String::from(\"target/release/smol-mtproxy\")")]
    binary: String,

    /// megabytes per download and upload (default 1000)
    #[argh(option, default = "1000")]
    megabytes: u32,

    /// skip the 10,000 idle clients
    #[argh(switch)]
    quick: bool,

    /// be the plain relay to this address (the benchmark starts itself so)
    #[argh(option)]
    relay_to: Option<SocketAddr>,
}

fn main() -> io::Result<()> {
    let flags: Flags = argh::from_env();
    if let Some(target) = flags.relay_to {
        return relay::run(target);
    }
    raise_descriptor_limit();
    let telegram = FakeTelegram::start(Options {
        middle_dcs: vec![2],
        direct_dcs: vec![2],
        ..Options::default()
    })?;
    let mut report = Report::default();
    smol::block_on(measure(&flags, &telegram, &mut report))?;
    telegram.assert_clean();
    Ok(())
}

async fn measure(flags: &Flags, telegram: &FakeTelegram, report: &mut Report) -> io::Result<()> {
    let subjects = |name: &str, route, kind| (name.to_owned(), route, kind);
    let cases = [
        subjects("direct dd", Route::Direct, Kind::Padded),
        subjects("direct ee", Route::Direct, Kind::FakeTls),
        subjects("middle dd", Route::Middle, Kind::Padded),
        subjects("middle ee", Route::Middle, Kind::FakeTls),
    ];
    {
        let relay = Subject::relay(telegram)?;
        traffic(flags, &relay, report).await?;
    }
    for (name, route, kind) in cases.clone() {
        let proxy = Subject::proxy(&flags.binary, telegram, route, kind, &name).await;
        traffic(flags, &proxy, report).await?;
    }
    for (name, route, kind) in cases {
        let counts: &[usize] = match (flags.quick, route) {
            (true, _) => &[1_000],
            // Each takes a descriptor of the fake DC's too.
            (false, Route::Direct) => &[1_000, 8_000],
            (false, Route::Middle) => &[1_000, 10_000],
        };
        for &clients in counts {
            let proxy = Subject::proxy(&flags.binary, telegram, route, kind, &name).await;
            let idle = load::idle(&proxy, clients).await?;
            report.idle(&proxy.name, clients, idle);
        }
    }
    let proxy = Subject::proxy(
        &flags.binary,
        telegram,
        Route::Middle,
        Kind::Padded,
        "middle dd",
    )
    .await;
    let grown = load::slow_answer(&proxy).await?;
    report.slow_answer(grown);
    Ok(())
}

async fn traffic(flags: &Flags, subject: &Subject, report: &mut Report) -> io::Result<()> {
    for clients in [1, 10, 100] {
        let cost = load::download(subject, clients, flags.megabytes).await?;
        report.transfer(&subject.name, &format!("download, {clients} clients"), cost);
    }
    let cost = load::upload(subject, 10, flags.megabytes / 2).await?;
    report.transfer(&subject.name, "upload, 10 clients", cost);
    let cost = load::echo(subject, 50, 100_000).await?;
    report.echo(&subject.name, cost);
    let cost = load::connects(subject, 2_000).await?;
    report.connects(&subject.name, cost);
    Ok(())
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With a lower limit the large idle runs fail and say so.
    let _ = setrlimit(Resource::Nofile, limit);
}
