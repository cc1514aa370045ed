//! The adapter of Kafka keeps the broker's contract, and rules of its own. Needs
//! `integration-tests/stack up`.

mod claims;
mod log;
mod options;
mod topics;

use integration_tests::on_kafka::fresh;

integration_tests::broker_contract!(crate::kafka::fresh);
