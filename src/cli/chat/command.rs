//! Typed lines: texts to send, and commands.

use std::path::PathBuf;

use lakechat_core::domain::{ChannelName, FileId};

/// The output of `/help`.
pub(super) const HELP: &str = "\
/join CHANNEL          join a channel and talk there
/leave                 leave the current channel
/history               show the last messages again
/edit TEXT             replace the text of your last message
/delete                delete your last message
/react EMOJI           react to the last message
/upload PATH           send a file
/download ID [PATH]    fetch a file
/quit                  quit, like Ctrl-D
//text                 send a line that begins with a slash";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(String),
    Join(ChannelName),
    Leave,
    History,
    /// Changes the user's last message in the channel.
    Edit(String),
    Delete,
    /// Reacts to the last message in the channel.
    React(String),
    Upload(PathBuf),
    Download(FileId, Option<PathBuf>),
    Quit,
    Help,
    Empty,
    /// Not a valid command, and why.
    Invalid(String),
}

impl Line {
    /// A line in which a slash means nothing.
    pub fn verbatim(line: &str) -> Line {
        match line.trim().is_empty() {
            true => Line::Empty,
            false => Line::Text(line.to_owned()),
        }
    }

    /// A line that is a command if it begins with a slash.
    pub fn parse(line: &str) -> Line {
        if line.trim().is_empty() {
            return Line::Empty;
        }
        if let Some(text) = line.strip_prefix("//") {
            return Line::Text(format!("/{text}"));
        }
        let Some(command) = line.strip_prefix('/') else {
            return Line::Text(line.to_owned());
        };
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        Line::command(word, rest.trim())
    }

    fn command(word: &str, rest: &str) -> Line {
        match (word, rest) {
            ("join", name) => match ChannelName::parse(name) {
                Ok(channel) => Line::Join(channel),
                Err(_) => Line::Invalid(format!("{name:?} is not a valid channel name")),
            },
            ("leave", "") => Line::Leave,
            ("history", "") => Line::History,
            ("edit", text) if !text.is_empty() => Line::Edit(text.to_owned()),
            ("delete", "") => Line::Delete,
            ("react", emoji) if !emoji.is_empty() => Line::React(emoji.to_owned()),
            ("upload", path) if !path.is_empty() => Line::Upload(path.into()),
            ("download", what) => Line::download(what),
            ("quit", "") => Line::Quit,
            ("help", "") => Line::Help,
            _ => Line::Invalid(format!(
                "/{word} is not a command with these arguments; see /help, and --text to send such lines"
            )),
        }
    }

    fn download(what: &str) -> Line {
        let (id, to) = what.split_once(' ').unwrap_or((what, ""));
        let to = Some(to.trim()).filter(|to| !to.is_empty());
        match FileId::parse_given(id) {
            Some(id) => Line::Download(id, to.map(PathBuf::from)),
            None => Line::Invalid(format!("{id:?} is not a file id")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sent_unless_they_begin_with_a_slash() {
        assert_eq!(Line::parse("hi  there"), Line::Text("hi  there".to_owned()));
        assert_eq!(
            Line::parse("//join ops"),
            Line::Text("/join ops".to_owned())
        );
        assert_eq!(Line::parse("  "), Line::Empty);
        for line in ["/var/log is full", "//join ops", "/quit"] {
            assert_eq!(Line::verbatim(line), Line::Text(line.to_owned()));
        }
        assert_eq!(Line::verbatim(" \t"), Line::Empty);
    }

    #[test]
    fn commands_have_their_arguments() {
        let id = "3b241101-e2bb-4255-8caf-4136c566a962";
        let file = FileId::parse(id).unwrap();
        let ops = ChannelName::parse("ops").unwrap();
        for (line, meant) in [
            ("/join ops".to_owned(), Line::Join(ops)),
            ("/quit".to_owned(), Line::Quit),
            ("/edit a  b".to_owned(), Line::Edit("a  b".to_owned())),
            ("/delete".to_owned(), Line::Delete),
            ("/react 👍".to_owned(), Line::React("👍".to_owned())),
            (
                "/upload  my notes.txt".to_owned(),
                Line::Upload("my notes.txt".into()),
            ),
            (format!("/download {id}"), Line::Download(file, None)),
            (
                format!("/download {id} a b"),
                Line::Download(file, Some("a b".into())),
            ),
        ] {
            assert_eq!(Line::parse(&line), meant);
        }
        for wrong in [
            "/join",
            "/join NO",
            "/upload",
            "/edit",
            "/delete it",
            "/react",
            "/download x",
            "/dance",
            "/quit now",
        ] {
            assert!(matches!(Line::parse(wrong), Line::Invalid(_)), "{wrong}");
        }
    }
}
