//! Proxies that are watched: one process, or two halves.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
#[cfg(feature = "tls")]
use std::process::Command;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_telegram::client::{Client, Kind, Options};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, TemporaryDirectory};
use fake_telegram::payload::echo;
#[cfg(feature = "tls")]
use fake_telegram::secret::classic;
use fake_telegram::secret::padded;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::via::{self, Via};
use fake_telegram::wait::before;
use fake_telegram::web_app::Gateway;
use fake_telegram::web_front::WebFront;
#[cfg(feature = "tls")]
use fake_telegram::web_front::{self, Authority};

/// How front and back are joined; `None`: they are one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    None,
    Key,
    #[cfg(feature = "tls")]
    Tls,
}

/// How a direct connection gets to its DC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Straight,
    /// Through a SOCKS5 server.
    Via,
    /// By a web front.
    #[cfg(feature = "tls")]
    Ws,
    /// By another proxy, which is not watched.
    #[cfg(feature = "tls")]
    Upstream,
}

/// How clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Own,
    /// As streams of one WEB session over a WebSocket, without TLS.
    Web,
    #[cfg(feature = "tls")]
    WebTls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub route: Route,
    pub way: Way,
    pub link: Link,
    pub door: Door,
}

impl Layout {
    /// As in "middle split TLS".
    pub fn name(self) -> String {
        let route = match (self.route, self.way) {
            (Route::Middle, _) => "middle",
            (Route::Direct, Way::Straight) => "direct",
            (Route::Direct, Way::Via) => "via",
            #[cfg(feature = "tls")]
            (Route::Direct, Way::Ws) => "ws",
            #[cfg(feature = "tls")]
            (Route::Direct, Way::Upstream) => "upstream",
        };
        let link = match self.link {
            Link::None => "",
            Link::Key => " split",
            #[cfg(feature = "tls")]
            Link::Tls => " split TLS",
        };
        let door = match self.door {
            Door::Own => "",
            Door::Web => "web ",
            #[cfg(feature = "tls")]
            Door::WebTls => "web TLS ",
        };
        format!("{door}{route}{link}")
    }
}

/// The name of the WEB host.
const HOST: &str = "proxy.example.com";

/// What clients come through.
pub struct Entrance {
    door: Door,
    #[cfg(feature = "tls")]
    authority: Authority,
    gateway: Option<Gateway>,
}

impl Entrance {
    pub fn new(door: Door) -> Self {
        Self {
            door,
            #[cfg(feature = "tls")]
            authority: Authority::at_length(),
            gateway: None,
        }
    }

    /// That door the proxy has.
    pub fn lead(&self, options: ProxyOptions) -> ProxyOptions {
        match self.door {
            Door::Own => options,
            // Nobody asks for the site.
            Door::Web => options.web(HOST, "http://127.0.0.1:9"),
            #[cfg(feature = "tls")]
            Door::WebTls => options.web_by_tls(HOST, &self.authority),
        }
    }

    /// Opens the session of clients that are streams.
    pub async fn open(&mut self, proxy: &Proxy) -> io::Result<()> {
        let app = match self.door {
            Door::Own => return Ok(()),
            Door::Web => proxy.web_app(HOST),
            #[cfg(feature = "tls")]
            Door::WebTls => proxy.web_app_by_tls(HOST, &self.authority),
        };
        self.gateway = Some(Gateway::start(&app).await?);
        Ok(())
    }

    /// A client that comes so.
    pub fn client(&self, proxy: &Proxy, kind: Kind) -> Options {
        match &self.gateway {
            None => proxy.client(kind),
            Some(gateway) => gateway.client(kind),
        }
    }
}

/// What is between a proxy and Telegram.
pub struct Between {
    via: Option<Via>,
    front: Option<WebFront>,
    /// The other proxy, with the directory of its program.
    next: Option<(Part, Watch)>,
}

impl Between {
    pub async fn start(telegram: &FakeTelegram, way: Way) -> io::Result<Self> {
        #[cfg(not(feature = "tls"))]
        let _ = telegram;
        let mut between = Self {
            via: None,
            front: None,
            next: None,
        };
        match way {
            Way::Straight => {}
            Way::Via => {
                let options = via::Options::new(via::Protocol::Socks5);
                between.via = Some(Via::start(options)?);
            }
            #[cfg(feature = "tls")]
            Way::Ws => {
                let mut options = web_front::Options::new(web_front::Kind::Telegram);
                options.authority = Arc::new(Authority::at_length());
                between.front = Some(WebFront::start(telegram, options)?);
            }
            #[cfg(feature = "tls")]
            Way::Upstream => {
                let watch = Watch::new(unwatched);
                let layout = Layout {
                    route: Route::Direct,
                    way: Way::Straight,
                    link: Link::None,
                    door: Door::Own,
                };
                let parts = watch.start(telegram, layout, of_another).await?;
                between.next = parts.into_iter().next().map(|part| (part, watch));
            }
        }
        Ok(between)
    }

    /// That way the proxy goes.
    pub fn lead(&self, options: ProxyOptions) -> ProxyOptions {
        if let Some(via) = &self.via {
            return options.set("--via", via.url("socks5"));
        }
        if let Some((next, _)) = &self.next {
            let link = format!("{}:{}", next.proxy.address(), padded(&NEXT_KEY));
            return options.set("--route", "upstream").set("--upstream", link);
        }
        match &self.front {
            // What is kept ready is no client's.
            Some(front) => options
                .set("--route", "ws")
                .set("--ws-spare", 0)
                .web_front(front),
            None => options,
        }
    }
}

