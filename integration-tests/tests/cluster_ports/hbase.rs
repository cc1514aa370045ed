//! The HBase adapters keep the ports' contracts, on the real HBase.

use integration_tests::on_hbase::fresh;

integration_tests::history_contract!(crate::hbase::fresh);
integration_tests::directory_contract!(crate::hbase::fresh);
integration_tests::uploads_contract!(crate::hbase::fresh);
