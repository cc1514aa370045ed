//! Tasks that end in the same stage, by name.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;

type TaskResult = Result<(), Box<dyn Error + Send + Sync>>;

/// How long a task may still take after its deadline.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Group {
    tasks: JoinSet<TaskResult>,
    names: HashMap<Id, &'static str>,
}

impl Group {
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        work: impl Future<Output = TaskResult> + Send + 'static,
    ) {
        let task = self.tasks.spawn(work);
        self.names.insert(task.id(), name);
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.names.values().copied()
    }

    /// Waits for the next task to end. None if there are none left.
    pub(super) async fn next(&mut self) -> Option<(&'static str, TaskResult)> {
        let ended = self.tasks.join_next_with_id().await?;
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(e) => (e.id(), Err(panic_text(e).into())),
        };
        let name = self.names.remove(&id).unwrap_or("unnamed");
        Some((name, result))
    }

    /// Waits for all tasks to end, and adds those that failed to `failed`.
    pub(super) async fn end(&mut self, failed: &mut Vec<&'static str>) {
        while let Some((name, result)) = self.next().await {
            if let Err(e) = result {
                tracing::error!(task = name, "task {name} failed: {e}");
                failed.push(name);
            }
        }
    }

    /// Like `end`, but aborts tasks that take longer than `GRACE`.
    pub(super) async fn end_now(&mut self, failed: &mut Vec<&'static str>) {
        if timeout(GRACE, self.end(failed)).await.is_err() {
            self.tasks.shutdown().await;
            self.names.clear();
        }
    }
}

fn panic_text(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(_) => "it panicked".to_owned(),
        Err(e) => e.to_string(),
    }
}
