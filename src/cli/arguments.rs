//! The command line: the flags of the config are taken out of it by their table, what
//! is left is read by argh.

use argh::FromArgs;

use super::commands::{Command, CommandLine, RunProxy};
use crate::config::{
    ConfigError, Origin, Problem, Setting, find, flag_of_word, no_value, unknown_flag,
};

const PING: &str = "ping";

/// The command line, taken apart.
pub(super) struct Arguments {
    pub(crate) command: Command,
    /// The flags that a config file could hold too.
    pub(crate) settings: Vec<Setting>,
}

/// Why there is nothing to do, or nothing but this text.
pub(super) enum NoCommand {
    /// `--help` of the whole program.
    Help,
    /// `--help` of one command.
    CommandHelp {
        text: String,
        takes_config: bool,
    },
    Version,
    Wrong(ConfigError),
}

/// Flags of the config may stand anywhere, as `--flag value` or `--flag=value`;
/// what is left is a command with flags of its own.
pub(super) fn parse(words: &[String]) -> Result<Arguments, NoCommand> {
    // It has flags of its own with names of those of the config, and takes none of these.
    let (settings, rest) = match words.first().map(String::as_str) {
        Some(PING) => (Vec::new(), words.to_vec()),
        _ => split(words).map_err(NoCommand::Wrong)?,
    };
    let mut rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    if let ["help", command] = rest.as_slice() {
        rest = vec![*command, "--help"];
    }
    // A command that this build lacks says only that, whatever else it is told.
    let is_missing = match rest.first() {
        Some(&"check") => !cfg!(feature = "check"),
        Some(&"ctl" | &"user") => !cfg!(feature = "ctl"),
        Some(&PING) => !cfg!(feature = "ping"),
        _ => false,
    };
    if is_missing {
        rest.truncate(1);
    }
    if let [] | ["help" | "--help" | "-h"] = rest.as_slice() {
        let command = Command::Run(RunProxy::default());
        return match rest.is_empty() {
            true => Ok(Arguments { command, settings }),
            false => Err(NoCommand::Help),
        };
    }
    if rest.first() == Some(&PING) && !settings.is_empty() {
        let message = "ping goes by no config, and is the first word: smol-mtproxy ping --help";
        return Err(NoCommand::Wrong(on_command_line(Problem::Usage {
            message: message.to_owned(),
        })));
    }
    let line =
        CommandLine::from_args(&["smol-mtproxy"], &rest).map_err(|exit| match exit.status {
            Ok(()) => NoCommand::CommandHelp {
                text: exit.output,
                takes_config: rest.first() != Some(&PING),
            },
            Err(()) => NoCommand::Wrong(wrong(&exit.output, &rest)),
        })?;
    if line.version {
        return Err(NoCommand::Version);
    }
    let command = line.command.unwrap_or(Command::Run(RunProxy::default()));
    Ok(Arguments { command, settings })
}

fn split(words: &[String]) -> Result<(Vec<Setting>, Vec<String>), ConfigError> {
    let mut settings = Vec::new();
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let Some(flag) = find(flag) else {
            rest.push(flag.to_owned());
            rest.extend(value);
            continue;
        };
        match value.or_else(|| words.next().cloned()) {
            Some(value) if !value.is_empty() => settings.push(Setting {
                flag: flag.name.to_owned(),
                value,
                origin: Origin::CommandLine,
            }),
            _ => return Err(on_command_line(no_value(flag))),
        }
    }
    Ok((settings, rest))
}

/// argh's message about `words`, in one line.
fn wrong(message: &str, words: &[&str]) -> ConfigError {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let unknown = message.strip_prefix("Unrecognized argument: ");
    on_command_line(match unknown {
        Some(flag) if flag.starts_with('-') => unknown_flag(flag.to_owned()),
        Some(word) => {
            let (meant, is_first) = (flag_of_word(word), words.first() == Some(&word));
            let word = word.to_owned();
            match is_first {
                true => Problem::UnknownCommand { word, meant },
                false => Problem::ExtraWord { word, meant },
            }
        }
        None => {
            let is_command = |word: &&&str| word.bytes().all(|b| b.is_ascii_lowercase());
            let command = words.first().filter(is_command);
            let command = command.map_or_else(String::new, |word| format!(" {word}"));
            Problem::Usage {
                message: format!("{message}; see smol-mtproxy{command} --help"),
            }
        }
    })
}

fn on_command_line(problem: Problem) -> ConfigError {
    ConfigError {
        origin: Some(Origin::CommandLine),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn parsed(line: &str) -> Arguments {
        match parse(&words(line)) {
            Ok(arguments) => arguments,
            Err(_) => panic!("{line}"),
        }
    }

    fn error(line: &str) -> String {
        match parse(&words(line)) {
            Err(NoCommand::Wrong(error)) => error.to_string(),
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn flags_may_stand_anywhere_and_run_is_the_default() {
        for line in [
            "--listen :1 --tag=x",
            "run --listen=:1 --tag x",
            "--listen :1 run --tag x",
        ] {
            let arguments = parsed(line);
            assert!(matches!(arguments.command, Command::Run(_)));
            let settings: Vec<_> = arguments
                .settings
                .iter()
                .map(|s| (s.flag.as_str(), s.value.as_str()))
                .collect();
            assert_eq!(settings, [("--listen", ":1"), ("--tag", "x")]);
        }
        let arguments = parsed("link --server=h --listen :1 --json");
        let Command::Invite(options) = arguments.command else {
            panic!()
        };
        let server = options.server.map(|server| server.host);
        assert_eq!((server.as_deref(), options.json), (Some("h"), true));
    }

    #[test]
    fn slips_are_named() {
        assert!(error("--lisen :1").contains("did you mean --listen?"));
        assert!(error("run --listen").contains("--listen needs a value"));
        assert!(error("--listen=").contains("--listen needs a value"));
        assert!(error("rum").contains("rum is not a command"));
        assert!(error("run rum").contains("rum has no place there"));
        assert!(error("run listen").ends_with("did you mean --listen?"));
        assert!(error("link --server").contains("--server"));
        assert!(error("link --server").ends_with("; see smol-mtproxy link --help"));
        assert!(!error("link --server").contains('\n'));
        let url = error("link --server https://h");
        assert!(url.contains("as in proxy.example.com"), "{url}");
    }

    #[cfg(feature = "ping")]
    #[test]
    fn ping_has_flags_of_its_own() {
        let Command::Ping(options) = parsed("ping --dc 2 h:1:s --dc -3 --repeat 4").command else {
            panic!()
        };
        assert_eq!((options.dc, options.repeat), (vec![2, -3], Some(4)));
        assert_eq!(options.links, ["h:1:s"]);
        let wrong = error("--listen :1 ping h:1:s");
        assert!(wrong.contains("ping goes by no config"), "{wrong}");
        assert!(error("ping --listen :1").contains("--listen"));
    }

    #[test]
    fn help_and_version() {
        assert!(matches!(parse(&words("--help")), Err(NoCommand::Help)));
        assert!(matches!(parse(&words("-V")), Err(NoCommand::Version)));
        assert!(matches!(
            parse(&words("link --help")),
            Err(NoCommand::CommandHelp { text, takes_config: true }) if text.contains("--no-qr")
        ));
        assert!(matches!(
            parse(&words("help link")),
            Err(NoCommand::CommandHelp { text, takes_config: true }) if text.contains("--no-qr")
        ));
    }
}
