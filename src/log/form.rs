use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

static FORM: OnceLock<Form> = OnceLock::new();

/// Who reads the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Journald,
    Procd,
}

pub(super) fn form() -> Form {
    *FORM.get_or_init(|| {
        // procd itself gives no sign.
        if std::env::var_os("SMOL_MTPROXY_LOG").is_some_and(|reader| reader == "procd") {
            return Form::Procd;
        }
        // systemd.exec(5): "DEVICE:INODE", which a child whose stderr leads
        // elsewhere inherits too.
        let journal = std::env::var("JOURNAL_STREAM");
        match journal.is_ok_and(|journal| is_stderr(&journal).unwrap_or(false)) {
            true => Form::Journald,
            false => Form::Plain,
        }
    })
}

fn is_stderr(device_and_inode: &str) -> std::io::Result<bool> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned()?;
    let stat = std::fs::File::from(stderr).metadata()?;
    Ok(device_and_inode == format!("{}:{}", stat.dev(), stat.ino()))
}
