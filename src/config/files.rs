use std::fs::{FileType, OpenOptions, metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Reads a regular file of at most `longest` bytes. Whatever else has that name
/// is not opened: a FIFO would wait for a writer, some devices begin to work.
pub(crate) fn read_file(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    check(metadata(path)?.file_type())?;
    // It may be another one by now.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(flags.bits() as i32);
    let file = options.open(path)?;
    let opened = file.metadata()?;
    check(opened.file_type())?;
    let too_large = || {
        let message = format!("it is over {} KiB", longest / 1024);
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    };
    if opened.len() > longest {
        return Err(too_large());
    }
    let mut content = Vec::new();
    // It may grow meanwhile, and those of /proc have no length.
    match file.take(longest + 1).read_to_end(&mut content)? as u64 {
        read if read > longest => Err(too_large()),
        _ => Ok(content),
    }
}

/// [`read_file`] for UTF-8.
pub(crate) fn read_text(path: &Path, longest: u64) -> io::Result<String> {
    String::from_utf8(read_file(path, longest)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// What a line says of a file with one entry a line: without the comment, which `#`
/// begins; `None` when nothing is left.
pub(crate) fn entry_in(line: &str) -> Option<&str> {
    let entry = line.split('#').next().unwrap_or_default().trim();
    (!entry.is_empty()).then_some(entry)
}

/// Whether its mode lets every user of the machine read it.
pub(crate) fn is_open_to_all(path: &Path) -> bool {
    metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}

fn check(found: FileType) -> io::Result<()> {
    let kind = match found {
        _ if found.is_file() => return Ok(()),
        _ if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        _ if found.is_fifo() => "a pipe",
        _ if found.is_socket() => "a socket",
        _ => "a device",
    };
    let message = format!("it is {kind}, and only regular files are read: put the text into one");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use fake_telegram::harness::TemporaryDirectory;

    use super::*;

    #[test]
    fn regular_files_are_read_up_to_their_limit() {
        let folder = TemporaryDirectory::new();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_file(&path, 5).unwrap(), b"12345");
        let error = read_file(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read_text(&link, 5).unwrap(), "12345");
        fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 5).is_err());
        // No length is known of it.
        assert!(
            !read_file(Path::new("/proc/self/status"), 1 << 20)
                .unwrap()
                .is_empty()
        );
        let error = read_file(Path::new("/proc/self/status"), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn comments_are_no_entries() {
        for (line, entry) in [
            ("a", Some("a")),
            ("\ta b \r", Some("a b")),
            ("a # b", Some("a")),
            ("a#b#c", Some("a")),
            ("#a", None),
            ("  # a", None),
            (" \t", None),
            ("", None),
        ] {
            assert_eq!(entry_in(line), entry, "{line}");
        }
    }

    #[test]
    fn nothing_else_is_opened() {
        let folder = TemporaryDirectory::new();
        let (fifo, socket) = (folder.path().join("fifo"), folder.path().join("socket"));
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let _listener = UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (fifo.as_path(), "a pipe"),
            (&socket, "a socket"),
            (Path::new("/dev/null"), "a device"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let error = read_file(path, 100).unwrap_err().to_string();
            assert!(error.contains(kind), "{error}");
            assert!(error.contains("regular"), "{error}");
        }
        let error = read_file(folder.path(), 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        let error = read_file(&folder.path().join("none"), 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
