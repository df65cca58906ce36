//! Lists of addresses and names, which policies ask and `ctl` changes.

mod error;
#[cfg(feature = "ctl")]
mod shown;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{
    Network, TableFile, entry_in, folder_of, make_private_dir, read_text, write_whole,
};

pub(crate) use error::TableError;
use error::TableErrorKind;

/// Longest table in bytes: some 250,000 addresses.
const MAX_FILE: u64 = 4 << 20;

/// Longest entry of a table in bytes: that of a domain name.
const MAX_ENTRY: usize = 253;

/// A named set of addresses, networks and names, usually from a file: one entry
/// a line, `#` starts a comment.
///
/// Domain names match without regard to case; an address matches the networks
/// that contain it.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    file: PathBuf,
    /// The file was there when it was read or written.
    has_file: Cell<bool>,
    /// Shared with a thread that lists or saves them.
    entries: RefCell<Arc<Entries>>,
}

/// A table as it was in its file; a thread that may wait can read it.
#[derive(Debug)]
pub struct ReadTable {
    name: String,
    file: PathBuf,
    has_file: bool,
    entries: Entries,
}

impl ReadTable {
    /// Reads every file whole or fails, also where one is gone that was there
    /// `before`: who is banned by it would be let in. Blocks.
    pub(crate) fn read_all(
        tables: &[TableFile],
        before: &[Snapshot],
    ) -> Result<Vec<Self>, TableError> {
        let tables = tables.iter();
        tables
            .map(|table| {
                let read = Self::read(&table.name, &table.file, table.is_ours)?;
                let is_same = |old: &&Snapshot| old.file == table.file && old.has_file;
                match before.iter().find(is_same) {
                    Some(old) if !read.has_file && old.entries.len() > 0 => {
                        Err(TableError::new(&table.file, TableErrorKind::Gone))
                    }
                    _ => {
                        read.tell_if_new();
                        Ok(read)
                    }
                }
            })
            .collect()
    }

    /// What this table has more than its namesake among `before`; `None` if that
    /// is nothing, or there is none.
    pub fn changes(&self, before: &[Snapshot]) -> Option<TableChanges> {
        let before = before.iter().find(|old| old.name == self.name)?;
        let (more, fewer) = self.entries.differences(&before.entries);
        let name = self.name.clone();
        (more + fewer > 0).then_some(TableChanges { name, more, fewer })
    }

    /// A file that is not there yet holds nothing, if it can be made: its folder is
    /// there, or is `ours` to make. Any other is a slip in the path.
    fn read(name: &str, file: &Path, ours: bool) -> Result<Self, TableError> {
        let may_be_made = || ours || folder_of(file).is_dir();
        let text = match read_text(file, MAX_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_made() => None,
            read => Some(read.map_err(|error| TableError::read(file, error))?),
        };
        Ok(Self {
            has_file: text.is_some(),
            ..Self::from_text(name, file, &text.unwrap_or_default())?
        })
    }

    fn tell_if_new(&self) {
        if !self.has_file {
            info!(
                "the table {} is empty, as {} is not there: {}write it and send SIGHUP",
                self.name,
                self.file.display(),
                match cfg!(feature = "ctl") {
                    true => "`smol-mtproxy ctl table add … --save` makes it, or ",
                    false => "",
                }
            );
        }
    }

    /// The table of a file that holds `text`.
    pub fn from_text(name: &str, file: &Path, text: &str) -> Result<Self, TableError> {
        let entries = Entries::parse(text);
        let entries =
            entries.map_err(|(line, entry)| TableError::entry(file, Some(line), &entry))?;
        Ok(Self {
            name: name.to_owned(),
            file: file.to_owned(),
            has_file: true,
            entries,
        })
    }
}

/// What has become of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct TableChanges {
    name: String,
    more: usize,
    fewer: usize,
}

impl fmt::Display for TableChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, more, fewer } = self;
        let entries = |count: usize| if count == 1 { "entry" } else { "entries" };
        match (more, fewer) {
            (0, fewer) => write!(f, "table {name}: {fewer} {} fewer", entries(*fewer)),
            (more, 0) => write!(f, "table {name}: {more} {} more", entries(*more)),
            (more, fewer) => write!(
                f,
                "table {name}: {more} {} more, {fewer} fewer",
                entries(*more)
            ),
        }
    }
}

