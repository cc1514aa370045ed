//! What waits for a connection.

use lakechat_core::ports::Caller;
use lakechat_core::threads::{Call, Context, Lost, Rejected, WorkQueue};

use super::connection::Connection;
use super::error::HBaseError;
use super::lanes::Lanes;

/// Calls work with a connection. One may run twice, when the first connection turns out to be dead.
pub(super) enum Thrift {}

impl Context for Thrift {
    type Ref<'a> = &'a mut Connection;
    type Error = HBaseError;
}

/// Which calls a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    All,
    /// Those of the server's own, such as the check of a token.
    OnlyOwn,
}

/// The way to the connections of one kind.
pub(super) struct Queue(WorkQueue<Lanes<Thrift>>);

impl Queue {
    pub fn new() -> Queue {
        Queue(WorkQueue::new(Lanes::new()))
    }

    /// Does `work` over a connection. Dropping the future gives the call up unless it runs already.
    ///
    /// If too many calls wait it fails with `Unavailable`: the caller can try again, and a back end that
    /// is slow is not helped by more work.
    pub async fn call<T, W>(&self, work: W) -> Result<T, HBaseError>
    where
        W: Fn(&mut Connection) -> Result<T, HBaseError> + Send + 'static,
        T: Send + 'static,
    {
        let (call, answer) = Call::<Thrift>::new(work);
        let pushed = self.0.push(|lanes| lanes.push(Caller::current(), call));
        pushed.map_err(|rejected| match rejected {
            Rejected::Full(full) => {
                metrics::counter!("lakechat_hbase_refused_total").increment(1);
                HBaseError::Unavailable(full.to_string())
            }
            Rejected::Closed => stopping(),
        })?;
        answer.wait().await.unwrap_or_else(|Lost| Err(stopping()))
    }

    /// Waits for a call; `None` once closed.
    pub fn take(&self, takes: Takes) -> Option<Call<Thrift>> {
        self.0.take(|lanes| match takes {
            Takes::All => lanes.pop(),
            Takes::OnlyOwn => lanes.pop_own(),
        })
    }

    /// Takes nothing more and drops what waits, which answers it.
    pub fn close(&self) {
        self.0.abandon();
    }

    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

pub(super) fn stopping() -> HBaseError {
    HBaseError::Unavailable("the server is stopping".to_owned())
}
