//! The configurations that docs/cluster.md shows, as the binary reads them.

use std::path::Path;

use integration_tests::server::command;
use integration_tests::within;

/// What stands between ```` ```toml ```` and the end of the fence, of all such fences.
fn shown() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cluster.md");
    let text = std::fs::read_to_string(path).expect("a document");
    let fences = text.split("```toml\n").skip(1);
    let shown = fences.filter_map(|rest| Some(rest.split_once("```")?.0));
    shown.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn configuration_of_a_cluster_has_no_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lakechat.toml");
    std::fs::write(&file, shown()).expect("written");
    let checked = command(&["config", "check", "--config"])
        .arg(&file)
        .output();
    let output = within(checked).await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
