//! Piped input: what is meant for a channel is said there or nowhere, and the exit code shows it.

use integration_tests::people::PASSWORD;
use integration_tests::terminal::{Piped, Terminal, pipe};
use integration_tests::{Person, Server};
use reqwest::Method;

use super::texts;
use crate::MODE;

#[tokio::test]
async fn with_text_every_line_is_said_as_it_is() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let lines = b"first\ncaf\xe9\r\n\n/var/log is full\n//x\n/quit\nlast";
    let ended = ann.pipes(&["--register", "--text"], lines).await;
    ended.succeeded();
    let bob = Person::register(&server, "bob").await;
    let said = [
        "first",
        "caf\u{fffd}",
        "/var/log is full",
        "//x",
        "/quit",
        "last",
    ];
    assert_eq!(texts(&server, &bob, "general").await, said);
}

#[tokio::test]
async fn input_that_cannot_be_read_fails_the_script() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let utf16 = b"\xff\xfej\0o\0b\0\n\0";
    let (_, stderr) = ann.pipes(&["--register"], utf16).await.failed();
    assert!(stderr.contains("iconv -f UTF-16"), "{stderr}");
    let mut long = vec![b'x'; 2 << 20];
    long.push(b'\n');
    let (_, stderr) = ann.pipes(&[], long).await.failed();
    assert!(stderr.contains("a line of more than"), "{stderr}");
    let bob = Person::register(&server, "bob").await;
    assert_eq!(texts(&server, &bob, "general").await, [""; 0]);
}

#[tokio::test]
async fn line_for_a_channel_that_cannot_be_joined_is_said_nowhere() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let lines = "before\n/join no-such-channel\nsecret\n";
    let ended = ann.pipes(&["--register"], lines).await;
    let (_, stderr) = ended.failed();
    assert!(
        stderr.contains("can't join #no-such-channel: channel_not_found"),
        "{stderr}"
    );
    let ended = ann
        .pipes(&["--channel", "no-such-channel"], "secret\n")
        .await;
    let (_, stderr) = ended.failed();
    assert!(stderr.contains("channel_not_found"), "{stderr}");
    let bob = Person::register(&server, "bob").await;
    assert_eq!(texts(&server, &bob, "general").await, ["before"]);
}

#[tokio::test]
async fn line_after_leaving_is_said_nowhere() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let bob = Person::register(&server, "bob").await;
    bob.create_channel(&server, "ops").await;
    let lines = "/join ops\n/leave\nsecret\n/join general\nafter\n";
    let ended = ann.pipes(&["--register"], lines).await;
    let (stdout, stderr) = ended.failed();
    assert!(
        stdout.contains("not sent, because you are in no channel: secret"),
        "{stdout}"
    );
    assert!(stderr.contains("1 lines or files failed"), "{stderr}");
    assert_eq!(texts(&server, &bob, "general").await, ["after"]);
    assert_eq!(texts(&server, &bob, "ops").await, [""; 0]);
}

#[tokio::test]
async fn line_after_the_end_of_the_membership_is_said_nowhere() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let bob = Person::register(&server, "bob").await;
    bob.create_channel(&server, "ops").await;
    let command = ann.command(&["--register"]);
    let mut running = Piped::start(command);
    running.says("/join ops\nbefore\n").await;
    running.prints("ann: before").await;
    let token = server
        .http()
        .post(
            "/login",
            "",
            serde_json::json!({"username": "ann", "password": PASSWORD}),
        )
        .await
        .expect(200)
        .json();
    let token = token["token"].as_str().expect("a token");
    let http = server.http();
    http.call(Method::DELETE, "/channels/ops/members/ann", token)
        .await
        .expect(204);
    running.says("secret\n").await;
    let (_, stderr) = running.ended().await.failed();
    assert!(
        stderr.contains("you are no longer a member of #ops")
            || stderr.contains("lines or files failed"),
        "{stderr}"
    );
    assert_eq!(texts(&server, &bob, "general").await, [""; 0]);
    assert_eq!(texts(&server, &bob, "ops").await, ["before"]);
}

#[tokio::test]
async fn misspelt_command_fails_the_script() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let ended = ann.pipes(&["--register"], "/uplaod x\nhi\n").await;
    let (stdout, _) = ended.failed();
    assert!(stdout.contains("/uplaod is not a command"), "{stdout}");
    assert!(stdout.contains("ann: hi"), "{stdout}");
}

#[tokio::test]
async fn password_and_lines_are_never_taken_for_each_other() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let ended = pipe(ann.without_password(&["--register"]), "a line\n").await;
    let (_, stderr) = ended.failed();
    assert!(stderr.contains("--password-stdin"), "{stderr}");

    let input = format!("{PASSWORD}\none\n");
    let command = ann.without_password(&["--register", "--password-stdin"]);
    pipe(command, &input).await.succeeded();
    // With the saved login, too.
    let command = ann.without_password(&["--password-stdin"]);
    pipe(command, &input).await.succeeded();

    let other = Terminal::new(&server, "ann");
    std::fs::write(other.path("password"), format!("{PASSWORD}\n")).expect("ours");
    let mut command = other.without_password(&[]);
    command.env("LAKECHAT_PASSWORD_FILE", "password");
    pipe(command, "two\n").await.succeeded();
    pipe(other.without_password(&[]), "three\n")
        .await
        .succeeded();
    let bob = Person::register(&server, "bob").await;
    let said = ["one", "one", "two", "three"];
    assert_eq!(texts(&server, &bob, "general").await, said);
}

#[tokio::test]
async fn no_home_is_needed() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    std::fs::write(ann.path("file"), "").expect("ours");
    let mut command = ann.command(&["--register"]);
    command.env("XDG_STATE_HOME", ann.path("file/state"));
    let stdout = pipe(command, "from cron\n").await.succeeded();
    assert!(stdout.contains("the login will not be saved"), "{stdout}");
    let bob = Person::register(&server, "bob").await;
    assert_eq!(texts(&server, &bob, "general").await, ["from cron"]);
}

#[tokio::test]
async fn last_message_is_edited_reacted_to_and_deleted() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let mut running = Piped::start(ann.command(&["--register"]));
    running.says("helo\n").await;
    running.prints("ann: helo").await;
    running.says("/edit hello\n").await;
    running.prints("was edited: hello").await;
    running.says("/react \u{1f44d}\n").await;
    running.prints("ann reacts with \u{1f44d} to").await;
    running.says("/history\n").await;
    running.prints("ann: hello (edited)").await;
    running.says("/delete\n").await;
    running.prints("was deleted").await;
    running.says("/history\n").await;
    running.prints("ann: (deleted)").await;
    running.ended().await.succeeded();
    let bob = Person::register(&server, "bob").await;
    assert_eq!(texts(&server, &bob, "general").await, [""]);
}
