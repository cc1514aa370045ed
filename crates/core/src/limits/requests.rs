//! How much a user may ask for per second: HTTP calls, and frames that read.

use std::num::NonZeroU32;

use super::KeyedLimit;
use crate::domain::{Code, Problem, UserName};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// An HTTP call, or a frame that changes a message that has to be looked up.
    Call,
    /// A frame that joins a channel, and perhaps resumes it.
    Join,
    /// A page that back ends have to put together: of history, of channels, of presence.
    Page,
}

impl RequestKind {
    /// At most what [`KeyedLimit`] gives in a burst at a rate of 1.
    fn weight(self) -> NonZeroU32 {
        let weight = match self {
            RequestKind::Call | RequestKind::Join => 1,
            RequestKind::Page => 5,
        };
        NonZeroU32::new(weight).expect("not zero")
    }

    fn as_str(self) -> &'static str {
        match self {
            RequestKind::Call => "call",
            RequestKind::Join => "join",
            RequestKind::Page => "page",
        }
    }
}

/// One limit for everything that a user asks for, over HTTP and in all sessions together.
///
/// Reads share locks, back ends and their queues with everybody's sends. Without a limit one user
/// could hold them all.
pub struct RequestLimit {
    per_second: u32,
    buckets: KeyedLimit<UserName>,
}

impl RequestLimit {
    /// With `per_second` 0 there is no limit.
    pub fn new(per_second: u32) -> RequestLimit {
        RequestLimit {
            per_second,
            buckets: KeyedLimit::new(per_second),
        }
    }

    /// Counts a request; `rate_limited` if the user has asked for too much.
    pub fn admit(&self, user: &UserName, kind: RequestKind) -> Result<(), Problem> {
        let taken = self.buckets.take(user, kind.weight());
        taken.map_err(|wait| {
            metrics::counter!("lakechat_requests_limited_total", "kind" => kind.as_str())
                .increment(1);
            let limit = self.per_second;
            let text = format!(
                "A user may make at most {limit} requests per second on average; a page counts \
                 as five."
            );
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            Problem::new(Code::RateLimited, text)
                .limit(limit.into())
                .retry_after_ms(ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_weigh_more_than_calls_and_each_user_has_a_limit() {
        let user = |name| UserName::parse(name).expect("a name");
        let limit = RequestLimit::new(2);
        let (ann, bob) = (user("ann"), user("bob"));
        assert!(limit.admit(&ann, RequestKind::Page).is_ok());
        assert!(limit.admit(&ann, RequestKind::Call).is_ok());
        let problem = limit
            .admit(&ann, RequestKind::Page)
            .expect_err("4 are left");
        assert_eq!((problem.code, problem.limit), (Code::RateLimited, Some(2)));
        assert!((1..=500).contains(&problem.retry_after_ms.expect("a time")));
        assert!(
            limit.admit(&ann, RequestKind::Join).is_ok(),
            "nothing was taken"
        );
        assert!(limit.admit(&bob, RequestKind::Page).is_ok());
        let slowest = RequestLimit::new(1);
        assert!(slowest.admit(&ann, RequestKind::Page).is_ok());
    }
}
