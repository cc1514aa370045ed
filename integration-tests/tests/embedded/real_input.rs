//! Read back from a data folder, by `sqlite3` and `sha256sum`.

use std::process::Command;

use integration_tests::input::Input;
use integration_tests::{Person, Server, eventually};
use serde_json::Value;

use crate::MODE;

fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|_| panic!("{program} is installed"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn sqlite3(server: &Server, query: &str) -> Vec<Value> {
    let database = server.database();
    let path = database.to_str().expect("UTF-8");
    let rows = output_of("sqlite3", &["-readonly", "-json", path, query]);
    if rows.trim().is_empty() {
        return Vec::new();
    }
    serde_json::from_str(&rows).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_tree_and_readme_come_back_from_a_folder_as_they_were() {
    let input = Input::read();
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let stored = input.upload(&server, &ann).await;
    for (name, path) in &input.files {
        let sum = output_of("sha256sum", &["--binary", path.to_str().expect("UTF-8")]);
        let sum = sum.trim_start_matches('\\').split(' ').next();
        assert_eq!(sum, Some(&*stored[name.as_str()].sha256), "{name}");
    }
    let rows = sqlite3(
        &server,
        "SELECT name, size, sha256 FROM files ORDER BY name",
    );
    assert_eq!(rows.len(), input.files.len());
    for row in rows {
        let name = row["name"].as_str().expect("a name");
        assert_eq!(row["sha256"], stored[name].sha256);
        let size = input.files[name].metadata().expect("readable").len();
        assert_eq!(row["size"], size, "{name}");
    }

    let mut ws = ann.joined(&server, "general").await;
    let history = input.say(&server, &ann, &mut ws).await;
    let rows = eventually("all of it is archived", async || {
        let query = "SELECT id, sender, text, n FROM messages \
                     WHERE channel = 'general' AND sender IS NOT NULL ORDER BY n";
        let rows = sqlite3(&server, query);
        (rows.len() == input.lines.len()).then_some(rows)
    })
    .await;
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(
            (&row["text"], &row["n"]),
            (&input.lines[at].as_str().into(), &(at + 1).into())
        );
        let id = history[at]["id"].as_str().expect("an id");
        assert_eq!(format!("{:020}", row["id"].as_u64().expect("a number")), id);
        assert_eq!(row["sender"], "ann");
    }
}
