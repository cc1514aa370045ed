//! Why a connection ended, and whether to reconnect.

use std::time::Duration;

use http::StatusCode;

use crate::api::CallError;
use crate::event::Stop;
use crate::frame::Closing;
use crate::socket::OpenError;

/// Whether the next connection needs another access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenState {
    Usable,
    Expired,
    /// The server does not accept it. The login may still be valid, for example after the server's
    /// key was replaced; a renewal shows it.
    Rejected,
}

/// What follows the end of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Reconnect, after the time that the server demanded or else after the backoff.
    Reconnect {
        reason: String,
        after: Option<Duration>,
        token: TokenState,
    },
    Stop(Stop),
    /// The owner has dropped the session.
    Dropped,
}

impl Ending {
    /// The connection broke, or the server went silent.
    pub fn lost(reason: impl Into<String>) -> Ending {
        Ending::Reconnect {
            reason: reason.into(),
            after: None,
            token: TokenState::Usable,
        }
    }

    /// The server closed the connection. `announced` is its last `closing` frame.
    pub fn closed(code: Option<u16>, reason: String, announced: Option<Closing>) -> Ending {
        let announced = announced.unwrap_or_default();
        let code = match announced.code {
            0 => code.unwrap_or(1006),
            announced => announced,
        };
        let reason = match reason.is_empty() {
            true => announced.reason,
            false => reason,
        };
        let after = announced.reconnect_after_ms.or(announced.retry_after_ms);
        match code {
            4503 => Ending::Stop(Stop::NotAdmitted(reason)),
            4504 => Ending::Stop(Stop::ConnectionLimit(reason)),
            // The same frame would be wrong on the next connection too.
            1002 | 1003 | 1007 | 1009 | 4500 | 4502..=4999 => {
                Ending::Stop(Stop::Protocol { code, reason })
            }
            _ => Ending::Reconnect {
                reason: format!("closed by the server ({code} {reason})"),
                after: after.map(Duration::from_millis),
                token: match code {
                    4003 => TokenState::Expired,
                    4501 => TokenState::Rejected,
                    _ => TokenState::Usable,
                },
            },
        }
    }

    /// The connection could not be opened.
    pub fn not_opened(error: &OpenError) -> Ending {
        let after = match error {
            OpenError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        };
        let token = match error {
            OpenError::Unauthorized => TokenState::Rejected,
            _ => TokenState::Usable,
        };
        Ending::Reconnect {
            reason: error.to_string(),
            after,
            token,
        }
    }

    /// The token could not be renewed.
    pub fn not_renewed(error: &CallError) -> Ending {
        match error {
            CallError::Refused { status, refusal } if *status == StatusCode::UNAUTHORIZED => {
                Ending::Stop(Stop::LoginEnded(refusal.to_string()))
            }
            CallError::Refused { refusal, .. } => Ending::Reconnect {
                reason: refusal.to_string(),
                after: refusal.retry_after_ms.map(Duration::from_millis),
                token: TokenState::Expired,
            },
            CallError::Unreachable(_)
            | CallError::Redirected { .. }
            | CallError::Foreign { .. } => Ending::Reconnect {
                reason: error.to_string(),
                after: None,
                token: TokenState::Expired,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closing(code: u16, reconnect: Option<u64>, retry: Option<u64>) -> Option<Closing> {
        Some(Closing {
            code,
            reason: "why".to_owned(),
            reconnect_after_ms: reconnect,
            retry_after_ms: retry,
        })
    }

    #[test]
    fn codes_from_4500_on_are_final_but_for_a_rejected_token() {
        for code in [4500, 4503, 4504, 4999, 1002, 1007, 1009] {
            let ending = Ending::closed(Some(code), String::new(), None);
            assert!(matches!(ending, Ending::Stop(_)), "{code}");
        }
        for code in [
            1000, 1001, 1006, 1011, 4000, 4001, 4002, 4003, 4008, 4029, 4499, 4501,
        ] {
            let Ending::Reconnect { token, .. } = Ending::closed(Some(code), String::new(), None)
            else {
                panic!("{code} is not final");
            };
            let expected = match code {
                4003 => TokenState::Expired,
                4501 => TokenState::Rejected,
                _ => TokenState::Usable,
            };
            assert_eq!(token, expected, "{code}");
        }
    }

    #[test]
    fn the_server_says_when_to_come_back() {
        let after = |said| match Ending::closed(None, String::new(), said) {
            Ending::Reconnect { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            after(closing(4001, Some(1730), None)),
            Some(Duration::from_millis(1730))
        );
        assert_eq!(
            after(closing(4029, None, Some(9000))),
            Some(Duration::from_secs(9))
        );
        assert_eq!(after(None), None);
    }
}
