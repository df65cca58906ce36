//! Who imports whom in `src`: a room only from those below it (the line in
//! `doc/architecture.md`), and within a room no file in a circle, but where both
//! ways are by nature. It reads `use` lines and paths, tests left out, and takes an
//! item that a room shows (`pub use`) for the file that has it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

/// An import that closes a circle, and why it stays. Once it closes none any more it
/// has to go from here.
struct Backward {
    from: &'static str,
    to: &'static str,
    why: &'static str,
}

const fn backward(from: &'static str, to: &'static str, why: &'static str) -> Backward {
    Backward { from, to, why }
}

/// By nature: the files of a room that is one idea.
const PART: &str = "it is a part of what is at the head of its room";

const BACKWARD: &[Backward] = &[
    backward("client/roll_call", "client", PART),
    backward("client/sessions", "client", PART),
    backward("client/out", "client", PART),
    backward("client/registry", "client", PART),
    backward("client/sites/guests", "client/sites", PART),
    backward("client/sites/site", "client/sites", PART),
    backward("guard/gate/memory", "guard/gate", PART),
    backward("guard/replay/journal", "guard/replay", PART),
    backward("guard/table/error", "guard/table", PART),
    backward(
        "link/front/dial",
        "link/front",
        "a keeper dials for its front, which keeps the keepers and hurries them",
    ),
    backward(
        "net/rope",
        "net/buffer_pool",
        "a chunk goes back to its pool, which announces what ropes will hold",
    ),
    backward("net/room/giving", "net/room", PART),
    backward("net/room/turns", "net/room", PART),
    backward("net/room/queue", "net/room", PART),
    backward("telegram/pool/lanes", "telegram/pool", PART),
    backward("telegram/middle/isolation", "telegram/middle", PART),
    backward(
        "telegram/session",
        "telegram/middle",
        "a session sends on its connection, which brings it the answers",
    ),
    backward(
        "telegram/session",
        "telegram/pool",
        "a session moves to another connection, and the pool moves sessions",
    ),
    backward("web/circle", "web", PART),
    backward("web/session", "web", PART),
    backward("web/sessions", "web", PART),
    backward(
        "web/stream",
        "web/session",
        "a stream's end reads and writes its session, which opens streams",
    ),
    backward(
        "web/carrier/websocket",
        "web/session",
        "a carrier brings its session frames, and is the way out of what that sends",
    ),
    backward(
        "web/carrier/https",
        "web/session",
        "a carrier brings its session frames, and is the way out of what that sends",
    ),
];

/// Rooms of one step that may import each other's things in this direction.
const SIDEWAYS: &[(&str, &str)] = &[("config", "log")];

type Name = Vec<String>;
type Graph = BTreeMap<String, BTreeSet<String>>;

fn name_of(path: &[String]) -> String {
    path.join("/")
}

/// The sources without their tests.
struct Sources {
    /// By the path of the module.
    texts: BTreeMap<Name, String>,
    /// Modules at which `crate` begins.
    crates: BTreeSet<Name>,
    /// What a module shows of others.
    shown: BTreeMap<(Name, String), Name>,
}

fn is_test(name: &str) -> bool {
    name == "tests" || name.ends_with("_tests") || name.starts_with("test_")
}

impl Sources {
    fn read() -> Self {
        let mut sources = Self {
            texts: BTreeMap::new(),
            crates: BTreeSet::from([Vec::new()]),
            shown: BTreeMap::new(),
        };
        sources.enter(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path(),
            &[],
        );
        for (module, text) in &sources.texts {
            for (public, path) in uses(text) {
                let (Some(shown), Some(target)) = (path.last(), sources.absolute(module, &path))
                else {
                    continue;
                };
                if public {
                    let shown = shown
                        .rsplit(" as ")
                        .next()
                        .unwrap_or(shown)
                        .trim()
                        .to_owned();
                    sources.shown.insert((module.clone(), shown), target);
                }
            }
        }
        sources
    }

