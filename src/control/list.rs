//! Lists, which may be long: nobody waits for one to be written.

use std::fmt::Write;

use smol::future::yield_now;

use super::form::Form;
use crate::wire::json::Json;

/// Rows that are gathered or written in one step.
pub(super) const STEP: usize = 128;

/// One of a list, for programs and for people.
pub(crate) trait Row {
    fn json(&self) -> Json;

    /// One line, or a few, each with its end.
    fn write_lines(&self, out: &mut String);
}

/// An answer that is a list.
pub(crate) struct List {
    /// Of the member that has it.
    pub(super) name: &'static str,
    /// The first line for people; empty: none.
    pub(super) header: String,
    pub(super) rows: Vec<Box<dyn Row>>,
    /// What people read where there are none.
    pub(super) if_none: &'static str,
    /// Where the rest begins, in a list that may have one.
    pub(super) next: Option<Option<usize>>,
}

impl List {
    pub(super) fn new<R: Row + 'static>(
        name: &'static str,
        header: String,
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        let rows = rows.into_iter();
        Self {
            name,
            header,
            rows: rows.map(|row| Box::new(row) as Box<dyn Row>).collect(),
            if_none: "",
            next: None,
        }
    }

    /// Others have their turn after each step.
    pub(super) async fn text(&self, form: Form) -> String {
        match form {
            Form::Json => self.json().await,
            Form::Lines => self.lines().await,
        }
    }

    async fn json(&self) -> String {
        let mut text = format!("{{\"{}\":[", self.name);
        for (position, row) in self.rows.iter().enumerate() {
            text.push_str(if position == 0 { "" } else { "," });
            let _ = write!(text, "{}", row.json());
            if position % STEP == STEP - 1 {
                yield_now().await;
            }
        }
        text.push(']');
        if let Some(next) = self.next {
            let _ = write!(text, ",\"next\":{}", Json::from(next));
        }
        text.push_str("}\n");
        text
    }

    async fn lines(&self) -> String {
        if self.rows.is_empty() {
            return self.if_none.to_owned();
        }
        let mut text = self.header.clone();
        for (position, row) in self.rows.iter().enumerate() {
            row.write_lines(&mut text);
            if position % STEP == STEP - 1 {
                yield_now().await;
            }
        }
        if let Some(Some(next)) = self.next {
            let _ = writeln!(
                text,
                "and more: after={next}, or a larger limit, has the rest"
            );
        }
        text
    }
}
