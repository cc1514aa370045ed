//! The adapter of Kafka keeps the broker's contract, and rules of its own. Needs
//! `integration-tests/stack up`.

mod claims;
mod log;
mod options;
mod topics;

use integration_tests::on_kafka::{Topics, fresh};

integration_tests::broker_contract!(crate::kafka::fresh);
integration_tests::place_contract!(crate::kafka::unused_topics);

async fn unused_topics() -> anyhow::Result<Topics> {
    Ok(Topics::new())
}
