//! What the documents show is typed and read again: HBase shell and commands, on rows that a real
//! server has written.

mod alike;
mod scene;
mod transcript;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration_tests::hbase_shell::{self, Step};
use integration_tests::stack;

use alike::Run;
use scene::Scene;
use transcript::Examples;

/// The commands of a Hadoop platform, as the stack has them.
const PLATFORM: &str = r#"set -euo pipefail
hbase() { "$STACK" shell; }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_for_rows_give_what_the_document_shows() -> Result<()> {
    let examples = Examples::of("docs/rows.md");
    let steps = examples.statements.iter().chain(&examples.commands);
    let lines = steps.flat_map(|step| step.answer.iter().chain([&step.typed]));
    let shown = Run::shown_in(lines.map(String::as_str));

    let scene = Scene::play().await?;
    let run = &scene.run;
    assert_eq!(
        shown.ids.len(),
        run.ids.len(),
        "the document shows {shown:?}"
    );
    let carry = |step: &Step| shown.carry(&step.typed, run, &scene.cluster);

    // Statements erase at last, so commands come first.
    for step in &examples.commands {
        let printed = tokio::task::block_in_place(|| in_bash(&carry(step)))?;
        compare(&shown, step, run, &lines_of(&printed));
    }
    let script: String = examples
        .statements
        .iter()
        .map(|step| carry(step) + "\n")
        .collect();
    let printed = tokio::task::block_in_place(|| stack::hbase_shell(&script))?;
    let answers = hbase_shell::steps(&printed);
    assert_eq!(answers.len(), examples.statements.len(), "{printed}");
    for (step, answer) in examples.statements.iter().zip(&answers) {
        compare(&shown, step, run, &answer.answer);
    }
    Ok(())
}

/// A step without an answer in the document only has to be possible.
fn compare(shown: &Run, step: &Step, run: &Run, answer: &[String]) {
    if step.answer.is_empty() {
        return;
    }
    let (expected, found) = (shown.plain(&step.answer), run.plain(answer));
    let typed = &step.typed;
    assert_eq!(found, expected, "{typed}\nprints\n{}", answer.join("\n"));
}

fn in_bash(command: &str) -> Result<String> {
    let output = Command::new("bash")
        .args(["-c", &format!("{PLATFORM}{command}")])
        .env("STACK", stack::script())
        .output()
        .context("bash")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn lines_of(printed: &str) -> Vec<String> {
    printed.lines().map(str::to_owned).collect()
}