impl From<ReadTable> for Table {
    fn from(read: ReadTable) -> Self {
        Self {
            name: read.name,
            file: read.file,
            has_file: Cell::new(read.has_file),
            entries: RefCell::new(Arc::new(read.entries)),
        }
    }
}

/// The entries of a table at one moment; a thread that may wait can list them
/// and write them to the table's file.
#[derive(Debug)]
pub struct Snapshot {
    name: String,
    file: PathBuf,
    has_file: bool,
    entries: Arc<Entries>,
}

impl Snapshot {
    /// Every entry in order.
    pub fn list(&self) -> Vec<String> {
        self.entries.list()
    }

    /// Writes the entries back to the file, whose comments and order stay;
    /// blocks.
    pub fn save(&self) -> Result<(), TableError> {
        let failed = |error| TableError::new(&self.file, TableErrorKind::Write(error));
        let old = match read_text(&self.file, MAX_FILE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(TableError::read(&self.file, error));
            }
            old => old.unwrap_or_default(),
        };
        let metadata = std::fs::metadata(&self.file);
        let mode = metadata.map_or(0o644, |metadata| metadata.permissions().mode() & 0o777);
        let text = self.rewrite(&old);
        if text.len() as u64 > MAX_FILE {
            return Err(TableError::new(&self.file, TableErrorKind::TooLarge));
        }
        make_private_dir(folder_of(&self.file)).map_err(failed)?;
        write_whole(&self.file, text.as_bytes(), mode).map_err(failed)
    }

    /// A file's text with these entries: lines of others gone, new ones at the
    /// end, comments where they were.
    pub fn rewrite(&self, old: &str) -> String {
        self.entries.rewrite(old)
    }
}

impl Table {
    /// Adds an entry, which the file does not know until it is
    /// saved; `false` if it was there.
    pub fn add(&self, entry: &str) -> Result<bool, TableError> {
        let entry =
            Entry::parse(entry).ok_or_else(|| TableError::entry(&self.file, None, entry))?;
        let mut entries = self.entries.borrow_mut();
        Ok(!entries.contains(&entry) && Arc::make_mut(&mut entries).insert(entry))
    }

    /// Removes an entry; `false` if it was not there.
    pub fn remove(&self, entry: &str) -> bool {
        let mut entries = self.entries.borrow_mut();
        let known = Entry::parse(entry).filter(|entry| entries.contains(entry));
        known.is_some_and(|entry| Arc::make_mut(&mut entries).remove(&entry))
    }