    fn enter(&mut self, folder: &Path, module: &[String]) {
        if folder.join("Cargo.toml").is_file() {
            self.crates.insert(module.to_vec());
        }
        for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
            let path = entry.path();
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            let mut name = module.to_vec();
            if !matches!(stem, "mod" | "lib") {
                name.push(stem.to_owned());
            }
            if is_test(stem) {
                continue;
            }
            if path.is_dir() {
                self.enter(&path, &name);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                self.texts.insert(name, without_tests(&text));
            }
        }
    }

    /// The path from the root of `src`, if it leads to something of ours.
    fn absolute(&self, from: &[String], path: &[String]) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        let root = |module: &[String]| -> Name {
            let mut root = module.to_vec();
            while !self.crates.contains(&root) {
                root.pop();
            }
            root
        };
        let mut base = match first.as_str() {
            "crate" => root(from),
            "self" => from.to_vec(),
            "super" => from[..from.len().saturating_sub(1)].to_vec(),
            other => match other.strip_prefix("smol_mtproxy_") {
                Some(other) => vec![other.to_owned()],
                None => {
                    let child = [from, &[other.to_owned()]].concat();
                    self.texts.contains_key(&child).then_some(child)?
                }
            },
        };
        for part in rest {
            match part.as_str() {
                "super" => {
                    base.pop();
                }
                "self" => {}
                part => base.push(part.split(" as ").next().unwrap_or(part).trim().to_owned()),
            }
        }
        Some(base)
    }

    /// The file that has what this path names.
    fn file_of(&self, path: &[String]) -> Option<Name> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let mut module = path.clone();
            while !self.texts.contains_key(&module) && !module.is_empty() {
                module.pop();
            }
            let next = path.get(module.len())?;
            match self.shown.get(&(module.clone(), next.clone())) {
                Some(target) if *target != path => {
                    let rest = path.split_off(module.len() + 1);
                    path = [target.clone(), rest].concat();
                }
                _ => return Some(module),
            }
        }
        None
    }

    fn imports(&self) -> Graph {
        let mut graph = Graph::new();
        for (module, text) in &self.texts {
            let to = graph.entry(name_of(module)).or_default();
            let used = uses(text).into_iter().filter(|(public, _)| !public);
            for path in used.map(|(_, path)| path).chain(paths(text)) {
                let target = self.absolute(module, &path);
                // A module that is named as a whole is what is used of it.
                let file = target.and_then(|path| match self.texts.contains_key(&path) {
                    true => Some(path),
                    false => self.file_of(&path),
                });
                if let Some(file) = file.filter(|file| file != module && !file.is_empty()) {
                    to.insert(name_of(&file));
                }
            }
        }
        graph
    }
}

/// Without comments, and without what only tests have.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        if line.trim() == "#[cfg(test)]" || line.trim_start().starts_with("#[cfg(all(test, ") {
            // To the end of the item that follows.
            let indent = line.len() - line.trim_start().len();
            for line in lines.by_ref() {
                let is_over = line.len() - line.trim_start().len() == indent
                    && (line.ends_with(';')
                        || line.trim_end().ends_with('}')
                        || line.ends_with(','));
                if is_over {
                    break;
                }
            }
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// What `use` names, each in full, and whether others see it through this file.
fn uses(text: &str) -> Vec<(bool, Name)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let line = rest[..at].rsplit('\n').next().unwrap_or_default().trim();
        let behind = &rest[at + 4..];
        rest = behind;
        if !line.is_empty() && !line.starts_with("pub") {
            continue;
        }
        let end = behind.find(';').unwrap_or(behind.len());
        spread(&[], &behind[..end], &mut |path| {
            found.push((line.starts_with("pub"), path))
        });
        rest = &behind[end..];
    }
    found
}

/// Each path of a tree as `a::{b, c::{d, e}}`.
fn spread(before: &[String], tree: &str, tell: &mut dyn FnMut(Name)) {
    let (mut depth, mut begin) = (0, 0);
    for (at, letter) in tree.char_indices().chain([(tree.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = tree[begin..at].trim();
                begin = at + 1;
                if branch.is_empty() {
                    continue;
                }
                let (path, inner) = match branch.split_once('{') {
                    Some((path, inner)) => (path, inner.strip_suffix('}')),
                    None => (branch, None),
                };
                let parts = path.split("::").map(|part| part.trim().to_owned());
                let parts = parts.filter(|part| !part.is_empty());
                let path: Name = before.iter().cloned().chain(parts).collect();
                match inner {
                    Some(inner) => spread(&path, inner, tell),
                    None => tell(path),
                }
            }
            _ => {}
        }
    }
}

/// Paths outside of `use` lines.
fn paths(text: &str) -> Vec<Name> {
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.contains("use ")) {
        for word in ["crate::", "super::"] {
            for (at, _) in line.match_indices(word) {
                let is_begin = !line[..at].ends_with(|letter: char| {
                    letter.is_alphanumeric() || letter == '_' || letter == ':' || letter == '$'
                });
                // `pub(in crate::…)` says who may see something.
                if !is_begin || line[..at].ends_with("(in ") {
                    continue;
                }
                let path = &line[at..];
                let end = path.find(|letter: char| {
                    !letter.is_alphanumeric() && letter != '_' && letter != ':'
                });
                let path = &path[..end.unwrap_or(path.len())];
                let parts = path.split("::").filter(|part| !part.is_empty());
                found.push(parts.map(str::to_owned).collect());
            }
        }
    }
    found
}

