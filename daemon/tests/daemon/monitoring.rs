//! The dashboard and the alert rules of the package ask for metrics that there are, with labels that they have.

use std::collections::{BTreeMap, BTreeSet};

use aesync_protocol::request::{Metrics, PushWait};
use serde_json::{Value, json};

use crate::support::apps::{call, push};
use crate::support::{self, Scene, synced};

const DASHBOARD: &str = include_str!("../../../systemd/monitoring/dashboard.json");
const ALERTS: &str = include_str!("../../../systemd/monitoring/alerts.yaml");

/// The labels of each metric, each with the values that it was seen with.
type Families = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

async fn printed() -> String {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    push(&daemon, "end_user", json!({"email": "a@example.com"}), PushWait::Confirmed).await;
    // The round trip is known once the first ping was answered.
    support::status_where(&daemon, "a round trip", |status| status.server.rtt_ms.is_some()).await;
    let text = call(&daemon, Metrics {}).await.text;
    daemon.stop().await;
    text
}

fn labels(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        // =, !=, =~ and !~ all ask for a value.
        let (name, value) = pair.split_once('"').expect("a value in quotation marks");
        (name.trim_end_matches(['=', '~', '!']).trim().to_owned(), value.trim_end_matches('"').to_owned())
    })
}

fn families(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a name and a value");
        let (name, inside) = series.split_once('{').unwrap_or((series, ""));
        let family = families.entry(name.to_owned()).or_default();
        for (label, value) in labels(inside.trim_end_matches('}')) {
            family.entry(label).or_default().insert(value);
        }
    }
    families
}

/// The metrics of an expression, each with what stands in its braces.
fn asked(expression: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("aesync_") {
        let rest = &expression[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let inside = rest[end..].strip_prefix('{').and_then(|inside| inside.split_once('}')).map_or("", |(inside, _)| inside);
        found.push((rest[..end].to_owned(), inside.to_owned()));
    }
    found
}

fn check(expressions: &[String], families: &Families) {
    for expression in expressions {
        let asked = asked(expression);
        assert!(!asked.is_empty(), "no metric in {expression:?}");
        for (name, inside) in asked {
            let family =
                families.get(&name).unwrap_or_else(|| panic!("there is no metric {name}, which {expression:?} asks for"));
            for (label, values) in labels(&inside).filter(|(label, _)| label != "instance") {
                let known = family.get(&label).unwrap_or_else(|| panic!("{name} has no label {label}: {expression:?}"));
                for value in values.split('|') {
                    assert!(known.contains(value), "{label} of {name} is never {value:?}: {expression:?}");
                }
            }
        }
    }
}

fn expressions_of_the_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let targets =
        dashboard["panels"].as_array().expect("panels").iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

fn expressions_of_the_alerts() -> Vec<String> {
    ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_dashboard_and_the_alerts_ask_for_is_what_the_daemon_prints() {
    let text = printed().await;
    let families = families(&text);
    let (dashboard, alerts) = (expressions_of_the_dashboard(), expressions_of_the_alerts());
    assert_eq!((dashboard.len() >= 10, alerts.len()), (true, ALERTS.matches("- alert: ").count()));
    check(&dashboard, &families);
    check(&alerts, &families);
    for (name, labels) in &families {
        let is_in_base_units = !["milli", "micro", "nano", "minutes", "hours", "kilo"].iter().any(|unit| name.contains(unit));
        assert!(is_in_base_units, "{name} is not in seconds or bytes");
        assert_eq!(labels.get("daemon"), Some(&BTreeSet::from(["default".to_owned()])), "{name} says which daemon it is of");
        assert!(text.contains(&format!("# HELP {name} ")) && text.contains(&format!("# TYPE {name} ")), "{name} in:\n{text}");
    }
}

#[test]
fn an_alert_is_about_one_daemon_of_one_machine() {
    for expression in expressions_of_the_alerts() {
        for word in [" by (", " on ("] {
            for (at, _) in expression.match_indices(word) {
                assert!(expression[at + word.len()..].starts_with("instance, daemon)"), "{expression}");
            }
        }
    }
    let summaries: Vec<_> = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("summary: ")).collect();
    assert_eq!(summaries.len(), ALERTS.matches("- alert: ").count());
    for summary in summaries {
        assert!(summary.starts_with("\"{{ $labels.instance }} ({{ $labels.daemon }}): "), "{summary}");
    }
}

#[test]
fn an_expression_that_asks_for_what_is_not_there_is_found() {
    let known = families("# TYPE aesync_a gauge\naesync_a{state=\"x\"} 1\naesync_b 2");
    check(&["sum(aesync_a{state=~\"x\"}) - aesync_b{instance=~\"$i\"}".to_owned()], &known);
    for wrong in ["aesync_c", "aesync_a{kind=\"x\"}", "aesync_a{state=\"y\"}", "aesync_a{state!~\"x|y\"}", "up"] {
        let found = std::panic::catch_unwind(|| check(&[wrong.to_owned()], &known));
        assert!(found.is_err(), "{wrong}");
    }
}
