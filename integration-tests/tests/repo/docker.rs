//! The files in `docker/` and `docker-compose.yml`, as the programs that read them see them, and against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use crate::documents::emitted;
use crate::{of_project, text};

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_owned();
    let output = command.current_dir(of_project(".")).output();
    output.unwrap_or_else(|error| panic!("{program:?} can't be run: {error}"))
}

fn succeeds(command: &mut Command) {
    let output = run(command);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn compose_accepts_the_file_without_and_with_the_sample_of_variables() {
    let none = tempfile::NamedTempFile::new().expect("a file");
    for variables in [none.path(), &of_project("docker/sample.env")] {
        let mut command = Command::new("docker-compose");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        succeeds(
            command
                .arg("--env-file")
                .arg(variables)
                .args(["config", "--quiet"]),
        );
    }
}

/// `${NAME:-default}` in a text.
fn variables(text: &str) -> BTreeMap<&str, &str> {
    let uses = text.split("${").skip(1);
    let variables = uses.filter_map(|rest| rest.split_once('}')?.0.split_once(":-"));
    variables.collect()
}

#[test]
fn sample_has_all_variables_with_their_defaults() {
    let compose = text("docker-compose.yml");
    let sample = text("docker/sample.env");
    let lines = sample.lines().filter(|line| !line.starts_with('#'));
    let given: BTreeMap<_, _> = lines.filter_map(|line| line.split_once('=')).collect();
    assert_eq!(given, variables(&compose));
    let uses = compose.matches("${").count();
    let with_default = compose.split("${").skip(1);
    let with_default = with_default.filter(|rest| rest.contains(":-")).count();
    assert_eq!(uses, with_default, "a variable without a default");
}

#[test]
fn nginx_accepts_the_configuration_of_its_container() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    for entry in std::fs::read_dir(of_project("docker/nginx")).expect("a folder") {
        let file = entry.expect("an entry").path();
        let name = file.file_name().expect("a name");
        std::fs::copy(&file, folder.path().join(name)).expect("copied");
    }
    succeeds(Command::new(folder.path().join("make-certificate")).arg(&path));
    // What the container has elsewhere, and names that are known only there.
    let own = text("docker/nginx/nginx.conf")
        .replace("/tmp/", &format!("{path}/"))
        .replace("/certificates/", &format!("{path}/"))
        .replace("/dev/stdout", &format!("{path}/access.log"))
        .replace("lakechat-a:", "127.0.0.1:")
        .replace("lakechat-b:", "127.0.0.2:");
    std::fs::write(folder.path().join("nginx.conf"), own).expect("written");
    for balance in ["sticky.conf", "random.conf"] {
        let (from, to) = (
            folder.path().join(balance),
            folder.path().join("balance.conf"),
        );
        std::fs::copy(from, to).expect("copied");
        let path_of_root = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut nginx = Command::new("nginx");
        nginx
            .env("PATH", path_of_root)
            .args(["-t", "-e", "stderr", "-c"]);
        succeeds(nginx.arg(folder.path().join("nginx.conf")));
    }
}

#[test]
fn prometheus_accepts_its_configuration_and_the_alert_rules() {
    let file = "docker/prometheus/prometheus.yml";
    succeeds(Command::new("promtool").args(["check", "config", file]));
}

/// The names that begin with `lakechat_`, without what Prometheus adds for the parts of a histogram.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    let names = words.filter(|word| word.starts_with("lakechat_"));
    let plain = |name: &str| {
        let histogram = ["_bucket", "_sum", "_count"];
        let stem = histogram.iter().find_map(|part| name.strip_suffix(part));
        stem.unwrap_or(name).to_owned()
    };
    names.map(plain).collect()
}

#[test]
fn dashboard_and_alert_rules_name_only_metrics_that_exist() {
    let emitted = emitted();
    for file in [
        "docker/grafana/lakechat.json",
        "docker/prometheus/rules.yml",
    ] {
        let named = metrics_in(&text(file));
        assert!(named.len() > 15, "{file} has only {named:?}");
        let unknown: Vec<_> = named.difference(&emitted).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn every_alert_of_the_document_that_needs_no_target_has_a_rule() {
    let document = text("docs/metrics.md");
    let (_, table) = document
        .split_once("## What to alert on")
        .expect("a chapter");
    let (table, _) = table.split_once("\n## ").expect("its end");
    // Figures of which only the operator knows what is unusual.
    let unusual = [
        "lakechat_slow_consumers_total",
        "lakechat_falls_behind_total",
    ];
    let listed = metrics_in(table);
    let named = metrics_in(&text("docker/prometheus/rules.yml"));
    let conditions = listed.iter().filter(|name| {
        let first = table
            .lines()
            .filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
        first
            .into_iter()
            .any(|cell| metrics_in(cell).contains(*name))
    });
    let missing: Vec<_> = conditions
        .filter(|name| !named.contains(*name) && !unusual.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "without a rule: {missing:?}");
}

#[test]
fn dashboard_is_json_with_a_query_and_a_title_in_every_panel() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&text("docker/grafana/lakechat.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut rows = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        if panel["type"] == "row" {
            rows.insert(title);
            continue;
        }
        let targets = panel["targets"].as_array().expect(title);
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let query = target["expr"].as_str().expect(title);
            assert!(query.contains("lakechat_"), "{title}: {query}");
        }
    }
    let expected = ["Lag", "Latency", "Parts", "Resources", "Traffic"];
    assert_eq!(rows, BTreeSet::from(expected));
}
