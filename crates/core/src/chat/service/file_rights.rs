//! The right to read a file.

use futures_util::{Stream, StreamExt, stream};

use super::Chat;
use crate::domain::{File, Problem, UserName};
use crate::ports::problem::directory_unavailable;

impl Chat {
    /// Whether a user may read a file. Its uploader may, and everybody who may read a channel in
    /// which it was posted.
    ///
    /// If one channel can't be checked, another may still grant the right. If no channel grants it,
    /// the first error is returned instead of `false`: a client takes a refusal as final, but
    /// retries after an error.
    pub async fn may_read_file(&self, user: &UserName, file: &File) -> Result<bool, Problem> {
        if file.uploader == *user {
            return Ok(true);
        }
        let channels = self.directory.file_rows.posted_in(file.id).await;
        let channels = channels.map_err(directory_unavailable)?;
        let answers =
            stream::iter(channels).then(async |channel| self.may_read(user, &channel).await);
        any_true(answers).await
    }
}

/// True if one of the answers is true. Otherwise the first error, or false if there was none.
async fn any_true(answers: impl Stream<Item = Result<bool, Problem>>) -> Result<bool, Problem> {
    let mut answers = std::pin::pin!(answers);
    let mut problem = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    problem.map_or(Ok(false), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Code;

    #[tokio::test]
    async fn a_right_by_one_channel_is_not_hidden_by_anothers_problem() {
        let away = |code| Err(Problem::new(code, "away"));
        let (first, second) = (Code::HistoryUnavailable, Code::DirectoryUnavailable);
        for (answers, may) in [
            (vec![], Ok(false)),
            (vec![Ok(false), Ok(true)], Ok(true)),
            (vec![away(first), Ok(true)], Ok(true)),
            (vec![away(first), Ok(false), away(second)], Err(first)),
        ] {
            let asked = any_true(stream::iter(answers)).await;
            assert_eq!(asked.map_err(|problem| problem.code), may);
        }
    }
}
