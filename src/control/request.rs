//! What can be asked: each request with its method and its target. One more is a variant,
//! a line in [`Request::options`] and one in [`Request::call`].

use super::problem::Problem;
use super::user_wish::{UserWish, limits_of, span_of};
use super::which::Which;
use crate::wire::http::{Target, escaped};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Status,
    Figures,
    History,
    Secrets,
    Clients(Which),
    Dcs,
    Links,
    Routes,
    Tables,
    Table(String),
    Enter {
        table: String,
        entry: String,
    },
    Remove {
        table: String,
        entry: String,
    },
    Save(String),
    Users,
    /// What a person needs to use a secret: links.
    User(String),
    ChangeUser(UserWish),
}

/// What a path takes: methods, and what each of them asks for.
type Options = Vec<(&'static str, Request)>;

impl Request {
    /// What `method` wants of `target`, as they stand in the first line of a request.
    pub(crate) fn parse(method: &[u8], target: &[u8]) -> Result<Self, Problem> {
        let target = Target::parse(target).ok_or(Problem::BadTarget)?;
        let (path, mut query) = (target.path, target.query);
        let mut options = Self::options(&path, &mut query)?;
        if let Some((name, _)) = query.into_iter().next() {
            return Err(Problem::UnknownParameter(name));
        }
        let method = match method {
            b"HEAD" => b"GET",
            method => method,
        };
        let asked = options.iter().position(|(one, _)| one.as_bytes() == method);
        match asked {
            Some(asked) => Ok(options.swap_remove(asked).1),
            None => {
                let methods: Vec<_> = options.iter().map(|(method, _)| *method).collect();
                Err(Problem::NotAllowed(methods.join(", ")))
            }
        }
    }

    /// Takes what it knows out of `query`.
    fn options(path: &[String], query: &mut Vec<(String, String)>) -> Result<Options, Problem> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let ["v1", path @ ..] = path.as_slice() else {
            return Err(Problem::NoSuchCall);
        };
        let owned = |text: &str| text.to_owned();
        Ok(match path {
            ["status"] => vec![("GET", Self::Status)],
            ["figures"] => vec![("GET", Self::Figures)],
            ["history"] => vec![("GET", Self::History)],
            ["secrets"] => vec![("GET", Self::Secrets)],
            ["clients"] => vec![("GET", Self::Clients(Which::take_of(query)?))],
            ["dcs"] => vec![("GET", Self::Dcs)],
            ["links"] => vec![("GET", Self::Links)],
            ["routes"] => vec![("GET", Self::Routes)],
            ["tables"] => vec![("GET", Self::Tables)],
            ["tables", table] => vec![("GET", Self::Table(owned(table)))],
            ["tables", table, "save"] => vec![("POST", Self::Save(owned(table)))],
            ["tables", table, "entries", entry] => {
                let (table, entry) = (owned(table), owned(entry));
                let enter = Self::Enter {
                    table: table.clone(),
                    entry: entry.clone(),
                };
                vec![("PUT", enter), ("DELETE", Self::Remove { table, entry })]
            }
            ["users"] => vec![("GET", Self::Users)],
            ["users", name] => Self::of_user(name, query)?,
            ["users", name, "rotate"] => {
                let (name, keep) = (owned(name), span_of(query)?);
                let rotate = UserWish::Rotate { name, keep };
                vec![("POST", Self::ChangeUser(rotate))]
            }
            _ => return Err(Problem::NoSuchCall),
        })
    }

    fn of_user(name: &str, query: &mut Vec<(String, String)>) -> Result<Options, Problem> {
        let limits = limits_of(query)?;
        let is_limited = !limits.is_empty();
        let add = UserWish::Add {
            name: name.to_owned(),
            limits: limits.clone(),
        };
        let limit = UserWish::Limit {
            name: name.to_owned(),
            limits,
        };
        let mut options = vec![
            ("POST", Self::ChangeUser(add)),
            ("PATCH", Self::ChangeUser(limit)),
        ];
        if !is_limited {
            let name = name.to_owned();
            options.push(("GET", Self::User(name.clone())));
            options.push(("DELETE", Self::ChangeUser(UserWish::Remove { name })));
        }
        Ok(options)
    }

    /// Its method and target.
    pub(crate) fn call(&self) -> (&'static str, String) {
        let table = |name: &str, rest: &str| format!("/v1/tables/{}{rest}", escaped(name));
        let entry = |name: &str, entry: &str| table(name, &format!("/entries/{}", escaped(entry)));
        match self {
            Self::Status => ("GET", "/v1/status".to_owned()),
            Self::Figures => ("GET", "/v1/figures".to_owned()),
            Self::History => ("GET", "/v1/history".to_owned()),
            Self::Secrets => ("GET", "/v1/secrets".to_owned()),
            Self::Clients(which) => ("GET", format!("/v1/clients{}", which.query())),
            Self::Dcs => ("GET", "/v1/dcs".to_owned()),
            Self::Links => ("GET", "/v1/links".to_owned()),
            Self::Routes => ("GET", "/v1/routes".to_owned()),
            Self::Tables => ("GET", "/v1/tables".to_owned()),
            Self::Table(name) => ("GET", table(name, "")),
            Self::Save(name) => ("POST", table(name, "/save")),
            Self::Users => ("GET", "/v1/users".to_owned()),
            Self::User(name) => ("GET", format!("/v1/users/{}", escaped(name))),
            Self::ChangeUser(wish) => wish.call(),
            Self::Enter {
                table: name,
                entry: new,
            } => ("PUT", entry(name, new)),
            Self::Remove {
                table: name,
                entry: old,
            } => ("DELETE", entry(name, old)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitChange;

    fn parse(method: &str, target: &str) -> Result<Request, Problem> {
        Request::parse(method.as_bytes(), target.as_bytes())
    }

    #[test]
    fn each_request_comes_back_by_its_method_and_target() {
        let odd = "a/b?c=d&é% \"'";
        let which = Which {
            secret: Some(odd.to_owned()),
            after: 7,
            limit: 12,
            is_full: true,
        };
        let owned = || odd.to_owned();
        let mut limits = LimitChange::default();
        limits.add("quota", "50G").unwrap();
        limits.add("rate", "none").unwrap();
        for request in [
            Request::Status,
            Request::Figures,
            Request::History,
            Request::Secrets,
            Request::Clients(Which::default()),
            Request::Clients(which),
            Request::Dcs,
            Request::Links,
            Request::Routes,
            Request::Tables,
            Request::Table(owned()),
            Request::Save(owned()),
            Request::Enter {
                table: owned(),
                entry: owned(),
            },
            Request::Remove {
                table: owned(),
                entry: owned(),
            },
            Request::Users,
            Request::User(owned()),
            Request::ChangeUser(UserWish::Add {
                name: owned(),
                limits: limits.clone(),
            }),
            Request::ChangeUser(UserWish::Limit {
                name: owned(),
                limits,
            }),
            Request::ChangeUser(UserWish::Rotate {
                name: owned(),
                keep: Some(7 * 86_400),
            }),
            Request::ChangeUser(UserWish::Rotate {
                name: owned(),
                keep: None,
            }),
            Request::ChangeUser(UserWish::Remove { name: owned() }),
        ] {
            let (method, target) = request.call();
            assert!(!target.contains([' ', '"']), "{target}");
            assert_eq!(parse(method, &target), Ok(request));
        }
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        assert_eq!(parse("HEAD", "/v1/status"), Ok(Request::Status));
        assert_eq!(parse("GET", "/"), Err(Problem::NoSuchCall));
        assert_eq!(parse("GET", "/v2/status"), Err(Problem::NoSuchCall));
        assert_eq!(parse("GET", "/v1/status/"), Err(Problem::NoSuchCall));
        assert_eq!(parse("GET", "*"), Err(Problem::BadTarget));
        let allowed = |methods: &str| Err(Problem::NotAllowed(methods.to_owned()));
        assert_eq!(parse("POST", "/v1/status"), allowed("GET"));
        assert_eq!(
            parse("GET", "/v1/tables/a/entries/b"),
            allowed("PUT, DELETE")
        );
        assert_eq!(parse("GET", "/v1/users/a?quota=1G"), allowed("POST, PATCH"));
        assert_eq!(
            parse("PATCH", "/v1/users/a?speed=1"),
            Err(Problem::UnknownParameter("speed".to_owned()))
        );
        for bad in ["/v1/users/a?quota=x", "/v1/users/a/rotate?keep=7"] {
            let problem = parse("POST", bad).unwrap_err();
            assert_eq!(problem.status(), 400, "{bad}");
        }
        assert_eq!(
            parse("GET", "/v1/status?verbose=1"),
            Err(Problem::UnknownParameter("verbose".to_owned()))
        );
    }
}