/// One process of a proxy.
pub struct Part {
    pub proxy: Proxy,
    /// Where it is told of a mark.
    pub marks: PathBuf,
}

/// Another person's secret: with our own all would be passed on as it is.
const NEXT_KEY: [u8; 16] = [0xa5; 16];

#[cfg(feature = "tls")]
fn of_another(options: ProxyOptions) -> ProxyOptions {
    calm(options).set("--secret", classic(&NEXT_KEY))
}

/// The words that start a proxy of which nothing is wanted.
#[cfg(feature = "tls")]
fn unwatched(_: &Watched<'_>) -> Vec<String> {
    let program = std::env::current_exe().unwrap_or_default();
    vec![
        program.display().to_string(),
        "proxy".to_owned(),
        "-".to_owned(),
    ]
}

/// Whose directory holds the scripts that start watched proxies, their sockets and
/// what they write.
pub struct Watch {
    directory: TemporaryDirectory,
    /// The words that start the proxy NAME, who listens for marks at PATH; the
    /// proxy's own follow.
    command: fn(&Watched<'_>) -> Vec<String>,
}

pub struct Watched<'a> {
    pub name: &'a str,
    pub directory: &'a Path,
    pub marks: &'a Path,
}

impl Watch {
    pub fn new(command: fn(&Watched<'_>) -> Vec<String>) -> Self {
        Self {
            directory: TemporaryDirectory::new(),
            command,
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A program that is such a proxy, and where it listens for marks.
    fn program(&self, name: &str) -> io::Result<(String, PathBuf)> {
        let directory = self.directory.path();
        let marks = directory.join(format!("{name}.marks"));
        let words = (self.command)(&Watched {
            name,
            directory,
            marks: &marks,
        });
        let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        let path = directory.join(name);
        fs::write(
            &path,
            format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")),
        )?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok((path.display().to_string(), marks))
    }

    /// Starts the parts, in the order in which a client's bytes pass them.
    pub async fn start(
        &self,
        telegram: &FakeTelegram,
        layout: Layout,
        change: impl Fn(ProxyOptions) -> ProxyOptions,
    ) -> io::Result<Vec<Part>> {
        let secured = match layout.link {
            Link::None => {
                let (program, marks) = self.program("both")?;
                let options = ProxyOptions::new(&program, telegram, layout.route);
                let proxy = change(options).start().await;
                return Ok(vec![Part { proxy, marks }]);
            }
            Link::Key => Secured::default(),
            #[cfg(feature = "tls")]
            Link::Tls => self.certificates()?,
        };
        let (program, marks) = self.program("back")?;
        let options = ProxyOptions::back(&program, telegram, &secured);
        let proxy = change(options).start().await;
        let links = [proxy.address()];
        let back = Part { proxy, marks };
        let (program, marks) = self.program("front")?;
        let options = ProxyOptions::front(&program, telegram, layout.route, &secured, &links);
        let proxy = change(options).start().await;
        until_linked(&proxy).await?;
        Ok(vec![Part { proxy, marks }, back])
    }

    /// Those of a CA and of a front, made by the proxy's own code.
    #[cfg(feature = "tls")]
    fn certificates(&self) -> io::Result<Secured> {
        let directory = self.directory.path().join("certificates");
        for words in [&["init"][..], &["add-node", "home"]] {
            let mut command = Command::new(std::env::current_exe()?);
            command
                .args(["proxy", "-", "certs", words[0]])
                .arg(&directory);
            let output = command.args(&words[1..]).output()?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(io::Error::other(said));
            }
        }
        Ok(Secured::Certificates(directory, "home".to_owned()))
    }
}

/// Waits until a client is served.
async fn until_linked(front: &Proxy) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let client = front.client(Kind::Padded);
        let outcome = before(Duration::from_secs(10), served(&client, 0)).await;
        if let Some(Ok(_)) = outcome {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::Error::other("front and back do not find each other"));
        }
        smol::Timer::after(Duration::from_millis(50)).await;
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What a child does with `words`, which are those behind `proxy`: the path of the
/// socket for marks, "-" for none, and the proxy's own.
pub fn be_proxy(words: &[String], answer: impl Fn() -> String + Send + 'static) -> u8 {
    let Some((marks, words)) = words.split_first() else {
        eprintln!("proxy: where is it to listen for marks?");
        return 2;
    };
    if marks != "-"
        && let Err(error) = crate::marks::listen(Path::new(marks), answer)
    {
        eprintln!("{marks}: {error}");
        return 2;
    }
    smol_mtproxy::main(words)
}

/// The options of all watched proxies: nothing but the load is to cost anything.
pub fn calm(options: ProxyOptions) -> ProxyOptions {
    let options = options.set("--log-level", "warn");
    match options.has("--listen") {
        true => options
            .set("--replay-cache", 8192)
            .set("--max-clients", 4000)
            .set("--handshake-timeout", 120),
        false => options,
    }
}

/// A client that has been served.
pub async fn served(options: &Options, label: u32) -> io::Result<Client> {
    let mut client = options.connect().await?;
    client.echo(&echo(label, 40)).await?;
    Ok(client)
}

/// As in "dd".
pub fn form(kind: Kind) -> &'static str {
    match kind {
        Kind::FakeTls => "ee",
        Kind::Padded => "dd",
        Kind::Intermediate => "intermediate",
        Kind::Abridged => "abridged",
    }
}
