//! The command line and the configuration, before a server runs.

use std::process::Output;

use integration_tests::{server, within};

async fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = server::command(args);
    command.current_dir(folder.path()).envs(env.iter().copied());
    let output = within(command.output()).await.expect("it runs");
    let left = folder.path().read_dir().expect("ours").count();
    assert_eq!(
        left, 0,
        "it made something of a configuration that it only looked at"
    );
    output
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).expect("text")
}

#[tokio::test]
async fn all_mistakes_are_told_at_once_with_exit_code_64() {
    let mistakes = [
        ("LAKECHAT_LISTEN", "nowhere"),
        ("LAKECHAT_LOG", "warning"),
        ("LAKECHAT_FILES__MAX_BYTES", "many"),
        ("LAKECHAT_LIMITS__SENDS_PER_USER", "-1"),
        ("LAKECHAT_SERVER__COLOUR", "red"),
        ("LAKECHAT_NONSENSE", "1"),
    ];
    for args in [&["serve"][..], &["config", "check"], &["config", "print"]] {
        let output = run(args, &mistakes).await;
        assert_eq!(
            output.status.code(),
            Some(64),
            "{args:?}: {}",
            said(&output)
        );
        for (name, _) in mistakes {
            assert!(
                said(&output).contains(name),
                "{args:?} {name}: {}",
                said(&output)
            );
        }
    }
}

#[tokio::test]
async fn kubernetes_own_variables_are_ignored() {
    let env = [
        ("LAKECHAT_PORT", "tcp://10.0.0.1:80"),
        ("LAKECHAT_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("LAKECHAT_SERVICE_HOST", "10.0.0.1"),
    ];
    let output = run(&["config", "check"], &env).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[tokio::test]
async fn configuration_is_printed_as_it_would_be_read() {
    let env = [("LAKECHAT_LIMITS__SENDS_PER_USER", "7")];
    let output = run(&["config", "print"], &env).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(printed.contains("sends_per_user = 7"), "{printed}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &printed).expect("ours");
    let path = file.path().to_str().expect("text");
    let again = run(&["config", "print", "--config", path], &[]).await;
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert!(
        said(&again).contains("sends_per_user = 7"),
        "{}",
        said(&again)
    );
}

#[tokio::test]
async fn unknown_key_of_a_file_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "[limits]\nsends_per_person = 1\n").expect("ours");
    let path = file.path().to_str().expect("text");
    let output = run(&["config", "check", "--config", path], &[]).await;
    assert_eq!(output.status.code(), Some(64));
    assert!(
        said(&output).contains("sends_per_person"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn version_is_told() {
    let output = run(&["version"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(
        said(&output).contains(env!("CARGO_PKG_VERSION")),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn exit_codes_are_told_by_help_and_kept() {
    let help = run(&["--help"], &[]).await;
    assert_eq!(help.status.code(), Some(0));
    for line in ["  0  ", "  1  ", "  2  ", "  64  ", "  129, 130, 143  "] {
        assert!(said(&help).contains(line), "{line}: {}", said(&help));
    }
    let unknown = run(&["serve", "--bogus"], &[]).await;
    assert_eq!(unknown.status.code(), Some(2));
    let mistaken = run(&["serve", "--listen", "nowhere"], &[]).await;
    assert_eq!(mistaken.status.code(), Some(64));
}