/// The shortest way in `graph`.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut queue = VecDeque::from([vec![from.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(path) = queue.pop_front() {
        let last = path.last()?;
        if last == to {
            return Some(path);
        }
        for next in graph.get(last).into_iter().flatten() {
            if seen.insert(next.clone()) {
                queue.push_back([&path[..], std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}

/// What is in no circle goes from the graph.
fn shortest_circle(graph: &mut Graph) -> Option<Vec<String>> {
    loop {
        let before = graph.len();
        graph.retain(|_, imports| !imports.is_empty());
        let left: BTreeSet<String> = graph.keys().cloned().collect();
        for imports in graph.values_mut() {
            imports.retain(|to| left.contains(to));
        }
        if graph.len() == before && graph.values().all(|imports| !imports.is_empty()) {
            break;
        }
    }
    let steps = graph
        .iter()
        .flat_map(|(from, imports)| imports.iter().map(move |to| (from, to)));
    let circles = steps.filter_map(|(from, to)| {
        let back = way(graph, to, from)?;
        Some([std::slice::from_ref(from), &back[..]].concat())
    });
    circles.min_by_key(Vec::len)
}

#[test]
fn no_circle_is_there_that_has_no_reason() {
    let all = Sources::read().imports();
    let mut graph = all.clone();
    let mut wrong = Vec::new();
    for Backward { from, to, why } in BACKWARD {
        let is_there = all.get(*from).is_some_and(|imports| imports.contains(*to));
        if !is_there || way(&all, to, from).is_none() {
            wrong.push(format!(
                "closes no circle any more, take it out: {from} → {to} ({why})"
            ));
        }
        graph.entry((*from).to_owned()).or_default().remove(*to);
    }
    while let Some(circle) = shortest_circle(&mut graph) {
        wrong.push(format!("a circle: {}", circle.join(" → ")));
        // Rather what a part has of its room than what the room has of its parts.
        let steps = circle.windows(2).map(|step| (&step[0], &step[1]));
        let up = steps
            .clone()
            .find(|(from, to)| from.starts_with(&format!("{to}/")));
        let (from, to) = up.or(steps.clone().next()).expect("a circle has a step");
        graph.entry(from.clone()).or_default().remove(to);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The rooms from the highest down, those of a step together.
fn steps() -> Vec<Vec<String>> {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/architecture.md");
    let text = fs::read_to_string(text).expect("the rooms");
    let line = text.lines().find(|line| line.starts_with("`cli → "));
    let line = line
        .expect("the order of the rooms")
        .trim_matches(['`', '.']);
    let rooms = |step: &str| step.split(',').map(|room| room.trim().to_owned()).collect();
    line.split('→').map(rooms).collect()
}

#[test]
fn a_room_imports_only_from_those_below_it() {
    let steps = steps();
    let step_of = |room: &str| {
        steps
            .iter()
            .position(|step| step.iter().any(|one| one == room))
    };
    let mut wrong = BTreeSet::new();
    let mut sideways = BTreeSet::new();
    for (from, imports) in Sources::read().imports() {
        for to in imports {
            let room = |file: &str| file.split('/').next().unwrap_or_default().to_owned();
            let (above, below) = (room(&from), room(&to));
            let Some(from_step) = step_of(&above) else {
                // What joins the rooms to a program.
                assert!(
                    matches!(above.as_str(), "" | "main"),
                    "{above} is in no step"
                );
                continue;
            };
            let to_step = step_of(&below).unwrap_or_else(|| panic!("{below} is in no step"));
            if above != below && from_step == to_step {
                sideways.insert((above, below));
            } else if from_step > to_step {
                wrong.insert(format!("{from} imports {to}"));
            }
        }
    }
    for (from, to) in &sideways {
        if !SIDEWAYS.contains(&(from, to)) {
            wrong.insert(format!("{from} and {to} are of one step"));
        }
    }
    for (from, to) in SIDEWAYS {
        if !sideways.contains(&((*from).to_owned(), (*to).to_owned())) {
            wrong.insert(format!("{from} imports nothing of {to}: take it out"));
        }
    }
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn uses_and_paths_are_found_however_they_are_written() {
    let text = "use a::{\n    b as c,\n    d::{e, self},\n};\npub use f::g;\n\
                pub(in crate::h) fn i() -> crate::j::K {\n    super::l::m()\n}\n\
                // use n;\n#[cfg(test)]\nmod tests {\n    use o;\n}\n";
    let text = without_tests(text);
    let told = |(public, path): &(bool, Name)| (*public, path.join("::"));
    let found: Vec<(bool, String)> = uses(&text).iter().map(told).collect();
    let wanted = [
        (false, "a::b as c"),
        (false, "a::d::e"),
        (false, "a::d::self"),
        (true, "f::g"),
    ];
    assert_eq!(
        found,
        wanted.map(|(public, path)| (public, path.to_owned()))
    );
    let found: Vec<String> = paths(&text).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::j::K", "super::l::m"]);
    let sources = Sources::read();
    assert!(sources.texts.len() > 100, "{}", sources.texts.len());
    // What a room shows is its file's.
    assert!(!sources.shown.is_empty());
    for target in sources.shown.values() {
        assert!(sources.file_of(target).is_some(), "{target:?}");
    }
}
