//! The release binary on the services of a cluster.

mod adopt;
mod archive;
mod archiver_kills;
mod audit;
#[path = "../both_modes/tests.rs"]
mod both_modes;
mod clocks;
mod cluster_start;
mod documents;
mod earlier_releases;
mod fair_reads;
mod hbase_schema;
mod kafka_sasl;
mod log_gaps;
mod nginx;
mod owners;
mod procedures;
mod real_input;
mod reconnects;
mod redis_tls;
mod servers;
mod shared_limits;
mod simulate_servers;
mod wrong_hosts;
mod wrong_topics;

use integration_tests::Mode;

const MODE: Mode = Mode::Cluster;
