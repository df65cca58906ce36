//! `--help` of the whole program. Its part about flags comes from their table.

use std::fmt::Write;

use super::exit::Exit;
use crate::config::{FLAGS, Flag};

const WIDTH: usize = 80;
const INDENT: &str = "      ";

const HEAD: &str = "\
smol-mtproxy: a Telegram MTProto proxy for small routers and small servers

Usage: smol-mtproxy [COMMAND] [FLAGS]

Commands:
  run        run the proxy; the default, works without any flag
  link       print the links of every secret, or of one, with QR codes
  secret     make a secret: plain, dd, or ee DOMAIN
  ctl        see how the running proxy fares, change its tables
  user       add, change and remove users of the running proxy
  check      check the config and this machine, one verdict a line
  ping       ask Telegram through links, anybody's: does each work, how fast
  certs      make, renew, revoke and show the certificates of a link
  --help     this text; COMMAND --help for a command's own flags
  --version  the version
";

const TAIL: &str = "
A config file holds the same flags, one a line, with or without the dashes:

  # comment
  --listen :443
  secret = alice=ee0123456789abcdef0123456789abcdef7777772e6578616d706c652e636f6d

Commands beside run go by the flags that they are given, --config or others; given
none, by /var/run/smol-mtproxy/flags (OpenWrt's), else
/etc/smol-mtproxy.conf, else as `smol-mtproxy run` would without flags. run itself
looks for no file.

Where a flag is on the command line, the file's lines of that flag do not count.
A relative name of a file is, in the config file, relative to that, and on the
command line to the current directory.
SIGHUP reads the file again, clients stay; SIGTERM and SIGINT stop the proxy.
run --test says beforehand what is wrong with the file and with those that it names.

Examples:
  smol-mtproxy
  smol-mtproxy --listen :443 --tls-domain DOMAIN
  smol-mtproxy --config /etc/smol-mtproxy.conf --log-level debug
  smol-mtproxy run --test --config ./my.conf
  smol-mtproxy check --config ./my.conf
  smol-mtproxy ping 'tg://proxy?server=…'
  sudo smol-mtproxy link
  sudo smol-mtproxy user add alice max-ips=3
";

const LITE: &str = "
This is the small build: no ctl, user, check and certs, no TLS on the link, no lists over
HTTPS, no route but direct. The full build has them.
";

/// The whole of `--help`.
pub(super) fn text() -> String {
    let mut text: String = HEAD.lines().filter(is_of_this_build).map(line).collect();
    let mut heading = None;
    for flag in FLAGS.iter().filter(|flag| flag.is_here()) {
        if heading.replace(flag.heading) != Some(flag.heading) {
            let _ = writeln!(text, "\n{}:", flag.heading.title());
        }
        describe(flag, &mut text);
    }
    text.extend(TAIL.lines().filter(is_of_this_build).map(line));
    if !cfg!(feature = "tls") {
        text.push_str(LITE);
    }
    text.push_str("\nExit codes:\n");
    for (exit, meaning) in Exit::MEANINGS {
        let _ = writeln!(text, "  {:<3} {meaning}", exit as u8);
    }
    text
}

fn line(text: &str) -> String {
    format!("{text}\n")
}

/// Lines about commands and flags that the small build lacks.
fn is_of_this_build(line: &&str) -> bool {
    let is_about = |word: &str| line.contains(&format!("  {word} "));
    let is_about = |words: &[&str]| words.iter().any(|word| is_about(word));
    (cfg!(feature = "check") || !is_about(&["check", "smol-mtproxy check"]))
        && (cfg!(feature = "ctl") || !is_about(&["ctl", "user", "sudo smol-mtproxy user"]))
        && (cfg!(feature = "ping") || !is_about(&["ping", "smol-mtproxy ping"]))
        && (cfg!(feature = "tls") || !is_about(&["certs"]))
}

fn describe(flag: &Flag, text: &mut String) {
    let _ = writeln!(text, "  {} {}", flag.name, flag.value);
    let mut line = INDENT.to_owned();
    for word in flag.help.split_whitespace() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_build_has_is_listed() {
        let text = text();
        for (line, has) in [
            ("  run ", true),
            ("  check ", cfg!(feature = "check")),
            ("  ctl ", cfg!(feature = "ctl")),
            ("  ping ", cfg!(feature = "ping")),
            ("  smol-mtproxy ping ", cfg!(feature = "ping")),
            ("  user ", cfg!(feature = "ctl")),
            ("  certs ", cfg!(feature = "tls")),
            ("  --link-psk ", true),
            ("  --link-ca ", cfg!(feature = "tls")),
            ("  --link-refuse ", cfg!(feature = "tls")),
            ("  --link-alpn ", cfg!(feature = "tls")),
            ("  --link-refuse ", cfg!(feature = "tls")),
            ("  --control ", cfg!(feature = "ctl")),
            ("  smol-mtproxy check ", cfg!(feature = "check")),
        ] {
            let listed = text.lines().any(|other| other.starts_with(line));
            assert_eq!(listed, has, "{line}");
        }
        assert_eq!(text.contains("small build"), !cfg!(feature = "tls"));
        assert_eq!(text.contains("; ctl changes"), cfg!(feature = "ctl"));
    }
}
