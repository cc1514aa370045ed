//! hyper's body with a time-out, a minimum rate, and our errors.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::BodyError;
use crate::http::min_rate::MinRate;
use crate::http::stall_timer::StallTimer;

/// The body of a request as the guard hands it to warp.
#[derive(Debug)]
pub struct TimedBody {
    body: hyper::body::Incoming,
    stall: StallTimer,
    rate: MinRate,
    ended: BodyEnd,
}

/// Whether a body was read to its end. If not, the response must close the connection.
#[derive(Clone, Debug)]
pub struct BodyEnd(Arc<AtomicBool>);

impl BodyEnd {
    pub fn is_reached(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl TimedBody {
    /// Each chunk may take `chunk_timeout`; all of them together must keep the rate.
    pub fn new(body: hyper::body::Incoming, chunk_timeout: Duration, rate: MinRate) -> TimedBody {
        let ended = BodyEnd(Arc::new(AtomicBool::new(body.is_end_stream())));
        TimedBody {
            body,
            stall: StallTimer::new(chunk_timeout),
            rate,
            ended,
        }
    }

    pub fn ended(&self) -> BodyEnd {
        self.ended.clone()
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            ready!(this.stall.poll_stalled(cx));
            let slow = BodyError::Stalled(this.stall.limit());
            return Poll::Ready(Some(Err(slow)));
        };
        let waited = this.stall.end_wait();
        let frame = frame.transpose().map_err(|e| broken(&e));
        if frame.is_ok() && (matches!(frame, Ok(None)) || this.body.is_end_stream()) {
            this.ended.0.store(true, Ordering::Release);
        } else if let Ok(Some(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            // Checked only before the end: a body that is complete is not refused for its rate.
            if let Err(slow) = this.rate.count(bytes, waited) {
                return Poll::Ready(Some(Err(slow.into())));
            }
        }
        Poll::Ready(frame.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn broken(error: &hyper::Error) -> BodyError {
    let cause = std::error::Error::source(error);
    BodyError::Broken(cause.map_or_else(|| error.to_string(), |c| format!("{error}: {c}")))
}
