use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigError, Origin, Problem};
use super::files::read_file;
use super::flags::{Flag, Reload, find, is_flag, no_value, unknown_flag};
use super::settings::Setting;

/// Larger than any config with thousands of secrets.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a config file: one flag a line.
pub(super) fn read(path: &Path) -> Result<Vec<Setting>, ConfigError> {
    let text = read_file(path, MAX_BYTES).map_err(|error| {
        let path = path.to_owned();
        ConfigError::new(match error.kind() {
            io::ErrorKind::FileTooLarge => Problem::TooLarge { path },
            _ => Problem::Unreadable { path, error },
        })
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &[u8]) -> Result<Vec<Setting>, ConfigError> {
    let path: Arc<Path> = path.into();
    let whole = std::path::absolute(&path);
    let directory = whole.as_deref().unwrap_or(&path).parent();
    let mut settings = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let origin = Origin::File {
            path: path.clone(),
            line: index + 1,
        };
        let setting = str::from_utf8(line)
            .map_err(|_| Problem::NotText)
            .and_then(parse_line);
        match setting {
            Ok(None) => {}
            Ok(Some((flag, value))) => settings.push(Setting {
                value: match directory {
                    Some(directory) => flag.within(directory, value),
                    None => value,
                },
                flag: flag.name.to_owned(),
                origin,
            }),
            Err(problem) => return Err(ConfigError::at(&origin, problem)),
        }
    }
    Ok(settings)
}

/// `--flag value`, `flag value`, `flag = value`, `flag="value"`, or nothing but
/// a comment.
fn parse_line(line: &str) -> Result<Option<(&'static Flag, String)>, Problem> {
    let line = line.trim().trim_start_matches('\u{feff}');
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| c == '=' || c.is_whitespace());
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let name = format!("--{}", name.strip_prefix("--").unwrap_or(name));
    let Some(flag) = find(&name) else {
        return Err(unknown_flag(name));
    };
    if flag.reload == Reload::CommandLine {
        return Err(Problem::NestedConfig);
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    match parse_value(rest) {
        Some("") => Err(no_value(flag)),
        Some(value) => match second_flag(value).filter(|_| rest.starts_with(value)) {
            Some(second) => Err(Problem::TwoInLine {
                flag: flag.name,
                second,
            }),
            None => Ok(Some((flag, value.to_owned()))),
        },
        None => Err(Problem::BadQuotes { flag: flag.name }),
    }
}

/// A flag behind the value, as on a command line.
fn second_flag(value: &str) -> Option<String> {
    let mut words = value.split_whitespace().skip(1);
    let name = |word: &str| word.split('=').next().map(str::to_owned);
    words.find_map(|word| name(word).filter(|name| is_flag(name)))
}

/// The value without quotes around it and without a comment after it.
fn parse_value(text: &str) -> Option<&str> {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            let (value, rest) = inner.split_once(quote)?;
            let rest = rest.trim_start();
            return (rest.is_empty() || rest.starts_with('#')).then_some(value);
        }
    }
    let comment = text
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| text[..*at].ends_with(char::is_whitespace) || *at == 0);
    Some(text[..comment.unwrap_or(text.len())].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> (&'static str, String) {
        let (flag, value) = parse_line(text).unwrap().unwrap();
        (flag.name, value)
    }

    #[test]
    fn all_ways_to_write_a_line() {
        for text in [
            "--tag abc",
            "  --tag   abc  \r",
            "tag abc",
            "tag=abc",
            "tag = abc",
            "--tag=abc",
            "--tag \"abc\"",
            "tag='abc' # mine",
            "tag abc # mine",
            "tag abc\t#mine",
        ] {
            assert_eq!(line(text), ("--tag", "abc".into()), "{text}");
        }
        assert_eq!(line("data-dir '/a # b'").1, "/a # b");
        assert_eq!(line("data-dir /a#b").1, "/a#b");
        assert_eq!(line("data-dir /a \"b\"").1, "/a \"b\"");
        assert_eq!(line("secret it's=x").1, "it's=x");
        assert_eq!(line("secret a=b=").1, "a=b=");
        assert_eq!(line("data-dir '/a --tag b'").1, "/a --tag b");
        for text in ["", "  ", "# --tag x", "\t#"] {
            assert!(parse_line(text).unwrap().is_none());
        }
    }

    #[test]
    fn bad_lines_are_named_by_number() {
        for (text, line, cause) in [
            ("tag\n", 1, "--tag needs a value"),
            ("\n# x\ntag #x", 3, "--tag needs a value"),
            ("tag 'x", 1, "quote"),
            ("tag 'x' y", 1, "quote"),
            ("tag ''", 1, "--tag needs a value"),
            ("route auto\nrout auto", 2, "--rout"),
            ("--help", 1, "--help"),
            ("config x", 1, "--config"),
            (
                "listen :443 --secret x",
                1,
                "--secret stands in the line of --listen; give every flag a line",
            ),
        ] {
            let error = parse(Path::new("f"), text.as_bytes()).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with(&format!("f:{line}: ")), "{error}");
            assert!(error.contains(cause), "{error}");
        }
        let error = parse(Path::new("f"), b"\n\xff").unwrap_err().to_string();
        assert!(error.starts_with("f:2: "), "{error}");
    }

    #[test]
    fn names_of_files_are_relative_to_the_config() {
        let read = parse(Path::new("a/b.conf"), b"control c\nlisten 1").unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(read[0].value, here.join("a/c").to_str().unwrap());
        assert_eq!(read[1].value, "1");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = parse(Path::new("f"), &text);
        }

        #[test]
        fn any_quoted_value_comes_back(value in "[^'\\n\\r]{1,40}") {
            prop_assume!(!value.trim().is_empty());
            let (_, read) = line(&format!("data-dir '{value}'  # comment"));
            prop_assert_eq!(read, value);
        }
    }
}
