//! The file store in HDFS keeps the port's contract, and what only HDFS can show.

mod away;
mod leftovers;
mod transfers;

use integration_tests::on_hdfs::{Root, fresh};

integration_tests::file_store_contract!(crate::hdfs::fresh);
integration_tests::place_contract!(crate::hdfs::root);

async fn root() -> anyhow::Result<Root> {
    Ok(Root::random())
}
