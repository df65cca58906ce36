use std::fmt::Write;

use super::exit::Exit;
use crate::config::{FlagHelp, all_flags};

const WIDTH: usize = 80;
const INDENT: &str = "      ";

const HEAD: &str = "\
smol-mtproxy: a Telegram MTProto proxy for small routers and small servers

Usage: smol-mtproxy [COMMAND] [FLAGS]

Commands:
  run        run the proxy; the default, works without any flag
  link       print the links of every secret, with QR codes
  secret     make a secret: plain, dd, or ee DOMAIN
  ctl        change tables of the running proxy, see what secrets have used
  check      check the config and this machine, one verdict a line
  certs      make the certificates of a link: init, add-node, show
  --help     this text; COMMAND --help for a command's own flags
  --version  the version
";

const TAIL: &str = "
A config file holds the same flags, one a line, with or without the dashes:

  # comment
  --listen :443
  secret = alice=ee0123456789abcdef0123456789abcdef7777772e6578616d706c652e636f6d

link, check, ctl and secret go by the flags that they are given, --config or
others; given none, by /var/run/smol-mtproxy/flags (OpenWrt's), else
/etc/smol-mtproxy.conf, else as `smol-mtproxy run` would without flags. run itself
looks for no file.

Where a flag is on the command line, the file's lines of that flag do not count.
SIGHUP reads the file again, clients stay; SIGTERM and SIGINT stop the proxy.

Examples:
  smol-mtproxy
  smol-mtproxy --listen :443 --tls-domain www.example.com
  smol-mtproxy --config /etc/smol-mtproxy.conf --log-level debug
  smol-mtproxy check --config ./my.conf
  sudo smol-mtproxy link
";

/// The whole of `--help`.
pub(super) fn text() -> String {
    let mut text = HEAD.to_owned();
    for flag in all_flags() {
        if let Some(heading) = flag.heading {
            let _ = writeln!(text, "\n{heading}:");
        }
        describe(&flag, &mut text);
    }
    text.push_str(TAIL);
    text.push_str("\nExit codes:\n");
    for (exit, meaning) in Exit::MEANINGS {
        let _ = writeln!(text, "  {:<3} {meaning}", exit as u8);
    }
    text
}

fn describe(flag: &FlagHelp, text: &mut String) {
    let _ = writeln!(text, "  {} {}", flag.name, flag.value);
    let mut line = INDENT.to_owned();
    for word in flag.text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = INDENT.to_owned();
        }
        line.push_str(word);
        line.push(' ');
    }
    text.push_str(line.trim_end());
    text.push('\n');
}
