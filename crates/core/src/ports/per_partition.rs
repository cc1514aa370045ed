//! An answer per partition.

use super::PortError;
use crate::domain::Partition;

/// What a back end answers about each partition: a value, or why it has none for this one. So trouble with
/// one partition doesn't reach the others.
#[derive(Debug)]
pub struct PerPartition<T>(Vec<Result<T, PortError>>);

impl<T> PerPartition<T> {
    pub fn get(&self, partition: Partition) -> Result<&T, &PortError> {
        self.0[partition.index()].as_ref()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Partition, Result<&T, &PortError>)> {
        (0..).map(Partition).zip(self.0.iter().map(Result::as_ref))
    }

    pub fn map<U>(self, change: impl Fn(Partition, T) -> U) -> PerPartition<U> {
        let answers = (0..).map(Partition).zip(self.0);
        answers
            .map(|(partition, answer)| Ok(change(partition, answer?)))
            .collect()
    }

    /// For callers that need all partitions: the values, or the first error.
    pub fn all(self) -> Result<Vec<T>, PortError> {
        self.0.into_iter().collect()
    }
}

/// In the order of the partitions.
impl<T> FromIterator<Result<T, PortError>> for PerPartition<T> {
    fn from_iter<I: IntoIterator<Item = Result<T, PortError>>>(answers: I) -> Self {
        PerPartition(answers.into_iter().collect())
    }
}

impl<T> From<Vec<T>> for PerPartition<T> {
    fn from(values: Vec<T>) -> Self {
        values.into_iter().map(Ok).collect()
    }
}
