//! The terminal client on a terminal.

use integration_tests::people::PASSWORD;
use integration_tests::terminal::{OnScreen, Terminal};
use integration_tests::{Person, Server};

use super::texts;
use crate::MODE;

const WITH_PASSWORD: [(&str, &str); 1] = [("LAKECHAT_PASSWORD", PASSWORD)];

#[tokio::test]
async fn all_that_was_said_is_on_the_screen_and_the_terminal_is_left_as_it_was() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let mut terminal = OnScreen::start(&ann, &["--register"], &WITH_PASSWORD);
    let before = terminal.mode();
    terminal.shows("#general").await;
    terminal.reads_keys().await;
    let pasted: String = (0..60).map(|n| format!("paste-{n}\n")).collect();
    terminal.types(pasted).await;
    terminal.shows("ann: paste-59").await;
    terminal.types(format!("{}\n", "w".repeat(200))).await;
    terminal.shows("ann: www").await;
    // Drawn after the whole message.
    terminal.types("half a li\x7f\x7fline").await;
    terminal.shows("half a line").await;
    let rows = terminal.rows();
    for n in 0..60 {
        let said = format!("ann: paste-{n}");
        let shown = rows.iter().filter(|row| row.ends_with(&said)).count();
        assert_eq!(shown, 1, "{said}: {rows:#?}");
    }
    // One message in indented rows, and nothing of what was typed.
    let wide: Vec<_> = rows.iter().filter(|row| row.contains("www")).collect();
    assert!(wide[0].contains("ann: www"), "{rows:#?}");
    assert!(
        wide[1..].iter().all(|row| row.starts_with("    w")),
        "{rows:#?}"
    );
    let sum: usize = wide.iter().map(|row| row.matches('w').count()).sum();
    assert_eq!(sum, 200, "{rows:#?}");

    terminal.types("\x15/quit\n").await;
    assert!(terminal.ended().await.success());
    assert!(!terminal.rows().iter().any(|row| row.contains("/quit")));
    let after = terminal.mode();
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!(after.input_modes, before.input_modes);
    let bob = Person::register(&server, "bob").await;
    assert_eq!(texts(&server, &bob, "general").await.len(), 61);
}

#[tokio::test]
async fn person_without_a_channel_is_asked_for_one() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let mut terminal = OnScreen::start(&ann, &["--register"], &WITH_PASSWORD);
    terminal.shows("#general").await;
    terminal.types("/join no-such-channel\nsecret\n").await;
    terminal.shows("you are in no channel: /join CHANNEL").await;
    terminal
        .shows("not sent, because you are in no channel: secret")
        .await;
    terminal.types("/join general\nhello\n").await;
    terminal.shows("ann: hello").await;
    terminal.types("\x04").await;
    assert!(terminal.ended().await.success());
    let bob = Person::register(&server, "bob").await;
    assert_eq!(texts(&server, &bob, "general").await, ["hello"]);
}

#[tokio::test]
async fn interrupt_restores_the_terminal_at_the_password_and_in_the_chat() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let mut terminal = OnScreen::start(&ann, &[], &[]);
    let before = terminal.mode().local_modes;
    terminal.shows("Password of ann:").await;
    terminal.types("secr\x03").await;
    assert!(!terminal.ended().await.success());
    assert_eq!(terminal.mode().local_modes, before);

    let mut terminal = OnScreen::start(&ann, &["--register"], &WITH_PASSWORD);
    terminal.shows("#general").await;
    terminal.reads_keys().await;
    terminal.types("half a line\x03").await;
    assert!(terminal.ended().await.success());
    assert_eq!(terminal.mode().local_modes, before);
}

#[tokio::test]
async fn file_gets_no_escape_sequences() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let log = std::fs::File::create(ann.path("log")).expect("ours");
    let mut terminal = OnScreen::start_with(&ann, &["--register"], &WITH_PASSWORD, |command| {
        command.stdout(log)
    });
    terminal.types("hello\n\x04").await;
    assert!(terminal.ended().await.success());
    let log = std::fs::read_to_string(ann.path("log")).expect("UTF-8");
    assert!(log.contains("ann: hello"), "{log:?}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
}
