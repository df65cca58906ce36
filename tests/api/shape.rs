//! The examples of `doc/api.md`, and whether an answer is of their shape.

use serde_json::Value;

/// Objects whose members are whatever there is.
const MAPS: [&str; 1] = ["sessions_by_route"];

pub struct Example {
    pub method: String,
    pub target: String,
    pub json: Value,
}

pub fn examples() -> Vec<Example> {
    let text = include_str!("../../doc/api.md");
    let mut examples = Vec::new();
    for block in text.split("```json ").skip(1) {
        let (title, rest) = block.split_once('\n').unwrap();
        let (json, _) = rest.split_once("```").unwrap();
        let (method, target) = title.split_once(' ').unwrap_or((title, ""));
        examples.push(Example {
            method: method.to_owned(),
            target: target.to_owned(),
            json: serde_json::from_str(json).unwrap_or_else(|error| panic!("{title}: {error}")),
        });
    }
    examples
}

/// What differs: `null` stands for anything, and one of a list is like some of the
/// example's.
pub fn difference(example: &Value, answer: &Value, place: &str) -> Option<String> {
    match (example, answer) {
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Object(wanted), Value::Object(found)) => {
            if MAPS.iter().any(|map| place.ends_with(map)) {
                let value = wanted.values().next()?;
                let mut found = found.iter();
                return found
                    .find_map(|(name, one)| difference(value, one, &format!("{place}.{name}")));
            }
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<Vec<_>>()
            };
            if names(wanted) != names(found) {
                return Some(format!(
                    "{place}: {:?}, not {:?}",
                    names(found),
                    names(wanted)
                ));
            }
            let mut members = wanted.iter();
            members.find_map(|(name, value)| {
                difference(value, &found[name], &format!("{place}.{name}"))
            })
        }
        (Value::Array(wanted), Value::Array(found)) => found.iter().find_map(|one| {
            let place = format!("{place}[]");
            let mut differences = wanted.iter().map(|like| difference(like, one, &place));
            match differences.clone().any(|difference| difference.is_none()) {
                true => None,
                false => differences.next().flatten().or(Some(place)),
            }
        }),
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_)) => None,
        _ => Some(format!("{place}: {answer}, not like {example}")),
    }
}

#[test]
fn what_has_another_shape_is_found() {
    let json = |text| serde_json::from_str::<Value>(text).unwrap();
    let example =
        json(r#"{"a": [{"b": 1}, {"c": "x"}], "d": null, "sessions_by_route": {"x": 1}}"#);
    for (answer, is_like) in [
        (r#"{"a": [], "d": 1, "sessions_by_route": {}}"#, true),
        (
            r#"{"a": [{"c": "y"}, {"b": 2}], "d": 1, "sessions_by_route": {"y": 2}}"#,
            true,
        ),
        (
            r#"{"a": [{"b": "1"}], "d": 1, "sessions_by_route": {}}"#,
            false,
        ),
        (
            r#"{"a": [{"b": 1, "c": "x"}], "d": 1, "sessions_by_route": {}}"#,
            false,
        ),
        (r#"{"a": [], "sessions_by_route": {}}"#, false),
        (r#"{"a": {}, "d": 1, "sessions_by_route": {}}"#, false),
        (
            r#"{"a": [], "d": 1, "sessions_by_route": {"y": "2"}}"#,
            false,
        ),
    ] {
        let difference = difference(&example, &json(answer), "");
        assert_eq!(difference.is_none(), is_like, "{answer}: {difference:?}");
    }
}
