//! The reasons for closing a session, with the code and text that its client gets.

/// Why the server closes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    InternalError,
    ServerShutdown { reconnect_after_ms: u64 },
    HeartbeatTimeout,
    TokenExpired,
    SlowConsumer,
    Flood { retry_after_ms: u64 },
    ProtocolError,
    NotAuthenticated,
    AccountDisabled,
    ConnectionLimit,
}

/// Clients reconnect at random times within this many milliseconds.
const RECONNECT_SPREAD_MS: u64 = 10_000;

impl Close {
    /// A close for one client. Each client gets its own random delay, so that a deploy doesn't
    /// cause a storm of reconnects.
    pub fn server_shutdown() -> Close {
        let reconnect_after_ms = rand::random_range(0..=RECONNECT_SPREAD_MS);
        Close::ServerShutdown { reconnect_after_ms }
    }

    /// The code of the WebSocket's close frame.
    pub fn code(self) -> u16 {
        match self {
            Close::InternalError => 4000,
            Close::ServerShutdown { .. } => 4001,
            Close::HeartbeatTimeout => 4002,
            Close::TokenExpired => 4003,
            Close::SlowConsumer => 4008,
            Close::Flood { .. } => 4029,
            Close::ProtocolError => 4500,
            Close::NotAuthenticated => 4501,
            Close::AccountDisabled => 4503,
            Close::ConnectionLimit => 4504,
        }
    }

    /// The reason text that belongs to the code.
    pub fn reason(self) -> &'static str {
        match self {
            Close::InternalError => "internal_error",
            Close::ServerShutdown { .. } => "server_shutdown",
            Close::HeartbeatTimeout => "heartbeat_timeout",
            Close::TokenExpired => "token_expired",
            Close::SlowConsumer => "slow_consumer",
            Close::Flood { .. } => "flood",
            Close::ProtocolError => "protocol_error",
            Close::NotAuthenticated => "not_authenticated",
            Close::AccountDisabled => "account_disabled",
            Close::ConnectionLimit => "connection_limit",
        }
    }
}
