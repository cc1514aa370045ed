//! The file store in HDFS keeps the port's contract, and what only HDFS can show.

mod away;
mod leftovers;
mod transfers;

use integration_tests::on_hdfs::fresh;

integration_tests::file_store_contract!(crate::hdfs::fresh);
