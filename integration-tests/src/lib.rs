//! What the tests of lakechat share.

pub mod contract;
