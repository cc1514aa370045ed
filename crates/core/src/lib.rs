//! The chat and file service of lakechat, on ports that back ends implement.
//!
//! What is here knows no way in (HTTP) and no back end: [`ports`] are the contracts with the latter.
//!
//! - [`chat`], [`files`] and [`accounts`] are the service: channels and messages, files, and who somebody
//!   is. Chat and files don't use each other.
//! - [`domain`] has the names, ids and values that all of them share, parsed once.
//! - [`limits`], [`keyed_memory`], [`single_flight`], [`threads`] and [`json_object`] are tools of the
//!   service: rates, reserved memory, shared loads, threads for blocking calls, strict JSON.

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