    /// What it holds now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            file: self.file.clone(),
            has_file: self.has_file.get(),
            entries: self.entries.borrow().clone(),
        }
    }

    /// Its file has been written.
    pub fn is_saved(&self) {
        self.has_file.set(true);
    }

    pub fn is_empty(&self) -> bool {
        let entries = self.entries.borrow();
        entries.names.is_empty() && entries.networks.is_empty()
    }

    pub fn contains_name(&self, name: &str) -> bool {
        let entries = self.entries.borrow();
        match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => entries.contains_name(&name.to_ascii_lowercase()),
            false => entries.contains_name(name),
        }
    }

    pub fn contains_address(&self, address: IpAddr) -> bool {
        self.entries.borrow().contains_address(address)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Network(Network),
    Name(String),
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(network) = text.parse() {
            return Some(Self::Network(network));
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#' && byte != b'/';
        let is_name = !text.is_empty() && text.len() <= MAX_ENTRY && text.bytes().all(plain);
        (is_name && !is_failed_address(text)).then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

/// 192.0.2.300 or 192.0.2.1-192.0.2.9, which as a name would ban nobody. A
/// listener's name may be its address and port.
fn is_failed_address(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    text.contains('.') && text.bytes().all(is_part)
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Entries {
    /// In order, each once; so are the networks. No hash set, which takes more memory.
    names: Vec<String>,
    networks: Vec<Network>,
    /// The prefix lengths that occur, for IPv4 and for IPv6.
    lengths: [Vec<u8>; 2],
}

impl Entries {
    /// Fails with the number (from 1) and the text of the first bad line.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut entries = Self::default();
        for (index, line) in text.lines().enumerate() {
            let Some(text) = entry_in(line) else {
                continue;
            };
            match Entry::parse(text).ok_or_else(|| (index + 1, text.to_owned()))? {
                Entry::Name(name) => entries.names.push(name),
                Entry::Network(network) => {
                    entries.note_length(network);
                    entries.networks.push(network);
                }
            }
        }
        entries.names.sort_unstable();
        entries.names.dedup();
        entries.networks.sort_unstable();
        entries.networks.dedup();
        Ok(entries)
    }

    fn insert(&mut self, entry: Entry) -> bool {
        match entry {
            Entry::Name(name) => insert_into(&mut self.names, name),
            Entry::Network(network) => {
                self.note_length(network);
                insert_into(&mut self.networks, network)
            }
        }
    }

    fn note_length(&mut self, network: Network) {
        let lengths = self.lengths_mut(network);
        if !lengths.contains(&network.length()) {
            lengths.push(network.length());
        }
    }

    fn remove(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Name(name) => remove_from(&mut self.names, name),
            Entry::Network(gone) => {
                let removed = remove_from(&mut self.networks, gone);
                let used = self.networks.iter().any(|other| {
                    other.length() == gone.length() && other.is_ipv4() == gone.is_ipv4()
                });
                if !used {
                    let lengths = self.lengths_mut(*gone);
                    lengths.retain(|length| *length != gone.length());
                }
                removed
            }
        }
    }

    fn lengths_mut(&mut self, network: Network) -> &mut Vec<u8> {
        let [ipv4, ipv6] = &mut self.lengths;
        if network.is_ipv4() { ipv4 } else { ipv6 }
    }

    fn contains(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Name(name) => self.contains_name(name),
            Entry::Network(network) => self.contains_network(network),
        }
    }

    fn contains_name(&self, name: &str) -> bool {
        let names = &self.names;
        names.binary_search_by(|one| one.as_str().cmp(name)).is_ok()
    }

    fn contains_network(&self, network: &Network) -> bool {
        self.networks.binary_search(network).is_ok()
    }

    fn contains_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let [ipv4, ipv6] = &self.lengths;
        let lengths = if address.is_ipv4() { ipv4 } else { ipv6 };
        let of_length = |length| Network::containing(address, length);
        lengths
            .iter()
            .any(|length| self.contains_network(&of_length(*length)))
    }

    /// How many it has that `old` has not, and the other way round.
    fn differences(&self, old: &Self) -> (usize, usize) {
        let networks = self.networks.iter();
        let networks = networks.filter(|one| old.contains_network(one)).count();
        let names = self.names.iter();
        let common = networks + names.filter(|one| old.contains_name(one)).count();
        (self.len() - common, old.len() - common)
    }

    fn len(&self) -> usize {
        self.networks.len() + self.names.len()
    }

    fn list(&self) -> Vec<String> {
        let networks = self.networks.iter().map(Network::to_string);
        networks.chain(self.names.iter().cloned()).collect()
    }

    fn rewrite(&self, old: &str) -> String {
        let mut text = String::new();
        let mut written = Vec::new();
        for line in old.lines() {
            let entry = entry_in(line).and_then(Entry::parse);
            let keep = entry.as_ref().is_none_or(|entry| self.contains(entry));
            if keep {
                text.push_str(line);
                text.push('\n');
                written.extend(entry.map(|entry| entry.to_string()));
            }
        }
        written.sort_unstable();
        for entry in self.list() {
            if written.binary_search(&entry).is_err() {
                text.push_str(&entry);
                text.push('\n');
            }
        }
        text
    }
}

/// Whether it was not there.
fn insert_into<T: Ord>(sorted: &mut Vec<T>, new: T) -> bool {
    let place = sorted.binary_search(&new);
    if let Err(place) = place {
        sorted.insert(place, new);
    }
    place.is_err()
}

/// Whether it was there.
fn remove_from<T: Ord>(sorted: &mut Vec<T>, old: &T) -> bool {
    let place = sorted.binary_search(old);
    if let Ok(place) = place {
        sorted.remove(place);
    }
    place.is_ok()
}

#[cfg(test)]
mod tests;
