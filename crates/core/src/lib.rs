//! The chat and file service of lakechat, on ports that back ends implement.
//!
//! What is here knows no way in (HTTP) and no back end: [`ports`] are the contracts with the latter.

pub mod accounts;
pub mod chat;
pub mod domain;
pub mod files;
pub mod json_object;
pub mod keyed_memory;
pub mod limits;
pub mod ports;
pub mod single_flight;
pub mod threads;
