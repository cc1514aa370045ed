//! Addresses of the services of a cluster.

use std::fmt;

use http::Uri;
use toml::Value;

use super::setting::{Bounds, Setting, TextSetting};
use super::source::Raw;
use super::text::checked_text;

/// One or more `host:port`, each of which leads to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPorts(Vec<String>);

impl HostPorts {
    #[cfg(feature = "cluster")]
    pub fn each(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Separated by commas.
    pub fn joined(&self) -> String {
        self.0.join(",")
    }
}

impl TextSetting for HostPorts {
    const ALLOWED: &str = "host:port, or several separated by commas";

    fn parse(text: &str) -> Option<HostPorts> {
        let one = |text: &str| has_host_and_port(text).then(|| text.to_owned());
        let all = text.split(',').map(|text| one(text.trim()));
        all.collect::<Option<_>>().map(HostPorts)
    }

    fn to_text(&self) -> String {
        self.joined()
    }
}

fn has_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let named = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let good = !host.is_empty() && (bracketed || host.bytes().all(named));
    good && port.parse::<u16>().is_ok_and(|port| port > 0)
}

checked_text! {
    /// A NameNode or a name service: `hdfs://host:port` or `hdfs://service`.
    HdfsUrl, "hdfs://host:port or hdfs://service, without a path",
    |text| {
        let url = text.strip_suffix('/').unwrap_or(text);
        let uri: Uri = url.parse().ok()?;
        let good = uri.scheme_str() == Some("hdfs")
            && uri.host().is_some_and(|host| !host.is_empty())
            && !url.contains(['@', '?', '#'])
            && uri.path().trim_end_matches('/').is_empty();
        good.then(|| url.to_owned())
    }
}

checked_text! {
    /// An absolute path in HDFS, without a slash at its end.
    HdfsPath, "a path such as /lakechat: not the root, without '.' and '..'",
    |text| {
        let path = text.trim_end_matches('/');
        let good = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && !part.contains([':', '\0'])
        };
        let parts = path.strip_prefix('/')?;
        parts.split('/').all(good).then(|| path.to_owned())
    }
}

/// A Redis server: `redis://[user:password@]host:port[/database]`, `rediss://` with TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl RedisUrl {
    /// Including its password.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        let after_scheme = self.0.split_once("://").map_or(&*self.0, |(_, rest)| rest);
        let after_login = after_scheme
            .rsplit_once('@')
            .map_or(after_scheme, |(_, rest)| rest);
        after_login.split('/').next().unwrap_or(after_login)
    }
}

impl RedisUrl {
    fn parse(text: &str) -> Option<RedisUrl> {
        let uri: Uri = text.parse().ok()?;
        let scheme = matches!(uri.scheme_str(), Some("redis" | "rediss"));
        let database = uri.path().trim_start_matches('/');
        let good = scheme
            && uri.host().is_some_and(|host| !host.is_empty())
            && (database.is_empty() || database.parse::<u16>().is_ok())
            && uri.query().is_none();
        good.then(|| RedisUrl(text.to_owned()))
    }

    /// With `***` in place of a password.
    fn redacted(&self) -> String {
        let hidden = || {
            let (scheme, rest) = self.0.split_once("://")?;
            let (login, place) = rest.rsplit_once('@')?;
            let (user, _) = login.split_once(':')?;
            Some(format!("{scheme}://{user}:***@{place}"))
        };
        hidden().unwrap_or_else(|| self.as_str().to_owned())
    }
}

impl Setting for RedisUrl {
    /// A refused value may contain a password.
    const SECRET: bool = true;

    fn allowed(_: &Bounds) -> String {
        "redis://[user:password@]host:port[/database], or rediss:// for TLS".to_owned()
    }

    fn read(raw: &Raw, _: &Bounds) -> Option<RedisUrl> {
        match raw {
            Raw::Text(text) | Raw::Toml(Value::String(text)) => RedisUrl::parse(text),
            Raw::Toml(_) => None,
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.redacted()))
    }
}

impl Default for RedisUrl {
    fn default() -> RedisUrl {
        RedisUrl("redis://127.0.0.1:6379".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let of = |text| HostPorts::parse(text).map(|all| all.joined());
        assert_eq!(of("a:1, b.c:9092").as_deref(), Some("a:1,b.c:9092"));
        assert_eq!(of("[::1]:9090").as_deref(), Some("[::1]:9090"));
        for bad in ["", "a", "a:", ":1", "a:0", "a:99999", "a:1,", "http://a:1"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_hdfs_url_has_no_path_and_a_root_is_one() {
        let url = |text| HdfsUrl::parse(text).map(|url| url.0);
        assert_eq!(url("hdfs://a:9000/").as_deref(), Some("hdfs://a:9000"));
        assert_eq!(url("hdfs://service").as_deref(), Some("hdfs://service"));
        for bad in ["a:9000", "http://a:9000", "hdfs://a:9000/x", "hdfs://u@a"] {
            assert_eq!(url(bad), None, "{bad}");
        }
        let path = |text| HdfsPath::parse(text).map(|path| path.0);
        assert_eq!(path("/apps/lakechat/").as_deref(), Some("/apps/lakechat"));
        for bad in ["", "/", "lakechat", "/a/../b", "/a//b", "/a:b"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_redis_url_is_shown_without_its_password() {
        let url = RedisUrl::parse("rediss://u:pass@cache:6380/2").expect("a URL");
        assert_eq!(url.address(), "cache:6380");
        assert_eq!(url.redacted(), "rediss://u:***@cache:6380/2");
        assert!(!format!("{url:?}").contains("pass"));
        for bad in ["cache:6379", "http://cache", "redis://", "redis://a/x"] {
            assert_eq!(RedisUrl::parse(bad), None, "{bad}");
        }
    }
}
