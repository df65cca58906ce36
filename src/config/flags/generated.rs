//! Files that are made from the table: `make generate` writes them, and a test fails
//! where one is not as it would be written.

use std::fmt::Write;
use std::path::PathBuf;

use super::row::{Build, More, Names, Roles, Uci};
use super::table::MORE;
use super::templates::{BACK, BOTH, FRONT, Part};
use super::{FLAGS, Flag, Reload, find};

const WIDTH: usize = 82;

const BEGIN: &str = "# --- from src/config/flags/table.rs, by `make generate`\n";
const END: &str = "# --- as far as that\n";

fn rows() -> impl Iterator<Item = (&'static Flag, &'static More)> {
    FLAGS.iter().zip(MORE)
}

/// `doc/options.md`
fn options() -> String {
    let mut text = "\
# Options

All flags of `smol-mtproxy run`, on the command line or as lines of the config file; made
from `src/config/flags/table.rs` by `make generate`. S stands for seconds.

Roles: those that a flag says something to; others refuse it. Reload: whether another value
is taken over by SIGHUP ([reload.md](reload.md)). Build: the small one refuses what only the
full one has, and builds for routers what only that for servers (`make build`) has.
"
    .to_owned();
    let mut heading = None;
    for (flag, more) in rows() {
        if heading.replace(flag.heading) != Some(flag.heading) {
            let _ = write!(
                text,
                "\n## {}\n\n| Flag | What it does | Default | Roles | Reload | Build |\n\
                 |---|---|---|---|---|---|\n",
                flag.heading.title()
            );
        }
        let (help, default) = without_default(flag.help);
        let repeats = if more.repeats {
            "; may be repeated"
        } else {
            ""
        };
        let cells = [
            format!("`{} {}`", flag.name, flag.value),
            format!("{help}{repeats}"),
            default.unwrap_or("–").to_owned(),
            roles(flag).to_owned(),
            match flag.reload {
                Reload::Live => "yes",
                Reload::Restart => "restart",
                Reload::Refused => "refused",
                Reload::CommandLine => "command line only",
            }
            .to_owned(),
            match flag.build {
                Build::Any => "",
                Build::Tls | Build::Routes | Build::Ctl => "full",
                Build::Acme => "server",
            }
            .to_owned(),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", cells.join(" | ").trim_end());
    }
    text
}

/// Help without `(default: …)`, and what stands there.
fn without_default(help: &'static str) -> (String, Option<&'static str>) {
    let help = help.trim();
    let parts = help.split_once(" (default: ");
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(')')?)));
    match parts {
        Some((before, (default, after))) => (format!("{before}{after}"), Some(default)),
        None => (help.to_owned(), None),
    }
}

fn roles(flag: &Flag) -> &'static str {
    match flag.roles {
        Roles::ALL => "all",
        Roles::WITH_CLIENTS => "both, front",
        Roles::WITH_TELEGRAM => "both, back",
        Roles::HALVES => "front, back",
        Roles::FRONT => "front",
        Roles::BACK => "back",
        other => panic!("{other:?}"),
    }
}

/// The block of `config/openwrt/render.sh`.
fn keys() -> String {
    let of = |kind| {
        let rows = rows().filter(|(_, more)| more.uci == kind);
        let keys: Vec<_> = rows.map(|(_, more)| more.field).collect();
        keys.join(" ")
    };
    let is_other = |names| {
        matches!(
            names,
            Names::NoFile | Names::CertificateOptions | Names::FileMaybeOfName
        )
    };
    let files = FLAGS.iter().filter(|flag| !is_other(flag.names));
    let files: Vec<_> = files.map(|flag| &flag.name[2..]).collect();
    format!(
        "FLAG_LISTS='{}'\nFLAG_TEXTS='{}'\nFLAG_NUMBERS='{}'\n\
         # Each has a function of its own.\nOWN_KEYS='{}'\n\
         # Flags that name a file or a directory; those of web and web-site stand among other words.\nFILE_FLAGS='{}'\n",
        of(Uci::List),
        of(Uci::Text),
        of(Uci::Number),
        of(Uci::Own),
        files.join(" "),
    )
}

/// `text` with what is between the marks made anew.
fn between_marks(text: &str, block: &str) -> String {
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    format!("{head}{BEGIN}{block}{END}{tail}")
}

/// `config/ROLE.conf`
fn template(parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        let named = |name: &str| find(&format!("--{name}")).unwrap();
        match part {
            Part::Says(prose) => comment(prose, &mut text),
            Part::Blank => text.push('\n'),
            Part::Filled(line) => text.push_str(&format!("{line}\n")),
            Part::Help(name) => {
                let flag = named(name);
                comment(&format!("{}: {}", flag.value, flag.help.trim()), &mut text);
            }
            Part::On(name, value) => {
                let _ = writeln!(text, "{} {value}", named(name).name);
            }
            Part::Off(name, value) => {
                let _ = writeln!(text, "#{} {value}", named(name).name);
            }
            Part::Shared(parts) => text.push_str(&template(parts)),
        }
    }
    text
}

fn comment(words: &str, text: &mut String) {
    let mut line = "#".to_owned();
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

#[test]
fn generated_files_are_current() {
    // Help of the small build says less.
    if !cfg!(all(feature = "tls", feature = "ctl")) {
        return;
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let render = "config/openwrt/render.sh";
    let files = [
        ("doc/options.md", options()),
        (render, between_marks(&read(render), &keys())),
        ("config/both.conf", template(BOTH)),
        ("config/front.conf", template(FRONT)),
        ("config/back.conf", template(BACK)),
    ];
    for (path, text) in files {
        if read(path) == text {
            continue;
        }
        match std::env::var_os("WRITE") {
            Some(_) => std::fs::write(root.join(path), text).unwrap(),
            None => panic!("{path} is not what the table of flags says: make generate"),
        }
    }
}

#[test]
fn every_key_of_openwrt_is_in_its_doc() {
    let doc = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("doc/routers.md");
    let doc = std::fs::read_to_string(doc).unwrap();
    for (_, more) in rows().filter(|(_, more)| more.uci != Uci::None) {
        let key = format!("`{}`", more.field);
        assert!(doc.contains(&key), "doc/routers.md says nothing of {key}");
    }
}

/// What a template shows is a flag of its role, with a value that can be read.
#[test]
fn every_line_of_a_template_is_understood() {
    use super::super::values::Role;

    let inside = |part: &'static Part| match part {
        Part::Shared(parts) => parts,
        part => std::slice::from_ref(part),
    };
    for (role, parts) in [(Role::Both, BOTH), (Role::Front, FRONT), (Role::Back, BACK)] {
        for part in parts.iter().flat_map(inside) {
            let (Part::On(name, value) | Part::Off(name, value)) = part else {
                continue;
            };
            let flag = find(&format!("--{name}")).unwrap();
            assert!(flag.roles.include(role), "{name} {role:?}");
            let secret = "00112233445566778899aabbccddeeff";
            let value = value.replace("@SECRET@", secret).replace("SECRET", secret);
            let value = value.replace("@BACK@", "10.8.0.1:8443");
            if !flag.is_here() {
                continue;
            }
            let mut flags = super::Flags::default();
            let filled = flags.slot(flag.name).unwrap().fill(&value);
            assert!(filled.is_ok(), "{name} {value}: {filled:?}");
        }
    }
}
