use std::collections::{HashMap, HashSet};

use super::doors::DoorConfig;
use super::rooms::Config;
use crate::wire::secret::{Domain, Secret};

/// What a reload brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    /// Flags with values that change something, and are taken over.
    pub(crate) changed: Vec<&'static str>,
    /// Flags with values that would, and that only a restart takes over.
    pub(crate) need_restart: Vec<&'static str>,
    /// Secrets that have another name: the old one, the new one.
    pub(crate) renamed: Vec<(String, String)>,
    /// Names of secrets that are not there any more, under whatever name.
    pub(crate) removed: Vec<String>,
    /// Names that fake-TLS clients may ask for no more.
    pub(crate) lost_domains: Vec<Domain>,
    /// They could ask for any name, and no longer can.
    pub(crate) lost_other_domains: bool,
    /// Links are derived for names otherwise, or not any more.
    pub(crate) other_salt: bool,
    /// Of `--allow`, what is gone, whose links work no more.
    pub(crate) lost_forms: Vec<&'static str>,
}

impl Config {
    /// Those of the configs; of flags it says nothing. `self` is what runs.
    pub(super) fn differences(&self, new: &Self) -> Differences {
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
            changed: Vec::new(),
            need_restart: Vec::new(),
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
