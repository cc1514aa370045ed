//! The listeners. They open before the log is read, so that a starting server answers its probes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::{Config, ServerConfig};
use crate::http::allowed_hosts::AllowedHosts;
use crate::http::context::ServiceContext;
use crate::http::route_table::RouteTable;
use crate::http::router::Router;
use crate::http::server::{self, Server};
use crate::http::{health, listener, metrics, routes};
use crate::open_files;
use crate::readiness::Readiness;
use crate::shutdown::{Shutdown, Stage, Tasks};
use crate::telemetry;

/// The connections of the listener for metrics and health.
const MAX_PROBE_CONNECTIONS: usize = 64;
const MAX_PROBE_CONNECTIONS_PER_PEER: usize = 16;

/// Opens the listeners. Until the returned router is opened they serve the probes alone.
pub fn spawn(
    config: &Config,
    recorder: &PrometheusHandle,
    readiness: &Readiness,
    shutdown: &Shutdown,
    tasks: &mut Tasks,
) -> anyhow::Result<Router<ServiceContext>> {
    let settings = settings(config);
    let mut probes = Vec::from(health::routes(readiness.clone()));
    match config.server.metrics_listen {
        Some(address) => {
            let mut own = Vec::from(health::routes(readiness.clone()));
            own.push(metrics::route(recorder.clone()));
            let router = Router::<()>::new(RouteTable::new(own), RouteTable::new([]));
            let server = bind(address, router, for_probes(settings.clone()), shutdown)?;
            let address = server.local_addr()?;
            tracing::info!(metrics_address = %address, "serving metrics and health on their own listener");
            serve("metrics", server, tasks);
        }
        None => probes.push(metrics::route(recorder.clone())),
    }
    let router = Router::new(RouteTable::new(probes), routes::table());
    let keep = telemetry::keep_metrics(recorder.clone(), shutdown.clone());
    tasks.spawn(Stage::Back, "metrics upkeep", async move {
        keep.await;
        Ok::<_, Infallible>(())
    });
    let server = bind(config.listen, router.clone(), settings, shutdown)?;
    tracing::info!(address = %server.local_addr()?, "listening");
    let drained = server.drained();
    tasks.spawn(Stage::Front, "http", async move {
        drained.await;
        Ok::<_, Infallible>(())
    });
    serve("listener", server, tasks);
    Ok(router)
}

fn bind<C: Send + Sync + 'static>(
    address: SocketAddr,
    router: Router<C>,
    settings: server::ServerSettings,
    shutdown: &Shutdown,
) -> anyhow::Result<Server<C>> {
    let socket = listener::bind(address).with_context(|| format!("can't listen on {address}"))?;
    Ok(Server::new(socket, router, settings, shutdown.clone()))
}

fn serve<C: Send + Sync + 'static>(name: &'static str, server: Server<C>, tasks: &mut Tasks) {
    tasks.spawn(Stage::Back, name, async move {
        server.run().await;
        Ok::<_, Infallible>(())
    });
}

fn settings(config: &Config) -> server::ServerSettings {
    let (ms, limits) = (Duration::from_millis, &config.server);
    server::ServerSettings {
        max_connections: open_files::raise_and_fit(limits.max_connections),
        max_connections_per_peer: limits.max_connections_per_peer,
        header_timeout: ms(limits.header_timeout_ms),
        body_timeout: ms(limits.body_timeout_ms),
        write_timeout: ms(limits.write_timeout_ms),
        min_bytes_per_second: limits.min_bytes_per_second,
        trusted_proxies: limits.trusted_proxies.clone(),
        allowed_hosts: allowed_hosts(limits),
        ..server::ServerSettings::default()
    }
}

/// The settings of a listener that has only probes. Its few connections are its own, so clients
/// can't take them, nor can one prober take those of another.
fn for_probes(settings: server::ServerSettings) -> server::ServerSettings {
    server::ServerSettings {
        max_connections: MAX_PROBE_CONNECTIONS,
        max_connections_per_peer: MAX_PROBE_CONNECTIONS_PER_PEER,
        trusted_proxies: Vec::new(),
        ..settings
    }
}

fn allowed_hosts(server: &ServerConfig) -> AllowedHosts {
    let named = server
        .allowed_hosts
        .iter()
        .map(|host| host.as_str().to_owned());
    let public = server.public_url.as_ref().map(|url| url.origin().host());
    AllowedHosts::new(named.chain(public))
}
