//! `certs`: makes and shows the certificates of the link between front and back.

use super::commands::Certs;
use super::exit::Exit;

#[cfg(feature = "tls")]
pub(super) use with_tls::run;

/// The build without a TLS library.
#[cfg(not(feature = "tls"))]
pub(super) fn run(options: &Certs) -> Exit {
    let asked = format!("certs {}", options.words.join(" "));
    super::complain(
        Exit::Unavailable,
        format_args!(
            "{}: this small build has no TLS; make certificates with the full build, or use \
             --link-psk inside a tunnel",
            asked.trim_end()
        ),
    )
}

#[cfg(feature = "tls")]
mod with_tls {
    use std::io::ErrorKind;
    use std::path::PathBuf;

    use super::{Certs, Exit};
    use crate::cli::commands::{CertsCommand, CertsRenew, CertsShow};
    use crate::cli::{complain, print};
    use crate::link::certificates::{CertsError, Done, add_node, init, renew, revoke, show};
    use crate::log::one_line;

    /// Makes or shows the certificates of a link.
    pub(crate) fn run(options: &Certs) -> Exit {
        let outcome = match &options.command {
            CertsCommand::Init(options) => init(&options.directory).map(list),
            CertsCommand::AddNode(options) => {
                add_node(&options.directory, &options.name, options.days).map(list)
            }
            CertsCommand::Renew(CertsRenew {
                directory,
                name,
                days,
                new_key,
            }) => renew(directory, name, *days, *new_key).map(tell),
            CertsCommand::Revoke(options) => revoke(&options.directory, &options.name).map(tell),
            CertsCommand::Show(options) => table(options),
        };
        match outcome {
            Ok(text) => print(&text),
            Err(error) => complain(exit(&error), error),
        }
    }

    fn list(made: Vec<PathBuf>) -> String {
        let lines = made.iter().map(|path| format!("{}\n", path.display()));
        lines.collect()
    }

    fn tell(done: Done) -> String {
        let notes = done.notes.iter().map(|note| format!("{note}\n"));
        list(done.files) + &notes.collect::<String>()
    }

    fn table(options: &CertsShow) -> Result<String, CertsError> {
        let shown = show(&options.directory)?;
        let lines = shown.iter().map(|one| {
            let until = match one {
                _ if one.is_refused => "REVOKED; until",
                _ if one.is_expired => "EXPIRED",
                _ => "until",
            };
            // Others may have made the certificates: no control characters of theirs.
            let line = format!(
                "{}: {}, {until} {}, SHA-256 {}",
                one.file, one.name, one.expires, one.fingerprint
            );
            one_line(line) + "\n"
        });
        Ok(lines.collect())
    }

    fn exit(error: &CertsError) -> Exit {
        match error {
            CertsError::BadName(..) | CertsError::BadDays(_) => Exit::Usage,
            CertsError::NoCa(_) | CertsError::NoNode(..) | CertsError::NoKey(_) => Exit::NoInput,
            CertsError::RenewCa | CertsError::IsRefused(_) => Exit::Usage,
            CertsError::Damaged(..) | CertsError::List(_) => Exit::Data,
            CertsError::Crypto(_) => Exit::OsError,
            CertsError::Exists(_) => Exit::CannotCreate,
            CertsError::Read(_, error) | CertsError::Write(_, error)
                if error.kind() == ErrorKind::PermissionDenied =>
            {
                Exit::Permission
            }
            CertsError::Read(..) => Exit::NoInput,
            CertsError::Write(..) => Exit::CannotCreate,
        }
    }
}
