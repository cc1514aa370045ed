//! `lakechat health`: asks a running server whether it is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lakechat_client::Api;
use reqwest::{Method, Url};

use crate::config::{Config, Flags};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Ask a running server whether it is ready
///
/// Prints what /readyz answers. The configuration has the address: server.metrics_listen, otherwise
/// listen. Exit code 0: ready; 1: not ready, or no answer within 5 s.
#[derive(Clone, Debug, clap::Args)]
pub struct HealthArgs {
    #[command(flatten)]
    pub flags: Flags,
    /// The URL of the server, instead of the address in the configuration
    #[arg(long)]
    url: Option<Url>,
}

/// The answer, for standard output; an error if the server is not ready.
pub async fn run(args: &HealthArgs, config: &Config) -> Result<String> {
    let url = args.url.clone().unwrap_or_else(|| own_url(config));
    let api = Api::new(url.clone())?;
    let asked = api.request(Method::GET, "readyz").timeout(TIMEOUT).send();
    let answer = asked
        .await
        .with_context(|| format!("{url} does not answer"))?;
    let status = answer.status();
    let report = answer.text().await?;
    ensure!(
        status.is_success(),
        "{url} is not ready ({status}): {report}"
    );
    Ok(report)
}

fn own_url(config: &Config) -> Url {
    let address = config.server.metrics_listen.unwrap_or(config.listen);
    let url = format!("http://{}", reachable(address));
    url.parse().expect("an address makes a URL")
}

/// A listener on all addresses is reached at the loopback address.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        given => given,
    };
    SocketAddr::new(ip, listener.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_on_all_addresses_is_asked_at_the_loopback_address() {
        let reached = |listener: &str| reachable(listener.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:9100"), "127.0.0.1:9100");
        assert_eq!(reached("[::]:9100"), "[::1]:9100");
        assert_eq!(reached("10.0.0.7:9100"), "10.0.0.7:9100");
    }
}
