//! What the last reload changed.

use std::cell::RefCell;

use crate::wire::json::Json;

#[derive(Default)]
pub(crate) struct LastReload(RefCell<Option<Reload>>);

/// One that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    /// In unix time.
    pub(crate) at: u64,
    /// What is different since, or why nothing is.
    pub(crate) outcome: Result<Vec<String>, String>,
    /// Flags that only a restart takes over.
    pub(crate) need_restart: Vec<String>,
}

impl LastReload {
    pub(crate) fn note(&self, reload: Reload) {
        self.0.replace(Some(reload));
    }

    pub(super) fn get(&self) -> Option<Reload> {
        self.0.borrow().clone()
    }
}

impl Reload {
    pub(super) fn json(&self, now: u64) -> Json {
        let list = |lines: &[String]| Json::List(lines.iter().cloned().map(Json::Text).collect());
        let (changed, error) = match &self.outcome {
            Ok(changed) => (list(changed), Json::Null),
            Err(error) => (Json::List(Vec::new()), Json::from(error.as_str())),
        };
        Json::Object(vec![
            ("seconds_ago", Json::from(now.saturating_sub(self.at))),
            ("taken_over", Json::Bool(self.outcome.is_ok())),
            ("changed", changed),
            ("error", error),
            ("need_restart", list(&self.need_restart)),
        ])
    }

    pub(super) fn words(&self) -> String {
        let mut words = match &self.outcome {
            Ok(changed) if changed.is_empty() => "nothing changed".to_owned(),
            Ok(changed) => changed.join("; "),
            Err(error) => format!("refused: {error}"),
        };
        if !self.need_restart.is_empty() {
            words += &format!("; restart for {}", self.need_restart.join(", "));
        }
        words
    }
}
