//! What the tests of lakechat share.

pub mod contract;
pub mod on_disk;
