//! An answer as it goes out: to a program as JSON, to a person as lines.

use super::form::Form;
use super::list::List;
use super::problem::Problem;
use super::status::Status;
use crate::wire::json::Json;

/// What a request gets.
pub(crate) enum Answer {
    Status(Box<Status>),
    List(List),
    /// In the form that was asked for, by a thread that may wait.
    Written(String),
    /// Whether anything is different.
    Changed(bool),
    Saved,
}

/// What goes out.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// The methods that are allowed, where another one was tried.
    pub(crate) allow: Option<String>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) async fn new(outcome: Result<Answer, Problem>, form: Form) -> Self {
        match outcome {
            Ok(answer) => Self {
                status: 200,
                content_type: match form {
                    Form::Json => "application/json",
                    Form::Lines => "text/plain; charset=utf-8",
                },
                allow: None,
                body: answer.text(form).await,
            },
            Err(problem) => Self::problem(&problem, form),
        }
    }

    pub(crate) fn problem(problem: &Problem, form: Form) -> Self {
        let (content_type, body) = match form {
            Form::Json => ("application/problem+json", problem.json().to_string()),
            Form::Lines => ("text/plain; charset=utf-8", problem.to_string()),
        };
        Self {
            status: problem.status(),
            content_type,
            allow: match problem {
                Problem::NotAllowed(methods) => Some(methods.clone()),
                _ => None,
            },
            body: body + "\n",
        }
    }
}

impl Answer {
    async fn text(self, form: Form) -> String {
        let line = |name: &'static str, value: bool, line: &str| match form {
            Form::Json => format!("{}\n", Json::Object(vec![(name, Json::Bool(value))])),
            Form::Lines => line.to_owned(),
        };
        match (self, form) {
            (Self::Status(status), Form::Json) => format!("{}\n", status.json()),
            (Self::Status(status), Form::Lines) => status.lines(),
            (Self::List(list), form) => list.text(form).await,
            (Self::Written(text), _) => text,
            (Self::Changed(true), _) => line("changed", true, "changed\n"),
            (Self::Changed(false), _) => line("changed", false, "unchanged\n"),
            (Self::Saved, _) => line("saved", true, ""),
        }
    }
}
