//! What the documents name is there: files of this tree, and in a room whose head has a
//! map of its files every file of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Beside these, the files at the root.
const DIRECTORIES: [&str; 5] = ["src", "tests", "config", "doc", "cross"];

/// What the reader of a document makes.
const MADE: [&str; 2] = ["config/link.psk", "config/local.conf"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `directory`, by its path from the root.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = entry.path();
        if entry.file_type().expect("its type").is_dir() {
            collect(&path, files);
        } else {
            files.push(path.strip_prefix(root()).expect("below").to_owned());
        }
    }
}

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for directory in DIRECTORIES {
        collect(&root().join(directory), &mut files);
    }
    for entry in fs::read_dir(root()).expect("the root") {
        files.push(entry.expect("an entry").file_name().into());
    }
    files
}

fn documents(files: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    let is_ours = |path: &&PathBuf| {
        path.starts_with("doc") || matches!(path.to_str(), Some("README.md" | "AGENTS.md"))
    };
    let documents = files.iter().filter(is_ours);
    documents.filter(|path| path.extension().is_some_and(|extension| extension == "md"))
}

/// Words that may be paths.
fn words(text: &str) -> BTreeSet<&str> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let words = text.split(|c| !is_of_path(c));
    words
        .map(|word| word.trim_end_matches(['.', '/']))
        .collect()
}

/// Whether there is what a document calls `word`: from the root, or from `src`; of a
/// source or a document the end of its path is enough.
fn is_there(word: &str, files: &[PathBuf]) -> bool {
    if DIRECTORIES
        .iter()
        .any(|one| Path::new(word).starts_with(one))
    {
        let places = [root().join(word), root().join("src").join(word)];
        return MADE.contains(&word) || places.iter().any(|place| place.exists());
    }
    let word = word.trim_start_matches("../");
    let (stem, extension) = word.rsplit_once('.').unwrap_or_default();
    if !matches!(extension, "rs" | "md") || stem.is_empty() || stem.starts_with('/') {
        return true;
    }
    files.iter().any(|path| path.ends_with(word))
}

#[test]
fn every_path_that_a_document_names_exists() {
    let files = files();
    let mut wrong = Vec::new();
    for document in documents(&files) {
        let text = fs::read_to_string(root().join(document)).expect("a document");
        let missing = words(&text)
            .into_iter()
            .filter(|word| !is_there(word, &files));
        wrong.extend(missing.map(|word| format!("{}: {word}", document.display())));
    }
    assert!(wrong.is_empty(), "there is no\n{}", wrong.join("\n"));
    assert!(!is_there("src/no/such.rs", &files) && !is_there("such/mod.rs", &files));
}

/// The names of the files in the map at a room's head, `//! | File | What |`, if it
/// has one.
fn map_of(text: &str) -> Option<BTreeSet<String>> {
    let head = text.lines().take_while(|line| line.starts_with("//!"));
    let mut rows = head.skip_while(|line| !line.starts_with("//! | File | What"));
    rows.next()?;
    let rows = rows.take_while(|line| line.starts_with("//! |"));
    let first_cells = rows.filter_map(|line| line.split('|').nth(1));
    let names = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let name_of = |name: &str| {
        name.trim_end_matches('/')
            .trim_end_matches(".rs")
            .to_owned()
    };
    Some(names.map(name_of).collect())
}

/// The modules that a file has in files of their own: those of the program, those of
/// tests.
fn modules_of(text: &str) -> [BTreeSet<String>; 2] {
    let mut modules = [BTreeSet::new(), BTreeSet::new()];
    let mut is_test = false;
    for line in text.lines() {
        let declared = line.strip_suffix(';').and_then(|line| {
            let line = ["pub ", "pub(crate) ", "pub(super) "]
                .iter()
                .find_map(|word| line.strip_prefix(word))
                .unwrap_or(line);
            line.strip_prefix("mod ")
        });
        if let Some(name) = declared {
            modules[usize::from(is_test)].insert(name.to_owned());
        }
        is_test = line.starts_with("#[cfg(test)]")
            || line.starts_with("#[cfg(all(test,")
            || is_test && line.starts_with("#[");
    }
    modules
}

#[test]
fn a_map_of_a_room_has_every_file_of_it() {
    let sources = files().into_iter().filter(|path| path.starts_with("src"));
    let mut maps = 0;
    for path in sources.filter(|path| path.extension().is_some_and(|one| one == "rs")) {
        let text = fs::read_to_string(root().join(&path)).expect("a source");
        let Some(map) = map_of(&text) else {
            continue;
        };
        maps += 1;
        let [modules, of_tests] = modules_of(&text);
        let missing: Vec<_> = modules.difference(&map).collect();
        assert!(missing.is_empty(), "{} lacks {missing:?}", path.display());
        let module_of = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
        let is_there = |name: &str| {
            let module = module_of(name);
            modules.contains(&module) || of_tests.contains(&module)
        };
        let gone: Vec<_> = map.iter().filter(|name| !is_there(name)).collect();
        assert!(gone.is_empty(), "{} has {gone:?}", path.display());
    }
    assert!(maps >= 20, "only {maps} rooms have a map");
}
