//! What a typed line asks for.

use std::path::PathBuf;

use lakechat_core::domain::{ChannelName, FileId};

/// What `/help` prints.
pub(super) const HELP: &str = "\
/join CHANNEL          talk there from here on
/leave                 stop following the channel you talk in
/history               the last messages again
/upload PATH           send a file
/download ID [PATH]    fetch a file
/quit                  end; so does Ctrl-D
//text                 say a line that begins with a slash";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Say(String),
    Join(ChannelName),
    Leave,
    History,
    Upload(PathBuf),
    Download(FileId, Option<PathBuf>),
    Quit,
    Help,
    Nothing,
    /// Not understood, and why.
    Wrong(String),
}

impl Line {
    pub fn parse(line: &str) -> Line {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.trim().is_empty() {
            return Line::Nothing;
        }
        if let Some(said) = line.strip_prefix("//") {
            return Line::Say(format!("/{said}"));
        }
        let Some(command) = line.strip_prefix('/') else {
            return Line::Say(line.to_owned());
        };
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        Line::command(word, rest.trim())
    }

    fn command(word: &str, rest: &str) -> Line {
        match (word, rest) {
            ("join", name) => match ChannelName::parse(name) {
                Ok(channel) => Line::Join(channel),
                Err(_) => Line::Wrong(format!("{name:?} can't be a channel's name")),
            },
            ("leave", "") => Line::Leave,
            ("history", "") => Line::History,
            ("upload", path) if !path.is_empty() => Line::Upload(path.into()),
            ("download", what) => Line::download(what),
            ("quit", "") => Line::Quit,
            ("help", "") => Line::Help,
            _ => Line::Wrong(format!("/{word} is not understood so; /help tells what is")),
        }
    }

    fn download(what: &str) -> Line {
        let (id, to) = what.split_once(' ').unwrap_or((what, ""));
        let to = Some(to.trim()).filter(|to| !to.is_empty());
        match FileId::parse(id) {
            Some(id) => Line::Download(id, to.map(PathBuf::from)),
            None => Line::Wrong(format!("{id:?} is no file's id")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_said_unless_they_begin_with_a_slash() {
        assert_eq!(
            Line::parse("hi  there\n"),
            Line::Say("hi  there".to_owned())
        );
        assert_eq!(Line::parse("//join ops"), Line::Say("/join ops".to_owned()));
        assert_eq!(Line::parse("  \r\n"), Line::Nothing);
    }

    #[test]
    fn commands_have_their_arguments() {
        let id = "3b241101-e2bb-4255-8caf-4136c566a962";
        let file = FileId::parse(id).unwrap();
        let ops = ChannelName::parse("ops").unwrap();
        for (line, meant) in [
            ("/join ops".to_owned(), Line::Join(ops)),
            ("/quit".to_owned(), Line::Quit),
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
            "/download x",
            "/dance",
            "/quit now",
        ] {
            assert!(matches!(Line::parse(wrong), Line::Wrong(_)), "{wrong}");
        }
    }
}
