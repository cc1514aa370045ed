//! The embedded adapters keep the ports' contracts.

use integration_tests::on_disk::fresh;

integration_tests::broker_contract!(crate::fresh);
integration_tests::history_contract!(crate::fresh);
integration_tests::directory_contract!(crate::fresh);
integration_tests::file_store_contract!(crate::fresh);
