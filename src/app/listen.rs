//! The listeners: open before the log is read, so that a server that starts can say so.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use warp::Filter;

use crate::config::Config;
use crate::http::health;
use crate::http::route_table::{Route, RouteTable};
use crate::http::router::Site;
use crate::http::server::{Server, Settings};
use crate::http::{listener, metrics, routes};
use crate::open_files;
use crate::readiness::Readiness;
use crate::shutdown::{Shutdown, Stage, Tasks};
use crate::telemetry;

const WITH_METRICS: [Route; 3] = [health::ROUTES[0], health::ROUTES[1], metrics::ROUTES[0]];

/// Opens the listeners. The site that comes back is still to be opened: until then it says how the
/// start goes, and no more.
pub fn spawn(
    config: &Config,
    recorder: &PrometheusHandle,
    readiness: &Readiness,
    shutdown: &Shutdown,
    tasks: &mut Tasks,
) -> anyhow::Result<Site> {
    let settings = settings(config);
    let health = health::routes(readiness.clone());
    let site = match config.server.metrics_listen {
        Some(address) => {
            let site = metrics::site(recorder.clone());
            let server = bind(address, site, settings.clone(), shutdown)?;
            tracing::info!(metrics_address = %server.local_addr()?, "/metrics has a listener of its own");
            serve("metrics", server, tasks);
            Site::new(RouteTable::new(&health::ROUTES), health, routes::TABLE)
        }
        None => {
            let probes = health.or(metrics::routes(recorder.clone()));
            Site::new(RouteTable::new(&WITH_METRICS), probes, routes::TABLE)
        }
    };
    let keep = telemetry::keep_metrics(recorder.clone(), shutdown.clone());
    tasks.spawn(Stage::Back, "metrics upkeep", async move {
        keep.await;
        Ok::<_, Infallible>(())
    });
    let server = bind(config.listen, site.clone(), settings, shutdown)?;
    tracing::info!(address = %server.local_addr()?, "listening");
    let drained = server.drained();
    tasks.spawn(Stage::Front, "http", async move {
        drained.await;
        Ok::<_, Infallible>(())
    });
    serve("listener", server, tasks);
    Ok(site)
}

fn bind(
    address: SocketAddr,
    site: Site,
    settings: Settings,
    shutdown: &Shutdown,
) -> anyhow::Result<Server> {
    let socket = listener::bind(address).with_context(|| format!("can't listen on {address}"))?;
    Ok(Server::new(socket, site, settings, shutdown.clone()))
}

fn serve(name: &'static str, server: Server, tasks: &mut Tasks) {
    tasks.spawn(Stage::Back, name, async move {
        server.run().await;
        Ok::<_, Infallible>(())
    });
}

fn settings(config: &Config) -> Settings {
    let (ms, server) = (Duration::from_millis, &config.server);
    Settings {
        max_connections: open_files::raise_and_fit(server.max_connections),
        max_connections_per_peer: server.max_connections_per_peer,
        header_timeout: ms(server.header_timeout_ms),
        body_timeout: ms(server.body_timeout_ms),
        write_timeout: ms(server.write_timeout_ms),
        min_bytes_per_second: server.min_bytes_per_second,
        trusted_proxies: server.trusted_proxies.clone(),
        ..Settings::default()
    }
}
