//! What has the services for itself, because it kills them or makes them stand still. One test at a time.

mod brokers;
mod degrading;
mod faults;
mod hung_thrift;
mod refreshes;
mod scene;
mod soak;
