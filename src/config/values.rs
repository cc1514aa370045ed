//! Settings with a syntax of their own.

use http::Uri;
use tracing_subscriber::EnvFilter;

use super::setting::TextSetting;
use super::text::checked_text;
pub use crate::telemetry::LogFormat;
pub use lakechat_core::accounts::Registration;

/// Which adapters implement the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One process with one data folder.
    Embedded,
    /// Kafka, HBase, HDFS and Redis.
    Cluster,
}

impl TextSetting for Mode {
    const ALLOWED: &str = "\"embedded\" or \"cluster\"";

    fn parse(text: &str) -> Option<Mode> {
        match text {
            "embedded" => Some(Mode::Embedded),
            "cluster" => Some(Mode::Cluster),
            _ => None,
        }
    }

    fn to_text(&self) -> String {
        match self {
            Mode::Embedded => "embedded".to_owned(),
            Mode::Cluster => "cluster".to_owned(),
        }
    }
}

impl TextSetting for Registration {
    const ALLOWED: &str = "\"open\", \"invite\" or \"closed\"";

    fn parse(text: &str) -> Option<Registration> {
        match text {
            "open" => Some(Registration::Open),
            "invite" => Some(Registration::Invite),
            "closed" => Some(Registration::Closed),
            _ => None,
        }
    }

    fn to_text(&self) -> String {
        match self {
            Registration::Open => "open".to_owned(),
            Registration::Invite => "invite".to_owned(),
            Registration::Closed => "closed".to_owned(),
        }
    }
}

/// Scheme, host and port of an `http` or `https` URL, in lower case and without the scheme's
/// default port. Two values are equal if they are the same origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// None for a URL with a path, and for `null`.
    pub fn parse(text: &str) -> Option<Origin> {
        let (origin, rest) = split(text)?;
        rest.is_empty().then_some(origin)
    }

    /// Without the port; an IPv6 address is in brackets.
    pub fn host(&self) -> String {
        let uri: Uri = self.0.parse().expect("an origin is a URL");
        uri.host().expect("an origin has a host").to_owned()
    }
}

impl TextSetting for Origin {
    const ALLOWED: &str = "an origin such as https://chat.example or http://localhost:3000";

    fn parse(text: &str) -> Option<Origin> {
        Origin::parse(text)
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

/// The URL at which clients reach the service, through its proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: Origin,
    path: String,
}

impl PublicUrl {
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The URL of a path that begins with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin.0, self.path)
    }
}

impl TextSetting for PublicUrl {
    const ALLOWED: &str = "a URL such as https://chat.example or https://example.org/chat, \
                           without user, query and fragment";

    fn parse(text: &str) -> Option<PublicUrl> {
        let (origin, path) = split(text)?;
        let path = path.trim_end_matches('/').to_owned();
        Some(PublicUrl { origin, path })
    }

    fn to_text(&self) -> String {
        self.join("")
    }
}

/// The origin of a URL and its path, which may be empty.
fn split(text: &str) -> Option<(Origin, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match &*scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    if rest.contains(['?', '#', '@']) {
        return None;
    }
    let path = &rest[rest.find('/').unwrap_or(rest.len())..];
    let uri: Uri = text.parse().ok()?;
    let host = Some(uri.host()?.to_ascii_lowercase()).filter(|host| !host.is_empty())?;
    let origin = match (port(&uri)?, default_port) {
        (Some(port), default) if port != default => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    };
    Some((Origin(origin), path))
}

/// The port, if one is given. None for an invalid one: `Uri` accepts `host:` and `host:99999`.
fn port(uri: &Uri) -> Option<Option<u16>> {
    let authority = uri.authority()?;
    match authority.as_str().strip_prefix(authority.host())? {
        "" => Some(None),
        rest => rest.strip_prefix(':')?.parse().ok().map(Some),
    }
}

checked_text! {
    /// Which events are logged, in the syntax of tracing's `EnvFilter`.
    LogFilter,
    "a level (off, error, warn, info, debug, trace), or levels by module such as \
     info,lakechat_core::chat=debug",
    |text| {
        let good = text.split(',').all(ends_with_level) && EnvFilter::try_new(text).is_ok();
        good.then(|| text.to_owned())
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether a directive is a level, or sets one. `EnvFilter` also takes a word that is no level, such as
/// `warning`, and then logs nothing but a module of this name.
fn ends_with_level(directive: &str) -> bool {
    let level = directive
        .rsplit_once('=')
        .map_or(directive, |(_, level)| level);
    LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level))
}

impl LogFilter {
    pub fn info() -> LogFilter {
        LogFilter("info".to_owned())
    }
}

impl TextSetting for LogFormat {
    const ALLOWED: &str = "\"text\" or \"json\"";

    fn parse(text: &str) -> Option<LogFormat> {
        match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }

    fn to_text(&self) -> String {
        match self {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_equal_if_scheme_host_and_port_are() {
        let of = |text| Origin::parse(text).map(|origin| origin.0);
        assert_eq!(
            of("HTTPS://Chat.Example:443").as_deref(),
            Some("https://chat.example")
        );
        assert_eq!(
            of("http://[::1]:8080").as_deref(),
            Some("http://[::1]:8080")
        );
        assert_ne!(of("http://a:443"), of("https://a"));
        for bad in [
            "null",
            "*",
            "chat.example",
            "https://a/",
            "https://",
            "ftp://a",
            "http://a:",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_public_url_may_have_a_path_and_nothing_behind_it() {
        let url = PublicUrl::parse("https://Example.org:8443/chat/").expect("a URL");
        assert_eq!(url.origin().0, "https://example.org:8443");
        assert_eq!(
            url.join("/download/1"),
            "https://example.org:8443/chat/download/1"
        );
        assert_eq!(url.origin().host(), "example.org");
        assert_eq!(url.to_text(), "https://example.org:8443/chat");
        for bad in [
            "",
            "chat.example",
            "ws://chat.example",
            "https://u:p@chat.example",
            "https://chat.example/?a=1",
            "https://chat.example/#top",
            "https://chat.example:99999",
            "https://chat example",
        ] {
            assert_eq!(PublicUrl::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn log_filters_are_checked() {
        for good in [
            "info",
            "OFF",
            "info,lakechat_core::chat=debug",
            "hyper=warn,trace",
        ] {
            assert!(LogFilter::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "warning",
            "err",
            "verbose",
            "lakechat_core",
            "lakechat=loud",
            "lakechat=",
            "info,",
            "info,warning",
        ] {
            assert!(LogFilter::parse(bad).is_none(), "{bad}");
        }
    }
}
