//! `tables`: what policies ask, listed and changed.

use std::rc::Rc;
use std::time::Duration;

use super::Control;
use super::form::Form;
use super::list::{List, Row};
use super::problem::Problem;
use super::reply::Answer;
use super::words::{cell, end, header};
use crate::guard::table::{Snapshot, Table};
use crate::net::unblock;
use crate::wire::json::Json;

const NAME: usize = 16;
const ENTRIES: usize = 8;

/// For a disk to take a table.
pub(crate) const SAVE_LIMIT: Duration = Duration::from_secs(60);

struct TableRow(Snapshot);

impl Control {
    pub(super) fn tables(&self) -> List {
        let columns = [("TABLE", NAME), ("ENTRIES", ENTRIES), ("FILE", 0)];
        let tables = self.parts.gate.snapshots().into_iter().map(TableRow);
        let mut list = List::new("tables", header(&columns), tables);
        list.if_none = "there is no table; start with --table NAME=FILE\n";
        list
    }

    pub(super) async fn table(&self, name: &str, form: Form) -> Result<Answer, Problem> {
        let entries = self.table_named(name)?.snapshot();
        // There may be a quarter of a million.
        let written = unblock(move || match form {
            Form::Json => {
                let entries = entries.list().into_iter().map(Json::Text);
                let list = Json::List(entries.collect());
                format!("{}\n", Json::Object(vec![("entries", list)]))
            }
            Form::Lines => entries
                .list()
                .iter()
                .fold(String::new(), |mut text, entry| {
                    text.push_str(entry);
                    text.push('\n');
                    text
                }),
        });
        Ok(Answer::Written(written.await))
    }

    pub(super) fn enter(&self, table: &str, entry: &str) -> Result<Answer, Problem> {
        let changed = self.table_named(table)?.add(entry);
        let changed = changed.map_err(|error| Problem::BadEntry(error.to_string()))?;
        if changed {
            info!("ctl: table add {table} {entry}");
        }
        Ok(Answer::Changed(changed))
    }

    pub(super) fn remove(&self, table: &str, entry: &str) -> Result<Answer, Problem> {
        let changed = self.table_named(table)?.remove(entry);
        if changed {
            info!("ctl: table del {table} {entry}");
        }
        Ok(Answer::Changed(changed))
    }

    /// Answers when the file is as the table was at its turn.
    pub(super) async fn save(&self, name: &str) -> Result<Answer, Problem> {
        let table = self.table_named(name)?;
        let saving = self.saves.run(|| {
            let entries: Snapshot = table.snapshot();
            Some(move || entries.save())
        });
        match self.parts.reactor.timeout(SAVE_LIMIT, saving).await {
            Some(Some(Err(error))) => Err(Problem::NotSaved(error.to_string())),
            Some(_) => {
                table.is_saved();
                Ok(Answer::Saved)
            }
            None => Err(Problem::SaveTakesLong {
                table: name.to_owned(),
                seconds: SAVE_LIMIT.as_secs(),
            }),
        }
    }

    fn table_named(&self, name: &str) -> Result<Rc<Table>, Problem> {
        let table = self.parts.gate.table(name);
        table.ok_or_else(|| Problem::NoTable(name.to_owned()))
    }
}

impl Row for TableRow {
    fn json(&self) -> Json {
        Json::Object(vec![
            ("name", Json::from(self.0.name())),
            ("entries", Json::from(self.0.len())),
            ("file", Json::from(self.0.file().display().to_string())),
        ])
    }

    fn write_lines(&self, out: &mut String) {
        cell(out, NAME, self.0.name());
        cell(out, ENTRIES, &self.0.len().to_string());
        out.push_str(&self.0.file().display().to_string());
        end(out);
    }
}
