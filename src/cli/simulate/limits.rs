//! Which of the server's settings is behind a refusal.

/// Parts of what the server says, with the setting to raise and what else helps.
const BEHIND: [(&str, &str, &str); 8] = [
    (
        "A channel ",
        "limits.sends_per_channel",
        "more --channels or a lower --rate",
    ),
    (
        " messages per second",
        "limits.sends_per_user",
        "more --users or a lower --rate",
    ),
    (
        " requests per second",
        "limits.requests_per_user",
        "a longer --stay",
    ),
    (
        "logins and registrations",
        "limits.logins_per_address",
        "nothing, if waiting is fine",
    ),
    (
        "connects per second",
        "limits.connects_per_address",
        "a longer --ramp",
    ),
    (
        "connections from your address",
        "limits.connections_per_address",
        "fewer --users",
    ),
    (
        "too many connections",
        "limits.connections_per_user",
        "users of its own for each run",
    ),
    (
        "message_too_large",
        "chat.text_bytes and chat.frame_bytes",
        "a smaller --size",
    ),
];

/// What to do about a refusal, if it is due to a limit.
pub fn advice(said: &str) -> Option<String> {
    let (_, key, otherwise) = BEHIND.iter().find(|(part, ..)| said.contains(part))?;
    Some(format!("raise {key} on the server; otherwise {otherwise}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_named() {
        for (said, key) in [
            (
                "rate_limited: A channel takes at most 200 messages per second on average.",
                "limits.sends_per_channel",
            ),
            (
                "rate_limited: You may send at most 20 messages per second on average.",
                "limits.sends_per_user",
            ),
            (
                "HTTP 429: rate_limited: Too many connects per second from your address; the limit is 50.",
                "limits.connects_per_address",
            ),
        ] {
            let advice = advice(said).expect(said);
            assert!(advice.contains(key), "{advice}");
        }
        assert_eq!(advice("broker_unavailable: try again"), None);
    }
}
