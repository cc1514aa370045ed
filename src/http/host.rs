//! The host that a request is addressed to (RFC 9112, 3.2).

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri, Version};

use lakechat_core::domain::{Code, Problem};

/// Checks the target and the Host header, and rewrites an absolute target to origin form: handlers
/// see a path and one Host, that of the target.
pub fn normalize(request: &mut Parts) -> Result<(), Problem> {
    check_host(request)?;
    if !request.uri.path().starts_with('/') {
        let text = "The target of a request must be a path that begins with a slash.";
        return Err(bad(text));
    }
    let Some(target) = request.uri.authority() else {
        return Ok(());
    };
    let target = plain(target).ok_or_else(|| bad("The target's host is invalid."))?;
    let target = HeaderValue::from_str(target).expect("an authority is visible ASCII");
    request.headers.insert(HOST, target);
    let path = request.uri.path_and_query().cloned();
    request.uri = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    Ok(())
}

/// Requires one Host with a host and at most a port. HTTP/1.0 may omit it.
fn check_host(request: &Parts) -> Result<(), Problem> {
    let mut hosts = request.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version <= Version::HTTP_10 => Ok(()),
        (None, _) => Err(bad("The Host header is missing.")),
        (Some(_), Some(_)) => Err(bad("There is more than one Host header.")),
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).ok();
            let valid = host.as_ref().and_then(plain).is_some();
            let text = "The Host header must be a name or an address, with an optional port.";
            valid.then_some(()).ok_or_else(|| bad(text))
        }
    }
}

/// The text of an authority without user information and with a valid port, if any.
fn plain(authority: &Authority) -> Option<&str> {
    let (text, host) = (authority.as_str(), authority.host());
    let rest = text.strip_prefix(host).filter(|_| !host.is_empty())?;
    let port = rest.strip_prefix(':').unwrap_or(rest);
    (port.is_empty() || port.parse::<u16>().is_ok()).then_some(text)
}

fn bad(text: &'static str) -> Problem {
    Problem::new(Code::BadRequest, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(version: Version, target: &str, hosts: &[&str]) -> Result<(String, String), Code> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.version = version;
        parts.uri = target.parse().unwrap();
        for host in hosts {
            parts.headers.append(HOST, host.parse().unwrap());
        }
        normalize(&mut parts).map_err(|p| p.code)?;
        let host = parts.headers.get(HOST).map(|h| h.to_str().unwrap());
        Ok((parts.uri.to_string(), host.unwrap_or("").to_owned()))
    }

    #[test]
    fn one_valid_host_is_wanted_since_http_1_1() {
        for good in ["a.example", "a.example:8080", "[::1]:80", "127.0.0.1", "a:"] {
            assert!(settled(Version::HTTP_11, "/x", &[good]).is_ok(), "{good}");
        }
        for bad in [
            &[][..],
            &[""],
            &["a", "a"],
            &["a b"],
            &["u@a"],
            &["a/b"],
            &["a:99999"],
            &[":80"],
        ] {
            let answer = settled(Version::HTTP_11, "/x", bad);
            assert_eq!(answer, Err(Code::BadRequest), "{bad:?}");
        }
        assert!(settled(Version::HTTP_10, "/x", &[]).is_ok());
        assert!(settled(Version::HTTP_10, "/x", &["a", "a"]).is_err());
    }

    #[test]
    fn an_absolute_target_overrules_the_host() {
        let seen = settled(Version::HTTP_11, "http://b.example/x?y=1", &["a"]);
        assert_eq!(seen, Ok(("/x?y=1".into(), "b.example".into())));
        let seen = settled(Version::HTTP_11, "http://b.example", &["a"]);
        assert_eq!(seen, Ok(("/".into(), "b.example".into())));
        assert!(settled(Version::HTTP_11, "http://b.example/x", &[]).is_err());
        assert!(settled(Version::HTTP_11, "http://u@b.example/x", &["a"]).is_err());
    }

    #[test]
    fn a_target_without_a_path_is_refused() {
        for target in ["*", "b.example:443"] {
            assert_eq!(
                settled(Version::HTTP_11, target, &["a"]),
                Err(Code::BadRequest)
            );
        }
    }
}
