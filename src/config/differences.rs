use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::settings::Setting;
use super::{Config, DoorConfig};
use crate::wire::secret::{Domain, Secret};

/// What a reload brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Flags that are given otherwise, and taken over.
    pub changed: Vec<String>,
    /// Flags whose values the running process cannot take over.
    pub need_restart: Vec<&'static str>,
    /// Secrets that have another name: the old one, the new one.
    pub renamed: Vec<(String, String)>,
    /// Names of secrets that are not there any more, under whatever name.
    pub removed: Vec<String>,
    /// Names that fake-TLS clients may ask for no more.
    pub lost_domains: Vec<Domain>,
    /// They could ask for any name, and no longer can.
    pub lost_other_domains: bool,
    /// Links are derived for names otherwise, or not any more.
    pub other_salt: bool,
    /// Of `--allow`, what is gone, whose links work no more.
    pub lost_forms: Vec<&'static str>,
}

/// Which flags were given, and whether with the same values as others; the values
/// are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(Vec<(String, u64)>);

impl Given {
    pub(super) fn of(settings: &[Setting]) -> Self {
        let mut given = Self::default();
        for Setting { flag, value, .. } in settings {
            let known = given.0.iter_mut().find(|(known, _)| known == flag);
            let mut hasher = DefaultHasher::new();
            match known {
                Some((_, digest)) => {
                    (*digest, value).hash(&mut hasher);
                    *digest = hasher.finish();
                }
                None => {
                    value.hash(&mut hasher);
                    given.0.push((flag.clone(), hasher.finish()));
                }
            }
        }
        given
    }

    fn digest(&self, flag: &str) -> Option<u64> {
        let mut given = self.0.iter();
        given
            .find(|(known, _)| known == flag)
            .map(|(_, digest)| *digest)
    }

    /// In the order of this one.
    fn different<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let gone = other
            .0
            .iter()
            .filter(|(flag, _)| self.digest(flag).is_none());
        let flags = self.0.iter().chain(gone).map(|(flag, _)| flag.as_str());
        flags.filter(|flag| self.digest(flag) != other.digest(flag))
    }

    /// `flag` counts as given as in `other`.
    fn keep(&mut self, flag: &str, other: &Self) {
        self.0.retain(|(known, _)| known != flag);
        let digest = other.digest(flag);
        self.0
            .extend(digest.map(|digest| (flag.to_owned(), digest)));
    }
}

/// Flags that a process goes by from its start to its end.
macro_rules! fixed {
    ($($field:ident $flag:literal)+) => {
        const FIXED: &[&str] = &[$($flag),+];

        impl Config {
            /// The fixed flags that `new` has other values for.
            fn fixed_differences(&self, new: &Self) -> Vec<&'static str> {
                let mut found = Vec::new();
                $(if self.process.$field != new.process.$field { found.push($flag); })+
                // One may have its default from another.
                found.retain(|flag| self.given.digest(flag) != new.given.digest(flag));
                found
            }

            /// Keeps what the running process cannot change.
            pub fn keep_fixed(&mut self, running: &Self) {
                $(self.process.$field.clone_from(&running.process.$field);)+
                for flag in FIXED {
                    self.given.keep(flag, &running.given);
                }
            }
        }
    };
}

fixed! {
    role "--role" buffers "--buffers" data_dir "--data-dir" metrics "--metrics" user "--user"
    control "--control"
}

impl Config {
    /// `self` is what runs.
    pub fn differences(&self, new: &Self) -> Differences {
        let changed = new.given.different(&self.given);
        let changed = changed.filter(|flag| !FIXED.contains(flag));
        let (renamed, removed) = changed_secrets(&self.doors, &new.doors);
        let may_ask_for = |domain: &&Domain| new.doors.tls_domains.contains(domain);
        let is_restricted =
            self.doors.allow.tls && new.doors.allow.tls && !new.doors.tls_domains.is_empty();
        let looked_like_sites = !self.doors.tls_domains.is_empty() || self.doors.sni_salt.is_some();
        let (was, is) = (self.doors.allow, new.doors.allow);
        let forms = [
            ("classic", was.classic && !is.classic),
            ("dd", was.dd && !is.dd),
            ("tls (ee…)", was.tls && !is.tls && looked_like_sites),
        ];
        let lost_forms = forms.into_iter().filter(|(_, is_lost)| *is_lost);
        let lost = self
            .doors
            .tls_domains
            .iter()
            .filter(|domain| !may_ask_for(domain));
        Differences {
            changed: changed.map(str::to_owned).collect(),
            need_restart: self.fixed_differences(new),
            renamed,
            removed,
            lost_domains: lost.filter(|_| is_restricted).cloned().collect(),
            lost_other_domains: is_restricted && self.doors.tls_domains.is_empty(),
            other_salt: was.tls && is.tls && self.doors.sni_salt != new.doors.sni_salt,
            lost_forms: lost_forms.map(|(form, _)| form).collect(),
        }
    }
}

type Renamed = Vec<(String, String)>;

/// A secret is its key: what is called otherwise is still there. A name that
/// stays goes on meaning what it means now.
fn changed_secrets(old: &DoorConfig, new: &DoorConfig) -> (Renamed, Vec<String>) {
    let names: HashSet<&str> = new.all_secrets().map(|named| &*named.name).collect();
    let before: HashSet<&str> = old.all_secrets().map(|named| &*named.name).collect();
    let mut keys: HashMap<Secret, Option<&str>> = HashMap::new();
    for named in new.all_secrets() {
        let is_new = !before.contains(&*named.name);
        let name = keys.entry(named.secret.key).or_default();
        if is_new && name.is_none() {
            *name = Some(&named.name);
        }
    }
    let (mut renamed, mut removed) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for named in old.all_secrets() {
        if !seen.insert((&*named.name, named.secret.key)) {
            continue;
        }
        match keys.get_mut(&named.secret.key) {
            None => removed.push(named.name.clone()),
            Some(name) if !names.contains(&*named.name) => {
                renamed.extend(name.take().map(|new| (named.name.clone(), new.to_owned())));
            }
            Some(_) => {}
        }
    }
    (renamed, removed)
}
