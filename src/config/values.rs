//! Values of the configuration with rules of their own.

use http::Uri;
use tracing_subscriber::EnvFilter;

use super::setting::TextSetting;
pub use crate::telemetry::LogFormat;

/// Which adapters stand behind the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything in one process and one folder.
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

    fn shown(&self) -> String {
        match self {
            Mode::Embedded => "embedded".to_owned(),
            Mode::Cluster => "cluster".to_owned(),
        }
    }
}

/// Scheme, host and port of an `http` or `https` URL, in lower case and without the scheme's own
/// port: two are the same origin if they are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// None for anything with a path, and for `null`.
    pub fn parse(text: &str) -> Option<Origin> {
        let (origin, rest) = split(text)?;
        rest.is_empty().then_some(origin)
    }
}

impl TextSetting for Origin {
    const ALLOWED: &str = "an origin such as https://chat.example or http://localhost:3000";

    fn parse(text: &str) -> Option<Origin> {
        Origin::parse(text)
    }

    fn shown(&self) -> String {
        self.0.clone()
    }
}

/// Where clients reach the service, behind whatever stands before it.
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

    fn shown(&self) -> String {
        self.join("")
    }
}

/// The origin of a URL and its path, which may be empty.
fn split(text: &str) -> Option<(Origin, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let own_port = match &*scheme {
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
    let origin = match (port(&uri)?, own_port) {
        (Some(port), own) if port != own => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    };
    Some((Origin(origin), path))
}

/// The port, if there is one; nothing for a port that is none: `Uri` lets `host:` and `host:99999`
/// pass.
fn port(uri: &Uri) -> Option<Option<u16>> {
    let authority = uri.authority()?;
    match authority.as_str().strip_prefix(authority.host())? {
        "" => Some(None),
        rest => rest.strip_prefix(':')?.parse().ok().map(Some),
    }
}

/// Which events are logged, in the language of tracing's `EnvFilter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    pub fn info() -> LogFilter {
        LogFilter("info".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextSetting for LogFilter {
    const ALLOWED: &str = "a level (error, warn, info, debug, trace), or levels by module such as \
                           info,lakechat::chat=debug";

    fn parse(text: &str) -> Option<LogFilter> {
        let good = !text.is_empty() && EnvFilter::try_new(text).is_ok();
        good.then(|| LogFilter(text.to_owned()))
    }

    fn shown(&self) -> String {
        self.0.clone()
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

    fn shown(&self) -> String {
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
        assert_eq!(url.shown(), "https://example.org:8443/chat");
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
        assert!(LogFilter::parse("info,lakechat::chat=debug").is_some());
        assert!(LogFilter::parse("lakechat=loud").is_none());
        assert!(LogFilter::parse("").is_none());
    }
}
