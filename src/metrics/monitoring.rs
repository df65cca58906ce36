//! Whether the dashboard and the alerts of `config/monitoring` go by metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{ClientKind, ConnectFailure, Metrics, RouteResult};
use crate::wire::dc::DcId;

/// What Prometheus adds to every sample.
const ADDED: [&str; 2] = ["job", "instance"];

/// Rows that the dashboard is to have, by how their titles begin.
const ROWS: [&str; 7] = [
    "Clients",
    "Traffic",
    "DCs",
    "Links",
    "Strangers",
    "WEB",
    "Errors",
];

/// The labels of each metric, with their values.
type Known = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Of a page on which everything has a sample.
fn known() -> Known {
    let metrics = Metrics::default();
    let dc = DcId(2);
    metrics.dc_opened(dc);
    metrics.dc_failed(dc, ConnectFailure::Refused);
    metrics.route_tried(dc, "direct", RouteResult::CutShort);
    metrics.client_joined(ClientKind::Padded, std::time::Duration::ZERO);
    let mut page = String::new();
    metrics.render(&mut page);
    let mut known = Known::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (sample, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let row = known.entry(name.to_owned()).or_default();
        for label in labels
            .trim_end_matches('}')
            .split(',')
            .filter(|l| !l.is_empty())
        {
            let (label, value) = label.split_once('=').unwrap();
            let values = row.entry(label.to_owned()).or_default();
            values.insert(value.trim_matches('"').to_owned());
        }
    }
    known
}

fn file(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("config/monitoring").join(name)).unwrap()
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What is wrong with an expression of Prometheus; nothing if all that it names is there.
fn faults(known: &Known, expression: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut labels_there: BTreeSet<&str> = ADDED.into();
    let metrics: Vec<_> = expression.match_indices("smol_mtproxy_").collect();
    if metrics.is_empty() && !expression.starts_with("up{") {
        faults.push(format!("{expression} names no metric"));
    }
    for (at, _) in metrics {
        let rest = &expression[at..];
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let Some(row) = known.get(name) else {
            faults.push(format!("there is no {name}"));
            continue;
        };
        labels_there.extend(row.keys().map(String::as_str));
        let Some(matchers) = behind.strip_prefix('{') else {
            continue;
        };
        let (matchers, _) = matchers.split_once('}').unwrap();
        for matcher in matchers.split(',') {
            let at = matcher.find(['=', '!']).unwrap();
            let (label, value) = matcher.split_at(at);
            let value = value.trim_start_matches(['=', '~', '!']).trim_matches('"');
            match row.get(label) {
                None if ADDED.contains(&label) => {}
                None => faults.push(format!("{name} has no label {label}")),
                Some(values) => {
                    let missing = value.split('|').filter(|one| !one.is_empty());
                    let missing = missing.filter(|one| !values.contains(*one));
                    faults.extend(missing.map(|one| format!("{name}: no {label} is {one}")));
                }
            }
        }
    }
    for (at, word) in expression.match_indices("by (") {
        let inside = expression[at + word.len()..].split(')').next().unwrap();
        let unknown = inside.split(',').map(str::trim);
        let unknown = unknown.filter(|label| !labels_there.contains(label));
        faults.extend(unknown.map(|label| format!("no metric there has the label {label}")));
    }
    faults
}

#[test]
fn what_is_not_there_is_found() {
    let known = known();
    for (expression, fault) in [
        (
            "sum(smol_mtproxy_clientz)",
            "there is no smol_mtproxy_clientz",
        ),
        ("1 + 1", "names no metric"),
        ("smol_mtproxy_clients{dc=\"2\"}", "has no label dc"),
        (
            "smol_mtproxy_closed_total{reason=\"boredom\"}",
            "no reason is boredom",
        ),
        (
            "smol_mtproxy_closed_total{reason=~\"idle_timeout|boredom\"}",
            "boredom",
        ),
        ("sum by (planet) (smol_mtproxy_clients)", "the label planet"),
    ] {
        let found = faults(&known, expression);
        assert!(found.len() == 1 && found[0].contains(fault), "{found:?}");
    }
    let fine = "sum by (instance, dc) (rate(smol_mtproxy_dc_connections{job=~\"$job\"}[5m]))";
    assert_eq!(faults(&known, fine), Vec::<String>::new());
}

#[test]
fn the_dashboard_shows_what_there_is() {
    let known = known();
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(
        variables
            .iter()
            .any(|one| one["type"] == "datasource" && one["name"] == "datasource")
    );
    let panels = dashboard["panels"].as_array().unwrap();
    let mut titles = panels.iter().filter(|panel| panel["type"] == "row");
    for row in ROWS {
        let title = titles.next().and_then(|panel| panel["title"].as_str());
        assert!(
            title.is_some_and(|title| title.starts_with(row)),
            "{row}, not {title:?}"
        );
    }
    let mut ids = BTreeSet::new();
    let mut count = 0;
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            assert_eq!(
                faults(&known, expression),
                Vec::<String>::new(),
                "{expression}"
            );
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            // A legend by a label that the sum has dropped would be empty.
            let legend = target["legendFormat"].as_str().unwrap();
            for (at, word) in legend.match_indices("{{") {
                let label = legend[at + word.len()..].split('}').next().unwrap();
                let is_kept = expression.contains("by (") || !expression.contains("sum(");
                assert!(
                    is_kept && (expression.contains(label)),
                    "{legend}: {expression}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// Of YAML only what the file uses: keys and values on a line each.
#[test]
fn alerts_go_by_what_there_is_and_say_the_way_out() {
    let (known, text) = (known(), file("alerts.yml"));
    let alerts: Vec<&str> = text.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 10);
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        assert!(names.insert(name), "{name} twice");
        let value = |key: &str| {
            let mut lines = alert.lines().map(str::trim);
            let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            found.unwrap_or_else(|| panic!("{name} has no {key}"))
        };
        let expression = value("expr");
        assert_eq!(faults(&known, expression), Vec::<String>::new(), "{name}");
        for key in ["summary", "description"] {
            let text = value(key);
            assert!(
                text.starts_with('"') && text.ends_with('"') && text.len() > 20,
                "{text}"
            );
        }
        assert!(value("labels").starts_with("{severity: "), "{name}");
    }
}
