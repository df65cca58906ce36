use super::super::doors::{OWN_SECRET, OwnSecret};
use super::super::error::Origin;
use super::super::rooms::Config;
use super::super::secret::SecretFlag;
use super::Users;

impl Config {
    /// Whose, if of a secret that the config has beside its users.
    pub(crate) fn place_of_secret(&self, name: &str) -> Option<String> {
        let data_dir = &self.process.data_dir;
        if name == OWN_SECRET && self.doors.own_secret == Some(OwnSecret::Kept) {
            let file = data_dir.join("secret");
            return Some(format!(
                "the secret that the proxy has made itself, in {}",
                file.display()
            ));
        }
        let users = Users::place_in(data_dir);
        for (index, setting) in self.given.of_flag("--secret").enumerate() {
            let place = match &setting.origin {
                Origin::File { path, .. } if **path == users => continue,
                Origin::File { path, line } => format!("{}:{line}", path.display()),
                Origin::CommandLine => "the command line".to_owned(),
            };
            let flag = setting.value.parse::<SecretFlag>();
            let own = flag.ok().and_then(|flag| flag.name);
            if own.unwrap_or_else(|| format!("secret{}", index + 1)) == name {
                return Some(format!("a --secret of {place}"));
            }
        }
        let mut others = self.doors.all_secrets();
        let is_other = others.any(|named| named.name == name) && !self.users.users.has(name);
        is_other.then(|| "a secret of a --listen".to_owned())
    }
}
